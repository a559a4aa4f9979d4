"""One game of the demo each: an expert's, a novice's, one with notes from anywhere, one with a memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from gmem import Memory, Recall
from gmem.demo import schedule
from gmem.demo.policy import Actor, Critic, GoldPlanner, Planner
from gmem.demo.score import Play, Played
from gmem.demo.team.prompts import ROLES
from gmem.demo.world import World
from gmem.text import tokens

__all__ = [
    "BUDGET", "CONDITIONS", "GMEM", "NONE", "WRONG", "Game", "Stage", "alone", "experience", "helped", "players",
    "recalled", "told",
]  # fmt: skip

NONE, WRONG, GMEM = "without memory", "wrong task type", "with gmem"
CONDITIONS = (NONE, WRONG, GMEM)
BUDGET = 3000
"""Tokens that a recall may deliver to one role."""


@dataclass(frozen=True, slots=True)
class Game:
    """One variation, played under one condition.

    Attributes:
        score: Last score, 0 to 100; a game that was lost for good counts 0.
        best: Best score on the way.
        moves: Commands carried out.
        tokens: Price of the notes of the three roles, in tokens.
    """

    task_type: str
    variation: int
    condition: str
    score: int
    best: int
    moves: int
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where games are played: a world, and a framework for the team."""

    world: World
    play: Play


def experience(stage: Stage, memory: Memory, task_type: str, variation: int, expert: bool) -> int:
    """Let a team play a variation, and watch it; an expert is told the environment's own path.

    Returns:
        The score, -100 to 100.
    """
    gold = stage.world.gold_path(task_type, variation) if expert else []
    stage.world.load(task_type, variation)
    planner = GoldPlanner(actions=gold) if expert else Planner()
    most = schedule.EXPERT_MOVES if expert else schedule.NOVICE_MOVES
    return stage.play(stage.world, players(planner), most, memory=memory).score


def alone(
    stage: Stage, task_type: str, variation: int, condition: str, notes: Mapping[str, str],
    most_moves: int = schedule.TEAM_MOVES,
) -> Game:  # fmt: skip
    """Play a variation with notes of any origin, or without; no memory sees it.

    Args:
        stage: Where to play.
        task_type: What is played.
        variation: Which of it.
        condition: Name of the condition.
        notes: What each role is told, by role; those without an entry are told nothing.
        most_moves: After so many commands the team gives up.
    """
    stage.world.load(task_type, variation)
    played = stage.play(stage.world, players(Planner()), most_moves, told(notes))
    return _game(played, task_type, variation, condition, sum(map(tokens, notes.values())))


def helped(stage: Stage, memory: Memory, task_type: str, variation: int) -> tuple[Game, Recall]:
    """Play a variation with a team that is attached to a memory, which then learns from the game.

    Returns:
        The game, and what the planner was given.
    """
    query = stage.world.load(task_type, variation)
    # The same that the adapter is about to deliver: nothing has been added in between.
    given = {role: memory.recall(query, role, budget=BUDGET) for role in ROLES}
    played = stage.play(stage.world, players(Planner()), schedule.TEAM_MOVES, memory=memory, budget=BUDGET)
    return _game(played, task_type, variation, GMEM, sum(r.tokens for r in given.values())), given["planner"]


def recalled(memory: Memory, query: str) -> dict[str, str]:
    """Give what a memory recalls for a task, by role."""
    return {role: memory.recall(query, role, budget=BUDGET).text for role in ROLES}


def told(notes: Mapping[str, str]) -> dict[str, str]:
    """Write notes behind the system message of each role, where an adapter would put them."""
    return {role: f"{text}\n\n{notes[role]}" if notes.get(role) else text for role, text in ROLES.items()}


def players(planner: BaseChatModel) -> dict[str, BaseChatModel]:
    """Give the models of a team, of which only the planner differs."""
    return {"planner": planner, "actor": Actor(), "critic": Critic()}


def _game(played: Played, task_type: str, variation: int, condition: str, price: int) -> Game:
    return Game(task_type, variation, condition, max(0, played.score), max(0, played.best), played.moves, price)
