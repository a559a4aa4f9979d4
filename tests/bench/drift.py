"""A world that stays as it is, and one that changes half-way: what fading of old experience is worth to a team.

The team knows nothing but what it is told: it does what the best case did that solved such a task, one step now and
then of its own accord, and anything where it was told nothing.  Each kind of task takes one key step.  In the changing
world another step takes its place half-way, so what was learned till then misleads, and each run is remembered with
what came of it.  Beside gmem as it is, and with a half-life (`RecallSettings.half_life`), stand two ideas not taken:
fading only of what no run has used since with success (TradingGPT), and holding back cases after which teams failed.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmem
from gmem.graphs import Candidates
from gmem.recall import Recall
from gmem.recall.rank import relevance
from gmem.recall.settings import RecallSettings
from gmem.stats import wilson

from .made import AGENTS, VERBS, Experience
from .outcomes import Mute
from .report import Bench, Figure, Table

__all__ = ["measure"]

TASKS, QUICK = 500, 120
KINDS = 8
STEPS = 4
OWN = 0.6
"""Share of the runs in which one step is the team's own idea."""
LUCK = 0.1
"""Share of the runs that end otherwise than their steps deserve."""
ORDERS = 3
LIVES = 8
"""The half-life is this part of all tasks."""
FADED = 0.5
"""What an idle case keeps, as with gmem's own fading."""
TRIED = 3
"""Runs that were told a case, before it is held back for how they ended."""

Ranks = Callable[..., NDArray[np.float32]]


@dataclass
class Watched:
    """What became of the cases that were told, and a ranking that minds it.

    Attributes:
        last: Number of the last solved run that was told a case, by id.
        ended: How many runs were told a case, and how many of them were solved, by id.
    """

    half_life: int
    last: dict[str, int] = field(default_factory=dict)
    ended: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, number: int, recall: Recall, solved: bool) -> None:
        """Take in how a run ended."""
        for case in recall.solved:
            runs, good = self.ended.get(case.task.id, (0, 0))
            self.ended[case.task.id] = (runs + 1, good + solved)
            if solved:
                self.last[case.task.id] = number

    def idle(self, found: Candidates, min_trust: float = 0.0) -> NDArray[np.float32]:
        """Rank lower what no run has used with success for long."""
        last = np.array([max(row, self.last.get(id, 0)) for row, id in enumerate(found.ids)])
        return _lowered(relevance(found, min_trust), FADED + (1 - FADED) * np.exp2((last - len(last)) / self.half_life))

    def failing(self, found: Candidates, min_trust: float = 0.0) -> NDArray[np.float32]:
        """Rank lower that after which most runs failed, by more than chance."""
        factor = np.ones(len(found.ids))
        for id, (runs, good) in self.ended.items():
            if runs >= TRIED and wilson(good, runs)[1] < 0.5:
                factor[found.rows[id]] = 0.5
        return _lowered(relevance(found, min_trust), factor)


def _lowered(scores: NDArray[np.float32], factor: NDArray[np.float64]) -> NDArray[np.float32]:
    """Multiply what is relevant enough to be told, and leave it so: only the order is to change."""
    least = RecallSettings().min_relevance
    result: NDArray[np.float32] = np.where(scores < least, scores, np.maximum(scores * factor, least + 1e-6))
    return result.astype(np.float32)


def measure(bench: Bench) -> list[Table]:
    """Let teams play through both worlds with each way of ranking."""
    count = min(TASKS, max(bench.sizes)) if not bench.quick else QUICK
    orders = 1 if bench.quick else ORDERS
    life = max(1, count // LIVES)
    ways: dict[str, tuple[dict[str, Any], str]] = {
        "gmem": ({}, ""),
        f"half-life of {life} tasks": ({"half_life": life}, ""),
        f"half-life of {4 * life} tasks": ({"half_life": 4 * life}, ""),
        f"half-life of {life} tasks since last used": ({}, "idle"),
        "held back where runs failed": ({}, "failing"),
        "no doubt of outcomes": ({"doubtful": 1.0}, ""),
    }
    rows: list[list[Figure]] = []
    for name, (settings, by) in ways.items():
        row: list[Figure] = [name]
        for changing in (False, True):
            won = np.mean([_play(bench, count, order, changing, settings, by, life) for order in range(orders)], axis=0)
            early, half = won[: count // 2], won[count // 2 :]
            row += [float(early.mean()), float(half.mean())] if not changing else [float(half.mean()), _end(half)]
        rows.append(row)
    head = ("ranking", "first half", "second half, same world", "second half, changed world", "its last quarter")
    notes = (
        f"share of {count} tasks solved, {orders} orders, {KINDS} kinds of task; the first half is the same in both",
        "only cases are told, no lessons; one standard error of a half is about "
        f"{(0.25 / (orders * count / 2)) ** 0.5:.3f}",
    )
    return [Table("A world that stays, and one that changes", head, rows, notes)]


def _end(half: NDArray[np.float64]) -> float:
    return float(half[len(half) // 2 :].mean())


def _play(
    bench: Bench, count: int, order: int, changing: bool, settings: dict[str, Any], by: str, life: int
) -> list[bool]:
    rng, source = random.Random(1_000 * order + 7), Experience(seed=order, sentences=1)
    keys = [VERBS[kind % len(VERBS)] for kind in range(KINDS)]
    watched = Watched(life)
    won: list[bool] = []
    with (
        gmem.Memory(bench.fresh(), embedder="none", distiller=Mute(), settings=RecallSettings(**settings)) as memory,
        _ranked(getattr(watched, by) if by else relevance),
    ):
        for number in range(count):
            if changing and number == count // 2:
                keys = [rng.choice([verb for verb in VERBS if verb != key]) for key in keys]
            kind = rng.randrange(KINDS)
            with memory.task(source.query(kind), agents=AGENTS, run_id=f"t_{number:06d}") as run:
                recall = run.recall("actor")
                steps = _steps(recall, rng)
                run.say("ada", "We do as planned.")
                for verb in steps:
                    run.act("bo", f"{verb} {rng.randrange(90)} from shelf", source.query(kind))
                solved = (keys[kind] in steps) == (rng.random() > LUCK)
                run.judge("resolved" if solved else "failed")
            watched.note(number, recall, solved)
            won.append(solved)
    return won


def _steps(recall: Recall, rng: random.Random) -> list[str]:
    done = [u.content.split()[0] for u in recall.solved[0].steps if u.kind == "action"] if recall.solved else []
    other = rng.sample([verb for verb in VERBS if verb not in done], STEPS)
    steps = [*done[:STEPS], *other][:STEPS]
    if rng.random() < OWN:
        steps[rng.randrange(STEPS)] = other[-1]
    return steps


@contextmanager
def _ranked(by: Ranks) -> Iterator[None]:
    """Recall by another ranking."""
    seek: Any = importlib.import_module("gmem.recall.seek")
    seek.relevance = by
    try:
        yield
    finally:
        seek.relevance = relevance
