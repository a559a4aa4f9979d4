"""The demo's team on LangGraph: one game, alone or attached to a memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from langchain_core.language_models import BaseChatModel

from gmem.demo.recording import Line
from gmem.demo.score import Played
from gmem.demo.team.graph import TeamState, build, opening, room
from gmem.demo.team.prompts import ROLES
from gmem.demo.team.rules import Game

__all__ = ["play"]


def play(
    game: Game, models: Mapping[str, BaseChatModel], most_moves: int, roles: Mapping[str, str] = ROLES,
    record: Callable[[Line], None] = lambda line: None,
) -> Played:  # fmt: skip
    """Play the task that is loaded in a world.

    Args:
        game: The world.
        models: The chat model of planner, actor and critic.
        most_moves: After so many commands the team stops.
        roles: The system message of each.
        record: Called with each line as soon as it is said.
    """
    start = opening(game, most_moves)
    state, heard = start, 1
    program = build(game, models, roles)
    for update in program.stream(start, {"recursion_limit": room(most_moves)}, stream_mode="values"):
        state = cast(TeamState, update)
        for message in state["messages"][heard:]:
            record(Line(message.name or "", message.text, message.additional_kwargs.get("reward", 0.0)))
        heard = len(state["messages"])
    desk = state["desk"]
    scores = [m.additional_kwargs["score"] for m in state["messages"] if "score" in m.additional_kwargs]
    return Played(desk.score, max([start["desk"].score, *scores]), desk.moves)
