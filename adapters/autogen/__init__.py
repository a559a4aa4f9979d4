"""gmem for AutoGen AgentChat: attach a memory to a team, and the team itself stays as it is.

    from gmem.adapters.autogen import attach

    attach(team, memory, judge=lambda result: "TERMINATE" in result.messages[-1].content)

Each agent is given the part of the memory for its role, once a turn; what is said, called and handed
over is recorded with what it builds on; and what came of the task is learned.
"""

try:
    import autogen_agentchat as _agentchat  # noqa: F401
except ImportError as error:
    raise ImportError(
        "gmem.adapters.autogen needs AutoGen AgentChat; install it with: pip install 'gmem-engine[autogen]'"
    ) from error

from gmem.adapters._said import Said
from gmem.adapters._verdict import Verdict
from gmem.adapters.autogen._attach import TeamAttachment, attach
from gmem.adapters.autogen._component import GMemory, GMemoryConfig

__all__ = ["GMemory", "GMemoryConfig", "Said", "TeamAttachment", "Verdict", "attach"]
