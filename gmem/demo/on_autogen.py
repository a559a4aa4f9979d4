"""The demo's team on AutoGen: one game, alone or attached to a memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack

from autogen_agentchat.messages import BaseChatMessage, TextMessage
from langchain_core.language_models import BaseChatModel

from gmem import Memory
from gmem.adapters import Said
from gmem.adapters.autogen import attach
from gmem.demo.clients import Client
from gmem.demo.recording import outcome, said
from gmem.demo.score import Played
from gmem.demo.team.chat import MEMBERS, Table, build
from gmem.demo.team.prompts import ROLES, command_of
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
    table = Table(game, most_moves)
    team = build(table, {name: Client(model) for name, model in models.items()}, roles)
    with ExitStack() as stack:
        if memory is not None:
            stack.enter_context(attach(
                team, memory, judge=lambda result: outcome(table.desk.score), budget=budget, utterances=_Ear()
            ))  # fmt: skip
        asyncio.run(team.run(task=game.task))
    return Played(table.desk.score, table.best, table.desk.moves)


class _Ear:
    """Tells what was said in one game; keeps in mind which command was put forward last."""

    def __init__(self) -> None:
        self._proposal = ""

    def __call__(self, message: BaseChatMessage) -> list[Said] | None:
        if not isinstance(message, TextMessage) or message.source not in (*MEMBERS, "environment"):
            return None
        if message.source == "actor":
            self._proposal = command_of(message.content)
        reward = float(message.metadata.get("reward", 0))
        return said(message.source, message.content, self._proposal, reward)
