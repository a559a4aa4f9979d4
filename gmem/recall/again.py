"""A second look: what a query finds first is asked with in turn, and its neighbours speak for each other.

Runs refine each other as notes do in A-MEM (arXiv 2502.12110), there by a model whenever one is added.  Here it is done
when a query comes, as relevance feedback (Rocchio, 1971) without anybody's judgement: so nothing that is stored depends
on what was stored before it, and a task that arrives counts for its neighbours at once.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, GraphStore
from gmem.recall.rank import relevance, top
from gmem.recall.settings import RecallSettings

__all__ = ["again"]

FIRST = 3
"""Tasks that are asked with, the most relevant ones."""
NEAR = 32
"""Tasks of each outcome that they speak for, at most: the most relevant ones, so that it costs little in any memory."""
WORTH = 0.4
"""Relevance of the first of them below which they are not asked with: it would count too little for what it costs."""
SHARE = 0.5
"""What they count beside the query if the first of them matches it perfectly; by the square of its relevance less."""


def again(
    store: GraphStore,
    team: str,
    candidates: Candidates,
    scores: NDArray[np.float32],
    eligible: NDArray[np.bool_],
    settings: RecallSettings,
) -> NDArray[np.float32]:
    """Ask once more, with what was found first, and weigh that in.

    Args:
        store: Where the tasks are.
        team: Whose.
        candidates: What was compared with the query, n tasks.
        scores: The relevance of each, float32 array (n,).
        eligible: Which of them may be asked with and spoken for, bool array (n,).
        settings: How many are looked for, and the least trust.

    Returns:
        float32 array (n,), each in [0, 1], in the order of the candidates.
    """
    first = dict(top(candidates.ids, scores, FIRST, eligible))
    if not first or max(first.values()) < WORTH:
        return scores
    near = top(candidates.ids, scores, max(NEAR, 2 * settings.seeds), eligible & (candidates.outcomes >= 0))
    near += top(candidates.ids, scores, max(NEAR, 2 * settings.failures), eligible & (candidates.outcomes < 0))
    among = [id for id, _ in near]
    asked = store.wordings(team, list(first))
    vectors = store.vectors(team, list(first)) if candidates.has_dense else {}
    said, whole = np.zeros(len(scores), dtype=np.float32), 0.0
    for id, words in asked.items():
        more = store.candidates(team, Counter(words), vectors.get(id), words=words, among=among)
        said[[candidates.rows[other] for other in more.ids]] += np.float32(first[id]) * relevance(
            more, settings.min_trust
        )
        whole += first[id]
    share = np.float32(SHARE * max(first.values()) ** 2)  # what is itself hardly like the query leads astray
    return scores + share * (said / np.float32(whole) - scores) if whole else scores
