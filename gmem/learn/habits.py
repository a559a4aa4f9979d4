"""Mining a team's habits: ways of working that go with success, whatever the task.

Every pattern that the runs of a panel show is compared within questions; what chance would give too often,
given how many were compared, teaches nothing (Bonferroni).  Nothing that one task alone shows is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, repeat
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from gmem.learn.gates import USUAL, Gates
from gmem.learn.moves import MOVES, marker
from gmem.learn.panel import Member
from gmem.learn.patterns import bearing, family, follows, had, join, occasion, pattern_order
from gmem.learn.strata import Comparison, Table, attainable, compare, excess, screen
from gmem.model import Polarity

__all__ = ["Habit", "Matrix", "Review", "review", "tables"]

STAYS = 0.5
"""A lesson that chance gives more often than this, given how many are compared, is put off until it holds again."""
MIN_RUNS = 16
"""Runs in a panel before habits are looked for."""
LEAST = 4
"""Runs that must show a pattern, and that must not, before it is compared."""
SAME = 0.6
"""Correlation from which two patterns divide the runs in the same way; one of them is enough."""
OWN_WORDS = 32
"""Words of the team's own that are compared, those spread over most questions first."""
SPREAD = 0.5
"""Share of the panel's questions in which a word must have been said to be none of their matter."""
QUESTIONS = 5
"""Questions whose failures must speak for a habit."""
AGREE = 0.6
"""Share of the questions with a say that must lean the same way."""
NEVER = frozenset((("do", "repeats"), ("do", "idle"), ("avoid", "think")))
"""Advice that nobody should be given, whatever the figures say: they show what failed runs lacked time for."""


@dataclass(frozen=True, slots=True)
class Habit:
    """A pattern that goes with success or failure, compared within questions.

    Attributes:
        pattern: In machine form.
        polarity: Whether it goes with success or with failure.
        found: What the comparison gave.
        p: Two-sided, times the number of patterns compared; at most 1.
    """

    pattern: str
    polarity: Polarity
    found: Comparison
    p: float


class Matrix:
    """Which runs of a panel had occasion to show which patterns, and did.

    Attributes:
        names: The m patterns, sorted.
        shown: float32 array (n, m) of 0 and 1.
        judged: float32 array (n, m) of 0 and 1.
        resolved: bool array (n,).
        strata: int64 array (n,): number of each run's question; one for all questions with a single run.
        kinds: Likewise of each run's kind of question, where it came from and who took part.
    """

    def __init__(self, panel: Sequence[Member], extra: Collection[str] = (), tasks: int = 3) -> None:
        found = [m.habits | own for m, own in zip(panel, _own_words(panel, tasks), strict=True)]
        counts = Counter(chain.from_iterable(found))
        where = _questions(panel, found)
        # A pattern of one task may name a thing of it; where there are not as many tasks, it has to do for all.
        least = min(tasks, len({m.run.question for m in panel}))
        names = {p for p, count in counts.items() if count >= LEAST and where[p] >= least}
        self.names = sorted(names | set(extra))
        place = {pattern: j for j, pattern in enumerate(self.names)}
        self.resolved = np.array([m.run.resolved for m in panel], dtype=bool)
        self.strata = _numbered([(m.run.question,) for m in panel])
        self.kinds = _numbered([(m.run.kind, m.run.source, *sorted(m.profile.speakers)) for m in panel])
        self.questions = np.array([m.run.question for m in panel], dtype=np.uint64)
        self.shown = np.zeros((len(panel), len(self.names)), dtype=np.float32)
        columns = np.fromiter(map(place.get, chain.from_iterable(found), repeat(-1)), dtype=np.intp)
        rows = np.repeat(np.arange(len(panel)), [len(each) for each in found])
        self.shown[rows[columns >= 0], columns[columns >= 0]] = 1
        for p in extra:
            self.shown[:, place[p]] = [bool(follows(p, m.profile)) for m in panel]
        occasions = [occasion(p) for p in self.names]
        each_had = _had(set(occasions), panel)
        judged = np.array([each_had[o] for o in occasions], dtype=np.float32)
        self.judged = judged.reshape(len(self.names), len(panel)).T
        self.shown *= self.judged

    def column(self, pattern: str) -> NDArray[np.float32]:
        """Give what the runs of the panel showed: 1 or -1, 0 where they had no occasion."""
        j = self.names.index(pattern)
        both: NDArray[np.float32] = 2 * self.shown[:, j] - self.judged[:, j]
        return both


def _own_words(panel: Sequence[Member], tasks: int) -> list[set[str]]:
    """Give the words of the team's own that each run said, as patterns; which ones count, its outcome has no say in."""
    least = max(tasks, SPREAD * len({m.run.question for m in panel}))
    spread = _questions(panel, [m.profile.words for m in panel])
    wide = {w for w, questions in spread.items() if questions >= least and w not in MOVES}
    said = [wide.intersection(m.profile.words) for m in panel]
    runs = Counter(chain.from_iterable(said))
    best = sorted((w for w in wide if runs[w] <= 0.95 * len(panel)), key=lambda w: (-spread[w], w))[:OWN_WORDS]
    chosen = {w: join("says", "", marker(w)) for w in best}
    return [{chosen[w] for w in chosen.keys() & those} for those in said]


def _questions(panel: Sequence[Member], shown: Iterable[Collection[str]]) -> Counter[str]:
    """Count in how many questions each thing was shown, of what each run showed."""
    together: dict[int, set[str]] = {}
    for m, each in zip(panel, shown, strict=True):
        together.setdefault(m.run.question, set()).update(each)
    found: Counter[str] = Counter()
    for those in together.values():
        found.update(those)
    return found


def _had(occasions: Iterable[tuple[str, ...]], panel: Sequence[Member]) -> dict[tuple[str, ...], NDArray[np.bool_]]:
    """Say which runs had each occasion, bool arrays (n,); runs that are alike in what decides it are asked once."""
    found = {}
    for what, group in groupby(sorted(occasions), key=itemgetter(0)):
        keys = [bearing(what, m.profile) for m in panel]
        one = {key: m.profile for key, m in zip(keys, panel, strict=True)}
        number = {key: at for at, key in enumerate(one)}
        of = np.array([number[key] for key in keys], dtype=np.intp)
        for o in group:
            found[o] = np.array([had(o, p) for p in one.values()], dtype=bool)[of]
    return found


def _numbered(keys: Sequence[tuple[object, ...]]) -> NDArray[np.int64]:
    """Number the strata; runs that are alone in theirs make one together."""
    counts = Counter(keys)
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(k if counts[k] > 1 else None, len(numbers)) for k in keys], dtype=np.int64
    )  # fmt: skip


def tables(matrix: Matrix, j: int, strata: NDArray[np.int64]) -> Iterator[Table]:
    """Give the table of each question for pattern j."""
    judged, shown = matrix.judged[:, j] > 0, matrix.shown[:, j] > 0
    # Four counts of a stratum stand side by side: resolved that showed it and did not, failed that did and did not.
    cell = strata * 4 + np.where(matrix.resolved, 0, 2) + np.where(shown, 0, 1)
    counts = np.bincount(cell[judged], minlength=4 * (int(strata.max(initial=-1)) + 1)).reshape(-1, 4)
    yield from map(tuple, counts.tolist())


@dataclass(frozen=True, slots=True)
class Review:
    """What a panel says of a team's habits.

    Attributes:
        found: New ones, least likely by chance first.
        holds: Whether those that were known still hold, by pattern.
    """

    found: Sequence[Habit] = ()
    holds: Mapping[str, bool] = field(default_factory=dict)


def review(panel: Sequence[Member], known: Mapping[str, Polarity], most: int, gates: Gates = USUAL) -> Review:
    """Find the habits that go with success or failure in a panel.

    Args:
        panel: Its runs.
        known: Patterns that lessons are there for; nothing that divides the runs as they do is found again.
        most: How many to give at most.
        gates: What a finding needs.

    Returns:
        What was found; nothing while the panel is too small to tell.
    """
    if len(panel) < MIN_RUNS or len({m.run.resolved for m in panel}) < 2:
        return Review()
    matrix = Matrix(panel, known, gates.tasks)
    over, variance = excess(matrix.shown, matrix.judged, matrix.resolved, matrix.strata)
    rough = screen(over, variance)
    shown, judged = matrix.shown.sum(axis=0), matrix.judged.sum(axis=0)
    eligible = (variance > 0) & (shown >= LEAST) & (judged - shown >= LEAST)
    tried = _tried(matrix, np.flatnonzero(eligible), min(gates.chance, 1.0))
    found: list[Habit] = []
    for j in np.flatnonzero(eligible & (rough * tried <= 4 * gates.chance)):
        habit = _habit(matrix, int(j), tried, gates.chance)
        if habit is not None:
            found.append(habit)
    found.sort(key=lambda h: (float(f"{h.p:.6g}"), pattern_order(h.pattern)))  # sums differ in their last digits
    holds = {p: _stays(matrix, p, known[p], tried, gates.chance) for p in known}
    return Review(_different(matrix, found, [p for p in known if holds[p]], most), holds)


def _stays(matrix: Matrix, pattern: str, polarity: Polarity, tried: int, chance: float) -> bool:
    within = compare(tables(matrix, matrix.names.index(pattern), matrix.strata))
    return (within.p if polarity == "do" else within.p_other) * 2 * tried <= max(STAYS, chance)


def _tried(matrix: Matrix, eligible: NDArray[np.int64], chance: float) -> int:
    """Count the comparisons that could have come out: what divides the runs alike is one of them, and what
    could not be significant however the runs had ended is none (Tarone 1990)."""
    both = np.ascontiguousarray((matrix.shown - 2 * matrix.judged).T)
    distinct = {both[j].tobytes(): int(j) for j in eligible}
    columns = sorted(distinct.values())
    best = attainable(matrix.shown[:, columns], matrix.judged[:, columns], matrix.resolved, matrix.strata)
    return next((k for k in range(1, len(columns)) if int((best <= chance / k).sum()) <= k), max(1, len(columns)))


def _habit(matrix: Matrix, j: int, tried: int, chance: float) -> Habit | None:
    pattern = matrix.names[j]
    within = compare(tables(matrix, j, matrix.strata))
    if within.two_sided * tried > chance:
        return None
    polarity: Polarity = "do" if within.p < within.p_other else "avoid"
    if (polarity, pattern.partition("|")[0]) in NEVER:
        return None
    # What only tells one team, or one kind of task, from another must not pass for something that a team did.
    alike = compare(tables(matrix, j, matrix.kinds))
    if (alike.p if polarity == "do" else alike.p_other) > chance:
        return None
    if chance <= 1 and not _consistent(matrix, j, polarity):
        return None
    return Habit(pattern, polarity, within, min(1.0, within.two_sided * tried))


def _consistent(matrix: Matrix, j: int, polarity: Polarity) -> bool:
    """Say whether a case is made by failures of several questions, none of them of more than half of it, and most
    questions that have a say lean the same way: what a few of them made need not be expected of others."""
    against = (matrix.shown[:, j] > 0) == (polarity == "avoid")
    made = Counter(matrix.questions[(matrix.judged[:, j] > 0) & against & ~matrix.resolved].tolist())
    if len(made) < QUESTIONS or 2 * max(made.values()) > made.total():
        return False
    each = [t for t in tables(matrix, j, matrix.strata) if 0 < t[0] + t[1] < sum(t)]
    over = [a - (a + b) * (a + c) / (a + b + c + d) for a, b, c, d in each]
    told = [x > 0 for x in over if abs(x) > 1e-9]
    return len(told) < QUESTIONS or told.count(polarity == "do") >= AGREE * len(told)


def _different(matrix: Matrix, found: Sequence[Habit], known: Sequence[str], most: int) -> list[Habit]:
    families = {family(p) for p in known}
    columns = [matrix.column(p) for p in known]
    chosen: list[Habit] = []
    for habit in found:
        if len(chosen) == most:
            break
        column = matrix.column(habit.pattern)
        if family(habit.pattern) in families or any(abs(_alike(column, c)) >= SAME for c in columns):
            continue
        families.add(family(habit.pattern))
        columns.append(column)
        chosen.append(habit)
    return chosen


def _alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlate what two patterns say of the runs that both have a say in."""
    both = (a != 0) & (b != 0)
    x, y = a[both], b[both]
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
