"""What came of one game."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Played"]


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one game.

    Attributes:
        score: Last score, -100 to 100; below 0 if the game was lost for good.
        best: Best score on the way.
        moves: Commands carried out.
    """

    score: int
    best: int
    moves: int
