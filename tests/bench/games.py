"""ScienceWorld games for the bench: the team of the demo, told what one way or another of remembering gives it.

The same actors play throughout, and every way of remembering chooses from the same recorded runs; only what is written
behind their system messages differs.  Games are played anew each time, nothing of them is kept.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import gmem
from gmem.demo import schedule
from gmem.demo.games import GMEM, NONE, WRONG, Game, Stage, alone, experience, helped, recalled
from gmem.demo.play import other_type
from gmem.demo.world import Splits, World
from gmem.model import Task
from gmem.recall.lines import FENCE, case_line, step_lines

from .bm25 import BM25

__all__ = [
    "BM25_CASE", "CONDITIONS", "RANDOM", "STATIC_CASE", "Season", "Tick", "Tried", "curve", "fill", "season", "staged",
    "ticking",
]  # fmt: skip

RANDOM, BM25_CASE, STATIC_CASE = "three random cases", "nearest case, BM25", "nearest case, static embedding"
CONDITIONS = (NONE, WRONG, RANDOM, BM25_CASE, STATIC_CASE, GMEM)
RANDOM_CASES = 3
ALONE_MOVES = 40
"""After so many commands a team without memory gives up."""

Split = Literal["dev", "test"]
Tick = Callable[[str], None]


@contextmanager
def ticking(games: int) -> Iterator[Tick]:
    """Show how many of so many games have been played; what it yields is to be called with the name of each."""
    bars = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bars, console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("starting the world", total=games)
        yield lambda what: progress.update(bar, advance=1, description=what)


@dataclass(frozen=True, slots=True)
class Season:
    """How much is played from one seed.

    Attributes:
        seed: Draws the variations and orders them.
        types: Task types.
        experts: Training variations of each that an expert shows.
        novices: Others that the team tries without notes.
        tries: Held-out variations of each that are played under every condition.
        split: Where these come from; what is tuned is tuned on "dev".
    """

    seed: int
    types: Sequence[str] = schedule.TASK_TYPES
    experts: int = schedule.EXPERT_RUNS
    novices: int = schedule.NOVICE_RUNS
    tries: int = 5
    split: Split = "test"

    def training(self, world: World, task_type: str) -> list[int]:
        """Draw the training variations of a type, those of the experts first."""
        found: Splits = world.splits(task_type)
        return schedule.draw(found.train, self.experts + self.novices, task_type, self.seed)

    def held_out(self, world: World, task_type: str) -> list[int]:
        """Draw the held-out variations of a type."""
        found: Splits = world.splits(task_type)
        return schedule.draw(found.test if self.split == "test" else found.dev, self.tries, task_type, self.seed)


@dataclass(frozen=True, slots=True)
class Tried:
    """One game of a season.

    Attributes:
        seed: The season.
        game: What came of it.
        place: In a learning curve how many tasks the memory had seen; else -1.
        variant: Which variant of a recall was told, where several are compared.
    """

    seed: int
    game: Game
    place: int = -1
    variant: str = ""


def season(world: World, memory: gmem.Memory, plan: Season, tick: Tick = lambda what: None) -> list[Tried]:
    """Fill a memory with experience, then play the held-out variations under each condition; it is not added to.

    Args:
        world: The simulator.
        memory: An empty memory.
        plan: How much to play.
        tick: Called after each game.
    """
    stage = staged(world)
    kinds = fill(stage, memory, plan, tick)
    pool = Pool(memory, plan.seed)
    out = []
    for task_type in plan.types:
        wrong = recalled(memory, other_type(memory, kinds, task_type))
        for variation in plan.held_out(world, task_type):
            query = world.load(task_type, variation)
            told: dict[str, Mapping[str, str]] = {
                NONE: {}, WRONG: wrong, RANDOM: pool.random(query), BM25_CASE: pool.by_words(query),
                STATIC_CASE: pool.by_meaning(query), GMEM: recalled(memory, query),
            }  # fmt: skip
            for condition in CONDITIONS:
                if condition == STATIC_CASE and pool.embedder is None:
                    continue
                most = ALONE_MOVES if condition == NONE else schedule.TEAM_MOVES
                game = alone(stage, task_type, variation, condition, told[condition], most)
                out.append(Tried(plan.seed, game))
                tick(condition)
    return out


def fill(stage: Stage, memory: gmem.Memory, plan: Season, tick: Tick) -> dict[str, str]:
    """Play the training variations before the eyes of a memory; give the type of each task."""
    kinds: dict[str, str] = {}
    for task_type in plan.types:
        for at, variation in enumerate(plan.training(stage.world, task_type)):
            experience(stage, memory, task_type, variation, at < plan.experts)
            kinds[stage.world.task] = task_type
            tick("experience")
    return kinds


def curve(world: World, memory: gmem.Memory, plan: Season, tick: Tick = lambda what: None) -> list[Tried]:
    """Play held-out variations with a memory that is empty at first and sees every one of these games.

    After each game an expert's run of a training variation arrives.  In each round every type is played once and shown
    once, both in an order drawn anew, so that rounds are equally hard and no type is always shown first.

    Args:
        world: The simulator.
        memory: An empty memory.
        plan: How much to play.
        tick: Called after each game.
    """
    stage, rng = staged(world), random.Random(f"curve:{plan.seed}")
    training = {t: plan.training(world, t) for t in plan.types}
    tests = {t: plan.held_out(world, t) for t in plan.types}
    out: list[Tried] = []
    for at in range(plan.tries):
        played, shown = (rng.sample(list(plan.types), len(plan.types)) for _ in range(2))
        for task_type, other in zip(played, shown, strict=True):
            seen = len(out)
            if at < len(tests[task_type]):
                game, _ = helped(stage, memory, task_type, tests[task_type][at])
                out.append(Tried(plan.seed, game, place=seen))
                tick("curve")
            if at < min(plan.experts, len(training[other])):
                experience(stage, memory, other, training[other][at], expert=True)
                tick("curve, expert")
    return out


def staged(world: World) -> Stage:
    """Set up the stage of the demo on LangGraph."""
    from gmem.demo.on_langgraph import play  # here, so that the other topics need no LangGraph

    return Stage(world, play)


class Pool:
    """The solved runs of a memory, to be chosen from without its help, and written as it would write them.

    Args:
        memory: Where they are.
        seed: Draws the random ones.
    """

    def __init__(self, memory: gmem.Memory, seed: int) -> None:
        self._memory = memory
        self._rng = random.Random(f"pool:{seed}")
        self._tasks = sorted((t for t in memory.tasks(limit=10_000) if t.outcome == "resolved"), key=lambda t: t.id)
        self._words = BM25([t.query for t in self._tasks])
        self.embedder = memory.embedder
        self._vectors = self.embedder.documents([t.query for t in self._tasks]) if self.embedder else None

    def random(self, query: str) -> dict[str, str]:
        """Draw cases."""
        return self._tell(self._rng.sample(self._tasks, min(RANDOM_CASES, len(self._tasks))))

    def by_words(self, query: str) -> dict[str, str]:
        """Give the case whose task is nearest by BM25."""
        return self._tell([self._tasks[self._words.best(query)]])

    def by_meaning(self, query: str) -> dict[str, str]:
        """Give the case whose task is nearest by the cosine of the embedding; nothing if there is no embedding."""
        if self.embedder is None or self._vectors is None:
            return {}
        return self._tell([self._tasks[int(np.argmax(self._vectors @ self.embedder.query(query)))]])

    def _tell(self, tasks: Sequence[Task]) -> dict[str, str]:
        """Write whole runs, nothing left out."""
        lines = ["## Solved before"]
        for task in tasks:
            deeds = [u for u in self._memory.interaction(task.id).utterances if u.kind in ("action", "observation")]
            lines += [case_line(replace(task, blame=())), *(line for _, line in step_lines(deeds))]
        text = f'<{FENCE} recall="">\n' + "\n".join(lines) + f"\n</{FENCE}>"
        return dict.fromkeys(("planner", "actor", "critic"), text)
