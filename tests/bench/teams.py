"""What a memory is worth to a team: scores of ScienceWorld games with one way of remembering or another.

Every type of task that the scripted team can act in, held-out variations that nobody has played, three seeds: each
draws other variations, training and held-out, and other orders.  The notes below the tables say what is compared.
It takes a quarter of an hour on two quiet cores, with `--quick` (three types, one seed) two minutes; no game is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import gmem
from gmem.demo import schedule
from gmem.demo.games import GMEM, NONE
from gmem.demo.world import World

from .chance import spell
from .games import CONDITIONS, Season, Tried, curve, season, ticking
from .report import Bench, Figure, Table

__all__ = ["measure", "play", "tables"]

SEEDS = (11, 12, 13)
"""Not the seed of the demo."""
QUICK = Season(SEEDS[0], types=schedule.QUICK_TYPES, experts=3, novices=1, tries=2)
NOTES = (
    "the same scripted planner, actor and critic throughout; only what stands behind their system messages differs",
    "in the memory: {experts} experts' and {novices} novices' runs of each type; held-out games are not added to it",
    "random and nearest cases: solved runs of the same memory, whole; wrong type: what gmem recalls for other work",
    "scores go to 100, a game that was lost for good counts 0; best: the highest score on the way",
    "95 % intervals by bootstrap over the games; paired: gmem's score minus this one's, game by game",
)
CURVE_NOTES = (
    "an empty memory at first; every game is added to it, and after each an expert's run of a training variation",
    "in each round every type is played once and shown once, in orders drawn anew",
    "without memory, and with all experience: the same games, which says how hard those of a round are",
)


def measure(bench: Bench) -> list[Table]:
    """Play, and give the tables."""
    plans = [QUICK] if bench.quick else [Season(seed) for seed in SEEDS]
    games = sum(len(p.types) * (2 * p.experts + p.novices + (len(CONDITIONS) + 1) * p.tries) for p in plans)
    with ticking(games) as tick:
        found, learned = play(plans, bench.fresh, tick)
    return tables(found, learned, plans[0])


def play(
    plans: Sequence[Season], fresh: Callable[[], Path], tick: Callable[[str], None]
) -> tuple[list[Tried], list[Tried]]:
    """Play each season and each learning curve, with a memory of its own.

    Args:
        plans: The seasons.
        fresh: Gives a path where no memory is.
        tick: Called after each game.

    Returns:
        The games under each condition, and those of the curves.
    """
    found: list[Tried] = []
    learned: list[Tried] = []
    for plan in plans:
        # A simulator of its own for each: one that has played many games is slower.
        with ExitStack() as stack:
            world = stack.enter_context(World())
            found += season(world, stack.enter_context(gmem.Memory(fresh(), team="bench")), plan, tick)
            learned += curve(world, stack.enter_context(gmem.Memory(fresh(), team="bench")), plan, tick)
    return found, learned


def tables(found: Sequence[Tried], learned: Sequence[Tried], plan: Season) -> list[Table]:
    """Lay out what was played.

    Args:
        found: The games under each condition.
        learned: Those of the learning curves.
        plan: How much experience there was; the same from every seed.
    """
    notes = [note.format(experts=plan.experts, novices=plan.novices) for note in NOTES]
    seeds = sorted({t.seed for t in found})
    conditions = [c for c in CONDITIONS if any(t.game.condition == c for t in found)]
    heads = (
        "what the team is told",
        "mean score",
        "best",
        "solved",
        "gmem minus it, paired",
        *(f"seed {s}" for s in seeds),
    )
    rows = [_row(found, condition, seeds) for condition in conditions]
    by_type = [_by_type(found, kind, conditions) for kind in dict.fromkeys(t.game.task_type for t in found)]
    return [
        Table("ScienceWorld, held-out variations, 95 % intervals", heads, rows, notes),
        Table("Mean score by type of task", ("type", "games", *conditions), by_type),
        _learning(found, learned),
    ]


def _row(found: Sequence[Tried], condition: str, seeds: Sequence[int]) -> list[Figure]:
    games = [t.game for t in found if t.game.condition == condition]
    with_gmem = _scores(found, GMEM)
    mine = _scores(found, condition)
    pairs = [with_gmem[key] - score for key, score in mine.items() if key in with_gmem]
    means = [_mean([t.game.score for t in found if t.seed == s and t.game.condition == condition]) for s in seeds]
    return [
        condition, spell([g.score for g in games]), spell([g.best for g in games]),
        f"{sum(g.score >= 100 for g in games)} of {len(games)}", None if condition == GMEM else spell(pairs), *means,
    ]  # fmt: skip


def _by_type(found: Sequence[Tried], kind: str, conditions: Sequence[str]) -> list[Figure]:
    scores = {
        c: [t.game.score for t in found if t.game.condition == c and t.game.task_type == kind] for c in conditions
    }
    return [kind, len(scores[GMEM]), *(_mean(scores[c]) for c in conditions)]


def _learning(found: Sequence[Tried], learned: Sequence[Tried]) -> Table:
    """Cut the learning curves into rounds, in each of which every type is played once."""
    types = len({t.game.task_type for t in learned})
    without, full = _scores(found, NONE), _scores(found, GMEM)
    rows: list[list[Figure]] = []
    for start in range(0, max(t.place for t in learned) + 1, types):
        part = [t for t in learned if start <= t.place < start + types]
        scores = [t.game.score for t in part]
        same, later = ([known[_key(t)] for t in part if _key(t) in known] for known in (without, full))
        rows.append([
            f"{start + 1} to {start + types}", len(part), _mean(scores), spell(scores),
            spell([t.game.best for t in part]), f"{sum(s >= 100 for s in scores)} of {len(part)}",
            _mean(same), _mean(later),
        ])  # fmt: skip
    heads = ("tasks", "games", "score", "mean and interval", "best", "solved", "without memory", "with all experience")
    return Table("Learning curve from an empty memory", heads, rows, CURVE_NOTES, drawn=("score", "without memory"))


def _key(tried: Tried) -> tuple[int, str, int]:
    return tried.seed, tried.game.task_type, tried.game.variation


def _scores(found: Sequence[Tried], condition: str) -> dict[tuple[int, str, int], int]:
    return {_key(t): t.game.score for t in found if t.game.condition == condition}


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None
