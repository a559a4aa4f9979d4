"""What came of one game, and what plays one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from langchain_core.language_models import BaseChatModel

from gmem import Memory
from gmem.demo.team.prompts import ROLES
from gmem.demo.team.rules import Game

__all__ = ["Play", "Played"]


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


class Play(Protocol):
    """A framework on which the team can play."""

    def __call__(
        self, game: Game, models: Mapping[str, BaseChatModel], most_moves: int, roles: Mapping[str, str] = ROLES,
        memory: Memory | None = None, budget: int = 0,
    ) -> Played:  # fmt: skip
        """Play the task that is loaded in a world, attached to a memory if there is one."""
