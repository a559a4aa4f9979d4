"""Ranking: one set of pure functions for every store."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, Tally
from gmem.stats import difference, wilson

__all__ = ["faded", "insight_weight", "lift", "relevance", "top"]

UNKNOWN_SHARE = 0.5
"""What the relevance of a task keeps when nobody verified its outcome."""
MEASURED_BY = 5
"""Verified runs that a memory must have been shown to, and withheld from, before its lift counts."""
OLD = 0.5
"""What the relevance of a task keeps at least, however old it is: what is old may be all there is."""
DENSE_SHARE = 0.5
"""Weight of the cosine beside BM25, where there are vectors, but nothing was learned of words."""


def relevance(candidates: Candidates, min_trust: float = 0.0) -> NDArray[np.float32]:
    """Say how like the query each candidate is.

    Cosine and BM25 are both shares of a perfect match, so they are averaged as they are: the figure
    does not depend on which other candidates there are, and two stores agree on it.  What was said in a
    run adds to that, as a second chance to be alike; and where the memory has learned what the words of a
    task say of the work it takes, that counts beside the words, as much as it has proved itself.  The
    cosine then counts the more, the more of the words the memory has not met: of the others it knows more by itself,
    unless it has seen that the cosine finds the same work better.

    Args:
        candidates: n candidates with their raw figures.
        min_trust: Candidates below it get 0.

    Returns:
        float32 array (n,), each in [0, 1], in the order of the candidates.
    """
    work = candidates.work
    if candidates.has_dense:
        share = DENSE_SHARE if work is None else max(work.cosine, (1.0 - work.known) ** 2)
        result = np.float32(share) * np.clip(candidates.dense, 0.0, 1.0) + np.float32(1.0 - share) * candidates.lexical
    else:
        result = candidates.lexical.copy()
    if candidates.talk.any():
        result = 1 - (1 - result) * (1 - candidates.talk)
    if work is not None:
        result += np.float32(work.share) * (work.alike - result)
    result *= np.where(candidates.outcomes == 0, np.float32(UNKNOWN_SHARE), np.float32(1.0))
    result *= np.where(candidates.trust >= min_trust, candidates.trust, np.float32(0.0))
    return result.astype(np.float32, copy=False)


def faded(candidates: Candidates, half_life: int) -> NDArray[np.float32]:
    """Say what the relevance of each candidate keeps with growing old.

    Source of the idea: TradingGPT (arXiv 2309.03736), in tasks of the team instead of days, and never to nothing.

    Args:
        candidates: n candidates.
        half_life: Tasks of the team after which half of what can be lost is lost; 0: nothing fades.

    Returns:
        float32 array (n,), each in [0.5, 1], in the order of the candidates.
    """
    if not half_life or candidates.age is None:
        return np.ones(len(candidates.ids), dtype=np.float32)
    kept: NDArray[np.float32] = (OLD + (1 - OLD) * np.exp2(-candidates.age / half_life)).astype(np.float32)
    return kept


def top(
    ids: Sequence[str], scores: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None = None
) -> list[tuple[str, float]]:
    """Give the k best as (id, score), best first, ties by id ascending.

    Args:
        ids: n ids.
        scores: float32 array (n,).
        k: How many at most.
        mask: bool array (n,): which of them count; None for all.
    """
    rows = np.arange(len(ids)) if mask is None else np.flatnonzero(mask)
    if k <= 0 or not len(rows):
        return []
    tied = np.zeros(0, dtype=rows.dtype)
    if len(rows) > k:
        # Ties are broken by id, not by position: of all that tie with the k-th, the smallest ids are in.
        chosen = scores[rows]
        threshold = np.partition(chosen, len(rows) - k)[len(rows) - k]
        rows, tied = rows[chosen > threshold], rows[chosen == threshold]
    found = [(ids[int(row)], float(scores[row])) for row in rows]
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    if len(tied):
        score = float(scores[tied[0]])
        found += [(id, score) for id in nsmallest(k - len(found), (ids[row] for row in tied.tolist()))]
    return found


def lift(tally: Tally) -> tuple[float, float, float] | None:
    """Measure what showing a memory did: the change in the share of resolved runs, with 95 % bounds.

    Only the runs that it was withheld from by lot are compared with: those that it was not found for
    were given other tasks, and easier or harder ones.

    Returns:
        The difference and its lower and upper bound, each in [-1, 1]; None unless at least five
        verified runs were shown it and it was withheld from at least five.
    """
    if min(tally.shown, tally.withheld) < MEASURED_BY:
        return None
    return difference(tally.shown_resolved, tally.shown, tally.withheld_resolved, tally.withheld)


def insight_weight(pull: float, supports: int, contradicts: int, lift_low: float, lift_high: float) -> float:
    """Rank an insight by how close its evidence is, how solid, and what it did when it was shown.

    Args:
        pull: Sum of the relevance of the found tasks that support it, less those that contradict it.
        supports: Tasks that support it, in the whole memory.
        contradicts: Tasks that contradict it.
        lift_low: Lower bound of its measured lift, in [-1, 1].
        lift_high: Upper bound.

    Returns:
        The weight; 0 or less means that it must not be delivered.
    """
    solid, _ = wilson(supports, supports + contradicts)
    measured = 1.0 + max(0.0, lift_low) + min(0.0, lift_high)
    return pull * solid * measured
