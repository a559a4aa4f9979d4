"""Weights of blame for one team: the shipped ones, drawn to what its people confirmed.

A pure function of the failures for which somebody was blamed by a person, whatever the order in which they came.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from gmem.errors import UnknownId
from gmem.graphs.base import GraphStore
from gmem.learn.clues import clues
from gmem.learn.profile import place
from gmem.learn.ranking import fit, shares
from gmem.learn.weights import PLAIN, TOLD
from gmem.model import Interaction, Suspect, Task
from gmem.text import fold

__all__ = ["SHIPPED", "Judged", "Judges", "Weights", "aim", "judged", "refine"]

MOST = 128
"""Confirmed failures that are looked at."""
LEAST = 5
"""Questions with a confirmed failure from which weights are refined."""
STRENGTH = 80.0
"""How strongly weights are drawn to the shipped ones, in confirmed failures per standard deviation of a clue."""
AGENT = 0.4
"""Share of the blame that goes to all steps of the agent, the rest to the very step."""
FARTHEST = 1.0
"""How far a weight may be drawn: runs that are all alike in a clue would draw its weight as far as they like."""
FOLDS = 5
SURE = 0.5
"""Standard errors by which refined weights must do better on failures that they have not seen."""

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Weights:
    """What each clue counts.

    Attributes:
        plain: Where nobody said why a run failed.
        told: Where somebody did.
        confirmed: How many failures with confirmed blame they were refined by; 0 for those that ship with gmem.
    """

    plain: Mapping[str, float]
    told: Mapping[str, float]
    confirmed: int = 0


SHIPPED = Weights(PLAIN, TOLD)


@dataclass(frozen=True, slots=True)
class Judged:
    """A failure for which a person blamed somebody.

    Attributes:
        question: Hash of what was asked.
        rows: Clues of each candidate, with those of what was told of the failure.
        plain: The same without.
        blame: How much of the blame each candidate should have.
        trust: How far the run is trusted.
    """

    question: int
    rows: Rows
    plain: Rows
    blame: Sequence[float]
    trust: float


def aim(agents: Sequence[str], steps: Sequence[int], agent: str, step: int) -> list[float]:
    """Say how much of the blame each candidate should have, when an agent and a step of it were blamed.

    Args:
        agents: Who each candidate is.
        steps: Its number in the run.
        agent: Who was blamed.
        step: For which step.
    """
    own = sum(a == agent for a in agents)
    return [AGENT * (a == agent) / max(1, own) + (1 - AGENT) * (s == step) for a, s in zip(agents, steps, strict=True)]


def judged(task: Task, interaction: Interaction) -> Judged:
    """Look at a failure for which a person blamed somebody."""
    told = f"{task.reason}\n{task.feedback}".strip()
    seen = clues(task, interaction.utterances, told)
    plain = clues(task, interaction.utterances) if told else seen
    suspect = task.blame[0]
    blame = aim([u.agent for u, _ in seen], [u.seq for u, _ in seen], suspect.agent, suspect.seq)
    question = place(fold(task.query).casefold())
    return Judged(question, [row for _, row in seen], [row for _, row in plain], blame, task.trust)


def refine(failures: Sequence[Judged], shipped: Weights = SHIPPED) -> Weights:
    """Draw weights to what was confirmed, if that finds the blame better in failures that it has not seen.

    Each question counts once, however often it failed, and each failure by how far its run is trusted.

    Args:
        failures: The failures, in an order that follows from what they are.
        shipped: The weights to start from.
    """
    often = Counter(f.question for f in failures)
    if len(often) < LEAST:
        return shipped
    weighed = [replace(f, blame=[f.trust / often[f.question] * x for x in f.blame]) for f in failures]
    plain = _refined([(f.question, f.plain, f.blame) for f in weighed], shipped.plain)
    told = _refined([(f.question, f.rows, f.blame) for f in weighed], shipped.told)
    if plain is None and told is None:
        return shipped
    return Weights(plain or shipped.plain, told or shipped.told, len(failures))


def _refined(
    failures: Sequence[tuple[int, Rows, Sequence[float]]], prior: Mapping[str, float]
) -> dict[str, float] | None:
    """Give the weights drawn to all failures; None if those drawn to a part of them do no better on the rest."""
    fold = {question: number % FOLDS for number, question in enumerate(sorted({q for q, _, _ in failures}))}
    gains: list[float] = []
    for out in range(FOLDS):
        part = [(rows, blame) for q, rows, blame in failures if fold[q] != out]
        found = _drawn(part, prior)
        for q, rows, blame in failures:
            if fold[q] == out and rows and sum(blame) > 0:
                gains.append(_surprise(rows, blame, prior) - _surprise(rows, blame, found))
    n = len(gains)
    mean = sum(gains) / max(1, n)
    spread = math.sqrt(sum((x - mean) ** 2 for x in gains) / max(1, n - 1) / max(1, n))
    if n < LEAST or mean <= SURE * spread:
        return None
    return _drawn([(rows, blame) for _, rows, blame in failures], prior)


def _drawn(failures: Sequence[tuple[Rows, Sequence[float]]], prior: Mapping[str, float]) -> dict[str, float]:
    found = fit(failures, sorted(prior), prior, STRENGTH)
    return {name: min(max(found[name], value - FARTHEST), value + FARTHEST) for name, value in prior.items()}


def _surprise(rows: Rows, blame: Sequence[float], weights: Mapping[str, float]) -> float:
    parts = shares(rows, weights)
    return -sum(y * math.log(max(p, 1e-12)) for y, p in zip(blame, parts, strict=True))


class Judges:
    """Gives each team its weights, and works them out anew when its people have confirmed something else.

    Args:
        store: Where the failures are.
        trust: Runs that are trusted less have no say.
    """

    def __init__(self, store: GraphStore, trust: float) -> None:
        self._store = store
        self._trust = trust
        self._lock = Lock()
        self._seen: dict[str, dict[_Said, Judged]] = {}
        self._found: dict[str, tuple[tuple[_Said, ...], Weights]] = {}

    def weights(self, team: str) -> Weights:
        """Give the weights of a team: those that ship with gmem until its people have confirmed enough."""
        ids = sorted(self._store.confirmed(team), key=lambda id: (place(id), id))[:MOST]
        if len(ids) < LEAST:
            return SHIPPED
        try:
            tasks = self._store.tasks(team, ids)
        except UnknownId:  # one was forgotten by somebody else meanwhile
            tasks = [task for task, _ in self._store.cases(team, ids).values()]
        heard = [t for t in tasks if t.confirmed and t.trust > 0 and t.trust >= self._trust]
        said = {task.id: _said(task) for task in heard}
        with self._lock:  # runs may end in several threads at once
            known = tuple(said.values())
            before, found = self._found.get(team, ((), SHIPPED))
            if known != before:
                found = refine(self._judged(team, said))
                self._found[team] = known, found
            return found

    def _judged(self, team: str, said: Mapping[str, _Said]) -> list[Judged]:
        seen = self._seen.get(team, {})
        missing = [id for id, key in said.items() if key not in seen]
        cases = self._store.cases(team, missing) if missing else {}
        seen = {key: seen[key] if key in seen else judged(*cases[id]) for id, key in said.items()
                if key in seen or id in cases}  # fmt: skip
        self._seen[team] = seen
        return list(seen.values())


_Said = tuple[str, Suspect, str, str, float]


def _said(task: Task) -> _Said:
    """Give what the judgement of a failure may have changed."""
    return task.id, task.blame[0], task.reason, task.feedback, task.trust
