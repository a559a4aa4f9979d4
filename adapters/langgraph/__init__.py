"""gmem for LangGraph and LangChain: `attach` a compiled graph, and it remembers.

from gmem.adapters.langgraph import attach

app = attach(app, memory, judge=lambda state: "DONE" in state["messages"][-1].text)
"""

try:
    import langgraph.callbacks  # noqa: F401
except ImportError as error:
    raise ImportError(
        "gmem.adapters.langgraph needs langgraph 1.2 or newer: pip install 'gmem-engine[langgraph]'"
    ) from error

from gmem.adapters._said import Said
from gmem.adapters._verdict import Verdict
from gmem.adapters.langgraph._attach import attach, attachment, detach, get_memory
from gmem.adapters.langgraph._middleware import GMemMiddleware
from gmem.adapters.langgraph._store import GMemStore

__all__ = ["GMemMiddleware", "GMemStore", "Said", "Verdict", "attach", "attachment", "detach", "get_memory"]
