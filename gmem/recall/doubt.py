"""Outcomes in doubt: a run that was called solved, and did what the failed ones did, or the other way round.

Of the runs nearest to a query those are compared that did the most alike.  If they ended otherwise than a run is said
to have ended, more than the mix of outcomes there explains, its outcome is in doubt.  That is no proof: the first team
that solves a hard task looks like those that failed before it, so a doubted run only gives way to others as relevant.
Nor can one source cast doubt on the runs of all others by telling of many: it counts as much as they do, at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, GraphStore
from gmem.graphs.ridge import product
from gmem.recall.rank import top

__all__ = ["Doubt", "doubtful", "doubts"]

Numbers = NDArray[np.uint32]
LOOKED_AT = 64
"""Verified runs nearest to the query that are compared."""
ALIKE = 16
"""Runs that did the most alike, of those, by which one is judged."""
LEAST = 8
"""So many there must be; and of each outcome at least two."""
BOTH = 2
OTHERS = 4
"""Runs of other sources that did the same, each counted by how alike, from which no source counts more than they."""
SHARP = 3
"""Power of the likeness of deeds: who did nearly the same says more than two who did half of it."""
PRIOR = 0.5
"""How much of the mix of outcomes nearby is expected of those that did alike, too."""
EDGE = 0.02
"""How far the mix of outcomes keeps from 0 and 1."""
SURE = {1: 1.0, -1: 0.5}
"""Log odds above which an outcome is in doubt: of a success more, for a new way to succeed looks like failures."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an outcome is in doubt.

    Attributes:
        odds: Log odds against the outcome, beyond what the outcomes nearby lead to expect.
        otherwise: Of the runs that did the most alike, the share that ended otherwise, counted by how alike, in [0, 1].
        alike: How many those are.
    """

    odds: float
    otherwise: float
    alike: int

    def __str__(self) -> str:
        alike = f"{self.alike} runs that did the most alike"
        return f"its outcome is in doubt: {self.otherwise:.0%} of {alike} ended otherwise"


def doubtful(store: GraphStore, team: str, candidates: Candidates, scores: NDArray[np.float32]) -> dict[str, Doubt]:
    """Find the runs nearest to a query whose outcome is in doubt.

    Args:
        store: Where the graphs are.
        team: Whose.
        candidates: n tasks.
        scores: How relevant each is, float32 array (n,).

    Returns:
        What speaks against the outcome of each of them, by id.
    """
    near = top(candidates.ids, scores, LOOKED_AT, (candidates.outcomes != 0) & (scores > 0))
    ended = [int(candidates.outcomes[candidates.rows[id]]) for id, _ in near]
    if len(near) <= LEAST or min(ended.count(1), ended.count(-1)) < BOTH:
        return {}
    done = store.done(team, [id for id, _ in near])
    origins = store.origins(team, [id for id, _ in near])
    sources = [origins[id][0] if id in origins else "" for id, _ in near]
    found = doubts([done.get(id, _NOTHING) for id, _ in near], ended, [score for _, score in near], sources)
    return {near[at][0]: doubt for at, doubt in found.items()}


_NOTHING: Numbers = np.zeros(0, dtype=np.uint32)


def doubts(
    done: Sequence[Numbers], ended: Sequence[int], scores: Sequence[float], sources: Sequence[str]
) -> dict[int, Doubt]:
    """Hold each run against those that did the most alike.

    Args:
        done: Numbers of what was done in each run, each once.
        ended: How each is said to have ended: 1 or -1.
        scores: How relevant each is, above 0.
        sources: Where each comes from.

    Returns:
        What speaks against the outcome of those that are in doubt, by their place.
    """
    likeness = _likeness(done)
    weight = np.power(likeness, SHARP) * (np.array(scores) / max(scores))[None, :]
    np.fill_diagonal(weight, 0)
    weight = np.round(_balanced(weight, sources), 6)
    order = np.argsort(-weight, axis=1, kind="stable")[:, :ALIKE]
    nearest = np.take_along_axis(weight, order, axis=1)
    otherwise = (np.array(ended)[order] != np.array(ended)[:, None]) & (nearest > 0)
    heard = (nearest > 0).sum(axis=1)
    voices = nearest * heard[:, None] / np.maximum(nearest.sum(axis=1, keepdims=True), 1e-9)
    against = (voices * otherwise).sum(axis=1)
    usual = _usual(np.array(ended), np.array(scores))
    odds = np.log((against + 0.5) / (voices.sum(axis=1) - against + 0.5)) - PRIOR * np.log(usual / (1 - usual))
    return {
        at: Doubt(round(float(odds[at]), 4), round(float(against[at] / heard[at]), 4), int(heard[at]))
        for at in np.flatnonzero((heard >= LEAST) & (np.round(odds, 4) > [SURE[end] for end in ended])).tolist()
    }


def _balanced(weight: NDArray[np.float64], sources: Sequence[str]) -> NDArray[np.float64]:
    """Let no source be louder about a run than all others together, where these have something to say as well."""
    names, of = np.unique(sources, return_inverse=True)
    said = np.stack([weight[:, of == place].sum(axis=1) for place in range(len(names))], axis=1)
    rest = said.sum(axis=1, keepdims=True) - said
    share = np.where((said > rest) & (rest >= OTHERS), rest / np.maximum(said, 1e-9), 1.0)
    result: NDArray[np.float64] = weight * share[:, of]
    return result


def _likeness(done: Sequence[Numbers]) -> NDArray[np.float64]:
    """Say how alike was what runs did, the rarer a deed the more it counts: (n, n), in [0, 1]."""
    flat = np.concatenate(done)
    names, column = np.unique(flat, return_inverse=True)
    row = np.repeat(np.arange(len(done)), [len(part) for part in done])
    # Of two stores each has numbers of its own for deeds, so the order of summing differs: as many digits as there are.
    had = np.zeros((len(done), len(names)), dtype=np.float64)
    had[row, column] = 1
    had *= np.log((len(done) + 1) / np.maximum(had.sum(axis=0), 1))
    had /= np.maximum(np.linalg.norm(had, axis=1, keepdims=True), 1e-9)
    return np.clip(np.round(product(had, had.T), 5), 0, 1)


def _usual(ended: NDArray[np.int_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give for each run the share of the others nearby that ended otherwise, never quite 0 nor 1: (n,)."""
    resolved = float(scores[ended > 0].sum())
    otherwise = np.where(ended > 0, float(scores.sum()) - resolved, resolved)
    whole = float(scores.sum()) - scores
    result: NDArray[np.float64] = (otherwise + EDGE * whole) / ((1 + 2 * EDGE) * whole)
    return result
