"""The panel: a bounded sample of a team's verified runs, on which its habits are compared.

However large a memory grows, the panel stays as large: so learning costs the same for each run.  Which
runs are in it follows from their ids and questions alone, so it does not depend on the order in which
they were learned, nor on who reads it.  It is drawn by outcome, from one question after the other, those
first of which runs of both outcomes are known: it is within questions that runs are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from heapq import nsmallest
from threading import Lock

import numpy as np

from gmem.errors import UnknownId
from gmem.graphs.base import Candidates, GraphStore
from gmem.learn.gates import Gates
from gmem.learn.patterns import habits
from gmem.learn.profile import Profile, place
from gmem.model import Interaction, Task
from gmem.text import fold, template

__all__ = ["Drawn", "Member", "Panels", "draw", "drawn", "due", "member"]

SIZE = 512
"""Runs of each outcome in a panel."""
MOST_HABITS = 2_000
"""Habits of one run that are looked at; a team of a dozen has some hundreds."""
POOL = 1_024
"""Runs of each outcome whose questions are looked at to draw a panel."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A verified run that may be in a panel.

    Attributes:
        task_id: The run.
        resolved: What came of it.
        question: Hash of the text that was asked.
        kind: Hash of the same, names and numbers left out.
        source: Where its trace came from.
    """

    task_id: str
    resolved: bool
    question: int
    kind: int
    source: str


@dataclass(frozen=True, slots=True)
class Member:
    """A run in a panel, and what it did."""

    run: Drawn
    profile: Profile
    habits: frozenset[str]


def member(run: Drawn, shape: Profile) -> Member:
    """Seat a run in a panel."""
    found = habits(shape)
    return Member(run, shape, frozenset(found if len(found) <= MOST_HABITS else sorted(found)[:MOST_HABITS]))


def due(task_id: str, verified: int) -> bool:
    """Say whether runs are compared anew when a run ends: each time at first, then ever more rarely.

    Args:
        task_id: The run that ends; its hash decides, so that nobody has to keep count.
        verified: How many verified runs there are.
    """
    if verified < 32:
        return True
    return place(task_id) % (1 << min(9, (verified // 8).bit_length() - 1)) == 0


@lru_cache(maxsize=8_192)
def _turn(task_id: str) -> int:
    """Give a run its place among others; the same few thousand are drawn from again and again."""
    return place(task_id)


def drawn(task: Task) -> Drawn:
    """Note of a verified task what drawing needs."""
    question, kind = place(fold(task.query).casefold()), place(template(task.query))
    return Drawn(task.id, task.outcome == "resolved", question, kind, task.source)


def draw(runs: Iterable[Drawn], size: int = SIZE, *, in_turn: bool = True) -> list[Drawn]:
    """Draw a panel.

    Args:
        runs: Verified runs, in any order.
        size: Runs of each outcome, at most.
        in_turn: Whether the sources of a question's runs are heard in turn, however much each has to say.

    Returns:
        The runs of the panel, by id.
    """
    by_question: dict[tuple[int, bool], list[Drawn]] = {}
    for run in runs:
        by_question.setdefault((run.question, run.resolved), []).append(run)
    turns: dict[bool, list[tuple[bool, int, int, str, Drawn]]] = {True: [], False: []}
    for (question, resolved), each in by_question.items():
        alone = (question, not resolved) not in by_question
        each.sort(key=lambda r: (_turn(r.task_id), r.task_id))
        if in_turn:
            heard: Counter[str] = Counter()
            order = []
            for r in each:
                order.append(heard[r.source])
                heard[r.source] += 1
            each = [r for _, r in sorted(zip(order, each, strict=True), key=lambda pair: pair[0])]
        turns[resolved] += [(alone, turn, question, r.task_id, r) for turn, r in enumerate(each)]
    chosen = [r for each in turns.values() for *_, r in nsmallest(size, each)]
    return sorted(chosen, key=lambda r: r.task_id)


class Panels:
    """Draws panels from a store, and remembers what it read of each task.

    Args:
        store: Where the runs are.
        shape: Gives the profile of a run, remembered or made.
        remembered: Gives the profile of a run by team and id, if it is remembered.
        gates: Which runs have a say.
    """

    def __init__(
        self,
        store: GraphStore,
        shape: Callable[[Task, Interaction], Profile],
        remembered: Callable[[str, str], Profile | None],
        gates: Gates,
    ) -> None:
        self._store = store
        self._shape = shape
        self._remembered = remembered
        self._gates = gates
        self._lock = Lock()
        self._known: dict[str, dict[str, Drawn]] = {}
        self._seated: dict[str, dict[str, Member]] = {}

    def panel(
        self, team: str, candidates: Candidates | None, own: tuple[Task, Interaction] | None = None
    ) -> list[Member]:
        """Draw the panel of a team.

        Args:
            team: Whose.
            candidates: The team's tasks, for any query, if they are at hand.
            own: A verified run that has just ended, and need not be stored yet.

        Returns:
            The panel's members, by id.
        """
        with self._lock:  # runs may end in several threads at once
            return self._draw(team, candidates, own)

    def _draw(self, team: str, candidates: Candidates | None, own: tuple[Task, Interaction] | None) -> list[Member]:
        mine = {own[0].id} if own is not None else set()
        pool = self._pool(team, candidates, mine)
        known = self._known.setdefault(team, {})
        if own is not None and self._heard(own[0]):
            known[own[0].id] = drawn(own[0])
        missing = [id for id, resolved in pool.items() if id not in known or known[id].resolved != resolved]
        for found in self._tasks(team, missing):
            known[found.id] = drawn(found)
        for gone in [id for id in known if id not in pool and id not in mine]:
            del known[gone]
        chosen = draw((known[id] for id in (*pool, *mine) if id in known), in_turn=self._gates.in_turn)
        return self._members(team, chosen, {id: self._shape(*own) for id in mine} if own is not None else {})

    def _pool(self, team: str, candidates: Candidates | None, own: Collection[str]) -> dict[str, bool]:
        pool: dict[str, bool] = {}
        for resolved in (True, False):
            if candidates is not None and candidates.exact:
                heard = (candidates.trust > 0) & (candidates.trust >= self._gates.trust)
                wanted = (candidates.outcomes > 0) if resolved else (candidates.outcomes < 0)
                ids: Sequence[str] = [candidates.ids[i] for i in np.flatnonzero(wanted & heard).tolist()]
            else:
                ids = self._store.task_ids(team, outcome="resolved" if resolved else "failed")
            if len(ids) > POOL:
                ids = sorted(ids, key=place)[:POOL]
            pool.update((id, resolved) for id in ids if id not in own)
        return pool

    def _heard(self, task: Task) -> bool:
        return task.trust > 0 and task.trust >= self._gates.trust

    def _tasks(self, team: str, ids: Sequence[str]) -> list[Task]:
        try:
            found = self._store.tasks(team, ids)
        except UnknownId:  # one was forgotten by somebody else since the search
            found = [task for task, _ in self._store.cases(team, ids).values()]
        return [t for t in found if t.outcome != "unknown" and self._heard(t)]

    def _members(self, team: str, chosen: Sequence[Drawn], shapes: dict[str, Profile]) -> list[Member]:
        before = self._seated.get(team, {})
        for run in chosen:
            if run.task_id not in before and run.task_id not in shapes:
                shape = self._remembered(team, run.task_id)
                shapes.update({run.task_id: shape} if shape is not None and shape.whole else {})
        missing = [run.task_id for run in chosen if run.task_id not in shapes and run.task_id not in before]
        cases: Mapping[str, tuple[Task, Interaction]] = self._store.cases(team, missing) if missing else {}
        shapes.update((id, self._shape(*case)) for id, case in cases.items())
        found: list[Member] = []
        for run in chosen:
            if run.task_id in shapes:
                found.append(member(run, shapes[run.task_id]))
            elif run.task_id in before:
                found.append(replace(before[run.task_id], run=run))
        self._seated[team] = {m.run.task_id: m for m in found}
        return found
