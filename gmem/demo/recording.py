"""Recording a team's talk in a memory, from outside: the team says its lines and knows nothing of this."""

from __future__ import annotations

from dataclasses import dataclass

from gmem.demo.team.prompts import PASS, VETO, command_of
from gmem.model import Kind
from gmem.trace import Run

AGENTS = {"planner": "planner", "actor": "actor", "critic": "critic"}
"""Role of each agent, by name."""


@dataclass(frozen=True)
class Line:
    """One line of the team's talk.

    Attributes:
        agent: Who speaks.
        content: The text.
        reward: For what the environment says the change of the score, else 0.
    """

    agent: str
    content: str
    reward: float = 0.0

    @property
    def kind(self) -> Kind:
        """A command put forward by the actor is an action, what the environment says an observation."""
        if self.agent == "environment":
            return "observation"
        return "action" if self.agent == "actor" and not self.content.startswith(PASS) else "message"

    @property
    def to(self) -> str:
        """Whom it is said to: the critic hears what the actor wants to do, the actor hears everything else."""
        return "critic" if self.kind == "action" else "actor"


class Recorder:
    """Puts each line of a game into a run, tied to the lines that it builds on.

    A plan builds on what the world said last, a command on the plan and on what the world or the
    critic said last, a verdict on the command, and the world's answer on command and verdict.
    A command that the critic vetoed was never carried out, so it is kept as talk, not as a deed;
    it waits for the verdict. A verdict is said to the actor, whichever way it goes.

    Args:
        run: The run to record into.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._proposed: Line | None = None
        self._plan: int | None = None
        self._command: int | None = None
        self._last: int | None = None

    def __call__(self, line: Line) -> None:
        """Record one line; a proposed command is recorded with the line that follows it."""
        if self._proposed is not None:
            kind: Kind = "message" if line.content.startswith(VETO) else "action"
            self._command = self._say(self._proposed, kind, command_of(self._proposed.content))
            self._proposed = None
        if line.kind == "action":
            self._proposed = line
            return
        seq = self._say(line, line.kind, line.content)
        if line.agent == "planner":
            self._plan = seq

    def _say(self, line: Line, kind: Kind, content: str) -> int:
        """Put a line into the run, with what it builds on."""
        upstream = {"planner": [], "actor": [self._plan]}.get(line.agent, [self._command])
        seq = self._run.say(
            line.agent,
            content,
            to=line.to,
            kind=kind,
            reward=line.reward or None,
            inspired_by=sorted({u for u in (*upstream, self._last) if u is not None}),
        )
        self._last = seq
        return seq
