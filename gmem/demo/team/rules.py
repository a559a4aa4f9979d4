"""The course of play: whose turn it is, what is asked, and what follows from an answer.  Knows no framework."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from .grammar import AMBIGUOUS, verb, was_refused
from .prompts import PASS, VETO, Agent, ask_for_command, ask_for_plan, ask_for_verdict, command_of, read_plan

MOST_TRIES = 3
"""How often one step is tried in different words before the team goes on."""


@dataclass(frozen=True)
class Outcome:
    """What one command led to.

    Attributes:
        observation: What the world said.
        reward: The change of the score.
        score: The score so far, -100 to 100.
        done: Whether the game is over.
    """

    observation: str
    reward: float
    score: int
    done: bool


class Game(Protocol):
    """A text world in which a task is loaded."""

    @property
    def task(self) -> str:
        """The text of the task."""

    @property
    def score(self) -> int:
        """The score so far, -100 to 100."""

    def look(self) -> str:
        """Return what is to be seen; this takes no move."""

    def commands(self) -> list[str]:
        """List the commands that the world would take now."""

    def step(self, command: str) -> Outcome:
        """Carry out one command."""


@dataclass(frozen=True)
class Desk:
    """How far the team is.

    Attributes:
        turn: Who is next; None when the game is over or the team has given up.
        scene: What is in sight, as far as it was looked at.
        score: The score so far, -100 to 100.
        most_moves: After so many commands the team stops.
        moves: Commands carried out.
        plan: The commands of the plan in force, empty without one.
        step: The place in the plan, from 0.
        tries: How often the step was tried.
        proposal: The command that the actor put forward last.
        options: Commands that the world would take, filled when a step was not taken.
        plans: How often the planner was asked.
    """

    turn: Agent | None
    scene: str
    score: int
    most_moves: int
    moves: int = 0
    plan: tuple[str, ...] = ()
    step: int = 0
    tries: int = 0
    proposal: str = ""
    options: tuple[str, ...] = ()
    plans: int = 0

    @property
    def goal(self) -> str:
        """The step at hand, empty without a plan."""
        return self.plan[self.step] if self.plan else ""


def begin(game: Game, most_moves: int) -> Desk:
    """Sit down before a loaded task."""
    return Desk("planner", game.look(), game.score, most_moves)


def ask(desk: Desk) -> str:
    """Word the question to the one whose turn it is."""
    if desk.turn == "planner":
        return ask_for_plan(desk.scene, desk.score)
    if desk.turn == "actor":
        return ask_for_command(desk.step + 1, desk.goal, desk.options, desk.scene)
    return ask_for_verdict(desk.step + 1, desk.goal, desk.proposal, desk.scene)


def hear(desk: Desk, text: str, game: Game) -> Desk:
    """Go on after an answer of the one whose turn it is: planner, actor or critic.

    Args:
        desk: How far the team is.
        text: The answer.
        game: The world.
    """
    if desk.turn == "planner":
        return _planned(desk, tuple(read_plan(text)), game)
    if desk.turn == "actor":
        if not text.startswith(PASS):
            return replace(desk, proposal=command_of(text), turn="critic")
        return _go_on(_next_step(desk)) if desk.plan else replace(desk, turn=None)
    if text.startswith(VETO):
        return _go_on(_retry(desk, game))
    return replace(desk, turn="environment")


def act(desk: Desk, game: Game) -> tuple[Desk, Outcome]:
    """Let the world carry out the proposal."""
    outcome = game.step(desk.proposal)
    moves = desk.moves + 1
    desk = replace(desk, score=outcome.score, moves=moves)
    if outcome.done or moves >= desk.most_moves:
        return replace(desk, turn=None), outcome
    if not desk.plan:
        desk = replace(desk, options=tuple(game.commands()))
    elif was_refused(outcome.observation):
        desk = _retry(desk, game)
    elif not outcome.observation.startswith(AMBIGUOUS):
        desk = _next_step(desk)
    return _go_on(desk), outcome


def _planned(desk: Desk, plan: tuple[str, ...], game: Game) -> Desk:
    """Take up a plan; without any from the start the team explores, without a further one it gives up."""
    desk = replace(desk, plan=plan, step=0, tries=0, options=(), plans=desk.plans + 1)
    if plan:
        return replace(desk, turn="actor")
    return replace(desk, turn=None) if desk.plans > 1 else replace(desk, turn="actor", options=tuple(game.commands()))


def _retry(desk: Desk, game: Game) -> Desk:
    """Stay at the step with what the world would take, or go on when it was tried often enough."""
    if not desk.plan:
        return desk
    if desk.tries + 1 >= MOST_TRIES:
        return _next_step(desk)
    kind = verb(desk.goal)
    kinds = (kind, "teleport to") if kind == "go to" else (kind,)
    options = tuple(command for command in game.commands() if verb(command) in kinds)
    return replace(desk, tries=desk.tries + 1, options=options, scene=game.look())


def _next_step(desk: Desk) -> Desk:
    return replace(desk, step=desk.step + 1, tries=0, options=())


def _go_on(desk: Desk) -> Desk:
    """Act on while there is a step, plan anew when the plan is used up."""
    used_up = bool(desk.plan) and desk.step >= len(desk.plan)
    return replace(desk, turn="planner" if used_up else "actor")


def facts(outcome: Outcome) -> dict[str, Any]:
    """Give what comes with an observation, for the metadata of a message."""
    return {"reward": outcome.reward, "score": outcome.score}
