"""Recording a team's talk in a memory, from outside: the team says its lines and knows nothing of this."""

from __future__ import annotations

from gmem.demo.prompts import Line, command_of
from gmem.trace import Run

AGENTS = {"planner": "planner", "actor": "actor", "critic": "critic"}
"""Role of each agent, by name."""


class Recorder:
    """Puts each line of a game into a run, tied to the lines that it builds on.

    A plan builds on what the world said last, a command on the plan and on what the world or the
    critic said last, a verdict on the command, and the world's answer on command and verdict.

    Args:
        run: The run to record into.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._plan: int | None = None
        self._command: int | None = None
        self._last: int | None = None

    def __call__(self, line: Line) -> None:
        """Record one line."""
        if line.agent == "planner":
            upstream = [self._last]
        elif line.agent == "actor":
            upstream = [self._plan, self._last]
        else:
            upstream = [self._command, self._last]
        content = command_of(line.content) if line.kind == "action" else line.content
        seq = self._run.say(
            line.agent,
            content or "(nothing to be seen)",
            to=line.to,
            kind=line.kind,
            reward=line.reward or None,
            inspired_by=sorted({u for u in upstream if u is not None}),
        )
        self._last = seq
        if line.agent == "planner":
            self._plan = seq
        elif line.kind == "action":
            self._command = seq
