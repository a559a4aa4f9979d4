"""What each part of a recall is worth to a team: the games of `teams`, with one part left out or made larger.

The memories, the players and the variations are those of the topic `teams`; only the settings of the recall differ, or
what is made of it before it is told.  Ideas that other memory systems are built on stand beside gmem as it is, each as
the smallest change that makes gmem do the same.  It takes half an hour on two quiet cores, with `--quick` four minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import gmem
from gmem.demo import schedule
from gmem.demo.games import BUDGET, GMEM, Game, alone, recalled
from gmem.demo.team.prompts import ROLES
from gmem.demo.world import World

from . import crowding
from .chance import spell
from .games import Season, Tick, Tried, fill, staged, ticking
from .report import Bench, Table
from .retrieval import without
from .teams import QUICK, SEEDS

__all__ = ["VARIANTS", "measure", "play", "table"]

Tell = Callable[[gmem.Memory, str], Mapping[str, str]]

FLAT = 0.05
"""Matches whose relevance differs by less are equally near: then it takes several of them to see what they share."""


def _with(**settings: Any) -> Tell:
    """Recall with other settings."""

    def tell(memory: gmem.Memory, query: str) -> dict[str, str]:
        return {role: memory.recall(query, role, **{"budget": BUDGET, **settings}).text for role in ROLES}

    return tell


def _by_sharpness(memory: gmem.Memory, query: str) -> dict[str, str]:
    """Tell one case where it stands out from the others, several where it does not."""
    near = [case.relevance for case in memory.recall(query, budget=BUDGET).solved]
    sharp = len(near) > 1 and near[0] - near[1] > FLAT
    return _with(cases=1 if sharp else 3)(memory, query)


def _once(memory: gmem.Memory, query: str) -> dict[str, str]:
    """Recall what is like the query, and do not ask with what is found."""
    with without("second look"):
        return dict(recalled(memory, query))


VARIANTS: Mapping[str, Tell] = {
    GMEM: recalled,
    "no lessons": _with(insights=0),
    "lessons alone": _with(cases=0, failures=0),
    "no failures of their own": _with(failures=0),
    "three failures of their own": _with(failures=3),
    "no second look": _once,
    "no hop over SIMILAR": _with(hops=0),
    "two hops": _with(hops=2),
    "one case": _with(cases=1),
    "one case if it stands out, else three": _by_sharpness,
    "silent unless half alike": _with(min_relevance=0.5),
    "never silent": _with(min_relevance=0.0),
    "in brief: a third of the budget": _with(budget=BUDGET // 3),
    "of equal texts the nearest, however alike": crowding.tell(crowding.nearest),
}
"""What is told, by name; the first is what the others are compared with."""

NOTES = (
    "as in the topic teams: same players, same memories, same held-out variations, scores to 100",
    "paired: this row's score minus gmem's, game by game, with the 95 % interval by bootstrap over the games",
    "lessons alone: what is abstract; one case if it stands out: the grain chosen by how sharply the matches differ",
    "silent unless half alike: nothing is told where nothing is near; in brief: the steps that matter most only",
)


def measure(bench: Bench) -> list[Table]:
    """Play, and give the table."""
    plans = [QUICK] if bench.quick else [Season(seed) for seed in SEEDS]
    games = sum(len(p.types) * (p.experts + p.novices + len(VARIANTS) * p.tries) for p in plans)
    with ticking(games) as tick:
        found: list[Tried] = []
        for plan in plans:
            with ExitStack() as stack:
                world = stack.enter_context(World())
                memory = stack.enter_context(gmem.Memory(bench.fresh(), team="bench"))
                found += play(world, memory, plan, tick)
    return [table(found)]


def play(world: World, memory: gmem.Memory, plan: Season, tick: Tick = lambda what: None) -> list[Tried]:
    """Fill a memory with experience, then play the held-out variations with each variant.

    Args:
        world: The simulator.
        memory: An empty memory.
        plan: How much to play.
        tick: Called after each game.
    """
    stage = staged(world)
    fill(stage, memory, plan, tick)
    found = []
    for task_type in plan.types:
        for variation in plan.held_out(world, task_type):
            query = world.load(task_type, variation)
            played: dict[tuple[tuple[str, str], ...], Game] = {}
            for name, tell in VARIANTS.items():
                notes = tell(memory, query)
                same = tuple(sorted((role, _words(text)) for role, text in notes.items()))
                # Variants that tell the same would play the same but for the names that the simulator draws by lot.
                if same not in played:
                    played[same] = alone(stage, task_type, variation, name, notes, schedule.TEAM_MOVES)
                found.append(Tried(plan.seed, played[same], variant=name))
                tick(name)
    return found


def _words(text: str) -> str:
    """A text without its first line, which names the recall."""
    return text.partition("\n")[2]


def table(found: Sequence[Tried]) -> Table:
    """Lay out what was played, a row for each variant."""
    by_name: dict[str, dict[tuple[int, str, int], Game]] = {name: {} for name in VARIANTS}
    for tried in found:
        by_name[tried.variant][tried.seed, tried.game.task_type, tried.game.variation] = tried.game
    asis = by_name[GMEM]
    rows = []
    for name, games in by_name.items():
        scores = [game.score for game in games.values()]
        pairs = [game.score - asis[key].score for key, game in games.items()]
        rows.append([
            name, spell(scores), f"{sum(s >= 100 for s in scores)} of {len(scores)}",
            None if name == GMEM else spell(pairs), sum(game is not asis[key] for key, game in games.items()),
            round(sum(game.tokens for game in games.values()) / len(games)),
        ])  # fmt: skip
    heads = ("what the team is told", "mean score", "solved", "minus gmem, paired", "told otherwise", "tokens")
    return Table("ScienceWorld: what each part of a recall adds", heads, rows, NOTES)
