"""The demo's team on LangGraph: one game, alone or attached to a memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from gmem import Memory
from gmem.adapters import Said
from gmem.adapters.langgraph import attach
from gmem.demo.recording import outcome, said
from gmem.demo.score import Played
from gmem.demo.team.graph import build, opening, room
from gmem.demo.team.prompts import ROLES
from gmem.demo.team.rules import Game

__all__ = ["play"]


def play(
    game: Game, models: Mapping[str, BaseChatModel], most_moves: int, roles: Mapping[str, str] = ROLES,
    memory: Memory | None = None, budget: int = 0,
) -> Played:  # fmt: skip
    """Play the task that is loaded in a world.

    Args:
        game: The world.
        models: The chat model of planner, actor and critic.
        most_moves: After so many commands the team stops.
        roles: The system message of each.
        memory: What the team is attached to for this game; None to play it alone.
        budget: Tokens that the memory may deliver to each role; 0 to be watched only.
    """
    team = build(game, models, roles)
    if memory is not None:
        team = attach(
            team, memory, judge=lambda state: outcome(state["desk"].score), budget=budget, utterances=_said
        )  # fmt: skip
    start = opening(game, most_moves)
    end = team.invoke(start, {"recursion_limit": room(most_moves)})
    scores = [m.additional_kwargs["score"] for m in end["messages"] if "score" in m.additional_kwargs]
    return Played(end["desk"].score, max([start["desk"].score, *scores]), end["desk"].moves)


def _said(node: str, update: Mapping[str, Any]) -> list[Said]:
    """Tell what a node said, from its update of the state."""
    (message,) = update["messages"]
    return said(node, message.text, update["desk"].proposal, message.additional_kwargs.get("reward", 0.0))
