"""Solved games of the very same text crowd each other out of a recall: which of them should be told?

Three task types of ScienceWorld have one text for all their variations (which animal lives longest?), and another
answer in each.  After a learning curve of these types alone, memory after memory, held-out variations are played with
one choice of cases or another; nothing but the choice differs.  Half an hour on two quiet cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np

import gmem
from gmem.demo import schedule
from gmem.demo.games import BUDGET, GMEM, Game, alone
from gmem.demo.team.prompts import ROLES
from gmem.demo.world import World
from gmem.recall import RecallSettings, descend, traverse
from gmem.recall.deliver import deliver
from gmem.recall.found import FoundCase
from gmem.recall.spread import alike, handled, proof
from gmem.text import fold

from .chance import interval
from .games import Season, Tick, Tried, curve, staged, ticking
from .report import Bench, Figure, Table

__all__ = ["CHOICES", "FORMS", "measure", "play", "table", "tell"]

Choose = Callable[[Sequence[FoundCase], int], Sequence[FoundCase]]
"""From the solved cases that recall reached, best first, and the number to be told: those that are told."""

TYPES = ("lifespan-longest-lived", "lifespan-shortest-lived", "lifespan-longest-lived-then-shortest-lived")
SEEDS = tuple(range(201, 217))
ROUNDS, TRIES = 5, 6
"""Rounds of the curve that fills a memory, and further variations of each type that are played then."""
POOL = 24
"""Cases that are chosen from, at most: more than recall reaches."""
LESS = 0.3
"""What being alike costs, of the whole, in marginal relevance."""


def nearest(found: Sequence[FoundCase], most: int) -> Sequence[FoundCase]:
    """Take the nearest, however alike they are."""
    return found[:most]


def one_a_text(found: Sequence[FoundCase], most: int) -> Sequence[FoundCase]:
    """Take one for each text; where there are too few texts, more of them."""
    firsts: dict[str, FoundCase] = {}
    for case in found:
        firsts.setdefault(_text(case), case)
    chosen = list(firsts.values())[:most]
    return chosen + [case for case in found if case not in chosen][: most - len(chosen)]


def best_proven(found: Sequence[FoundCase], most: int) -> Sequence[FoundCase]:
    """Take as many of each text as are near, those with the best proof: the highest score, the fewest steps."""
    better: dict[str, Iterator[FoundCase]] = {}
    for text in {_text(case) for case in found}:
        runs = [case for case in found if _text(case) == text]
        better[text] = iter(sorted(runs, key=lambda case: proof(case.task, case.interaction)))
    return [next(better[_text(case)]) for case in found[:most]]


def marginal(found: Sequence[FoundCase], most: int) -> Sequence[FoundCase]:
    """Take by maximal marginal relevance over what was handled, whatever the text."""
    deeds = {case.hit.id: handled(case.task, case.interaction) for case in found}
    left, chosen = list(found), list[FoundCase]()
    while left and len(chosen) < most:
        best = max(left, key=lambda c: (1 - LESS) * c.hit.relevance - LESS * max(
            (alike(deeds[c.hit.id], deeds[other.hit.id]) for other in chosen), default=0.0))  # fmt: skip
        left.remove(best)
        chosen.append(best)
    return chosen


def _text(case: FoundCase) -> str:
    return fold(case.task.query)


CHOICES: Mapping[str, Choose] = {
    "the nearest, however alike": nearest,
    "one case a text": one_a_text,
    "of equal texts the best proven": best_proven,
    "marginal relevance, any text": marginal,
}


def tell(choose: Choose | None = None, **settings: int) -> Callable[[gmem.Memory, str], dict[str, str]]:
    """Recall with another choice of solved cases, or with gmem's own."""

    def told(memory: gmem.Memory, query: str) -> dict[str, str]:
        if choose is None:
            given = memory.recall_each(query, ROLES, budget=BUDGET, **settings)
            return {role: recall.text for role, recall in given.items()}
        asked = RecallSettings(budget=BUDGET, **settings)
        vector = memory.embedder.query(query) if memory.embedder else None
        with _nothing_held_back():
            found = traverse.traverse(memory.store, memory.team, query, vector, replace(asked, cases=POOL))
        found = replace(found, solved=tuple(choose(found.solved, asked.cases)))
        return {role: deliver(found, role, asked, "r_bench").text for role in ROLES}

    return told


FORMS = {GMEM: tell(), **{name: tell(choose) for name, choose in CHOICES.items()}, f"{GMEM}, five cases": tell(cases=5)}


@contextmanager
def _nothing_held_back() -> Iterator[None]:
    """Recall as if equal texts were like any others."""
    real = descend._differing
    descend._differing = lambda store, team, reached, chosen, seen, same: chosen
    try:
        yield
    finally:
        descend._differing = real


def measure(bench: Bench) -> list[Table]:
    """Play, and give the table."""
    seeds = SEEDS[:2] if bench.quick else SEEDS
    games = len(seeds) * len(TYPES) * (2 * ROUNDS + TRIES * len(FORMS))
    with ticking(games) as tick:
        found: list[Tried] = []
        for seed in seeds:
            plan = Season(seed, TYPES, experts=ROUNDS, novices=0, tries=ROUNDS)
            with ExitStack() as stack:
                world = stack.enter_context(World())
                memory = stack.enter_context(gmem.Memory(bench.fresh(), team="bench"))
                found += play(world, memory, plan, tick)
    return [table(found)]


def play(world: World, memory: gmem.Memory, plan: Season, tick: Tick = lambda what: None) -> list[Tried]:
    """Fill a memory by a learning curve, then play further variations with each form; it sees nothing of these.

    Args:
        world: The simulator.
        memory: An empty memory.
        plan: The learning curve.
        tick: Called after each game.
    """
    curve(world, memory, plan, tick)
    stage, found = staged(world), list[Tried]()
    for task_type in plan.types:
        for variation in replace(plan, tries=plan.tries + TRIES).held_out(world, task_type)[plan.tries :]:
            query = world.load(task_type, variation)
            played: dict[tuple[str, ...], Game] = {}
            for name, form in FORMS.items():
                notes = form(memory, query)
                same = tuple(text.partition("\n")[2] for text in notes.values())
                if same not in played:
                    played[same] = alone(stage, task_type, variation, name, notes, schedule.TEAM_MOVES)
                found.append(Tried(plan.seed, played[same], variant=name))
                tick(name)
    return found


NOTES = (
    "memories filled by a learning curve of five rounds, of three types that have one text each for all variations",
    "gmem minus: its score less this one's, as the mean of each memory, with the 95 % interval by bootstrap over those",
    "lost: games that were lost for good, by taking the wrong animal; who takes none keeps what he has",
)


def table(found: Sequence[Tried]) -> Table:
    """Lay out what was played, a row for each form."""
    by_form: dict[str, dict[tuple[int, str, int], Game]] = {}
    for tried in found:
        key = (tried.seed, tried.game.task_type, tried.game.variation)
        by_form.setdefault(tried.variant, {})[key] = tried.game
    asis = by_form[GMEM]
    rows: list[list[Figure]] = []
    for name, games in by_form.items():
        scores = {key: float(game.score) for key, game in games.items()}
        solved = {key: 100.0 * (score >= 100) for key, score in scores.items()}
        rows.append([
            name, len(games), round(_mean(scores.values()), 1), round(_mean(g.best for g in games.values()), 1),
            sum(score >= 100 for score in scores.values()), sum(score <= 0 for score in scores.values()),
            None if name == GMEM else _less(asis, scores, lambda game: float(game.score)),
            None if name == GMEM else _less(asis, solved, lambda game: 100.0 * (game.score >= 100)),
            round(_mean(game.tokens for game in games.values())),
        ])  # fmt: skip
    heads = (
        "what is told", "games", "mean score", "best", "solved", "lost", "gmem minus it", "gmem minus it, % solved",
        "tokens",
    )  # fmt: skip
    return Table("ScienceWorld: tasks of the very same text", heads, rows, NOTES, drawn=("mean score", "best"))


def _less(
    asis: Mapping[tuple[int, str, int], Game], other: Mapping[tuple[int, str, int], float],
    figure: Callable[[Game], float],
) -> str:  # fmt: skip
    """Write how much more gmem's figure is: the games of one memory are told alike, so memories are drawn."""
    by_memory: dict[int, list[float]] = {}
    for key, game in asis.items():
        by_memory.setdefault(key[0], []).append(figure(game) - other[key])
    means = [_mean(values) for values in by_memory.values()]
    low, high = interval(means)
    return f"{_mean(means):+.1f} ({low:+.1f} to {high:+.1f})"


def _mean(values: Sequence[float] | Iterator[float]) -> float:
    return float(np.mean(list(values)))
