"""What keeps chance, echoes and loud or doubtful sources from becoming lessons."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["USUAL", "Gates"]


@dataclass(frozen=True, slots=True)
class Gates:
    """How much a lesson needs before it is taught and recalled.

    Attributes:
        chance: A finding that chance gives more often than this, given how many were tried, teaches nothing.
        active: A lesson whose counts chance gives more often than this is not recalled.
        tasks: Different tasks that must show a pattern, so that it names no thing of one.
        trust: Runs trusted less than this have no say in a team's habits.
        in_turn: Whether sources are heard in turn where one has more to say than others.
    """

    chance: float = 0.05
    active: float = 0.05
    tasks: int = 3
    trust: float = 0.5
    in_turn: bool = True

    @classmethod
    def off(cls) -> Gates:
        """Let everything in that the data lean to; for measuring what the gates are worth."""
        return cls(chance=math.inf, active=1.0, tasks=1, trust=0.0, in_turn=False)


USUAL = Gates()
