"""One game of the demo each: an expert's, a novice's, one with notes from anywhere, one with a memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from gmem import Memory, Recall
from gmem.demo import schedule
from gmem.demo.on_langgraph import play
from gmem.demo.policy import Actor, Critic, GoldPlanner, Planner
from gmem.demo.recording import AGENTS, Recorder
from gmem.demo.score import Played
from gmem.demo.team.prompts import ROLES
from gmem.demo.world import World
from gmem.text import tokens

__all__ = [
    "BUDGET", "CONDITIONS", "GMEM", "NONE", "WRONG", "Game", "alone", "experience", "helped", "players", "recalled",
    "told",
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


def experience(world: World, memory: Memory, task_type: str, variation: int, expert: bool) -> int:
    """Let a team play a variation, and record it; an expert is told the environment's own path.

    Returns:
        The score, -100 to 100.
    """
    gold = world.gold_path(task_type, variation) if expert else []
    query = world.load(task_type, variation)
    with memory.task(query, agents=AGENTS, source="expert" if expert else "novice", metadata=_facts(task_type)) as run:
        score = play(
            world,
            players(GoldPlanner(actions=gold) if expert else Planner()),
            schedule.EXPERT_MOVES if expert else schedule.NOVICE_MOVES,
            record=Recorder(run),
        ).score
        if score >= 100:
            run.resolve(score)
        else:
            run.fail(_reason(score), score=score)
    return score


def alone(
    world: World, task_type: str, variation: int, condition: str, notes: Mapping[str, str],
    most_moves: int = schedule.TEAM_MOVES,
) -> Game:  # fmt: skip
    """Play a variation with notes of any origin, or without; it is not recorded.

    Args:
        world: The world.
        task_type: What is played.
        variation: Which of it.
        condition: Name of the condition.
        notes: What each role is told, by role; those without an entry are told nothing.
        most_moves: After so many commands the team gives up.
    """
    world.load(task_type, variation)
    played = play(world, players(Planner()), most_moves, told(notes))
    return _game(played, task_type, variation, condition, sum(map(tokens, notes.values())))


def helped(world: World, memory: Memory, task_type: str, variation: int) -> tuple[Game, Recall]:
    """Play a variation with what the memory recalls for it; it is recorded and learned from.

    Returns:
        The game, and what the planner was given.
    """
    query = world.load(task_type, variation)
    with memory.task(query, agents=AGENTS, source="team", metadata=_facts(task_type)) as run:
        recalls = {role: run.recall(role, budget=BUDGET) for role in ROLES}
        notes = {role: r.text for role, r in recalls.items()}
        played = play(world, players(Planner()), schedule.TEAM_MOVES, told(notes), Recorder(run))
        if played.score >= 100:
            run.resolve(played.score)
        else:
            run.fail(_reason(played.score), score=played.score)
    return _game(played, task_type, variation, GMEM, sum(r.tokens for r in recalls.values())), recalls["planner"]


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


def _facts(task_type: str) -> dict[str, str]:
    return {"environment": "ScienceWorld", "type": task_type}


def _reason(score: int) -> str:
    return "the game was lost for good" if score < 0 else f"the team gave up at {score} of 100"
