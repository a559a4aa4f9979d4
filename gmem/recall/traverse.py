"""Bidirectional traversal: from a query to tasks, up to insights, down to interaction graphs.

Source: G-Memory (arXiv 2506.07398), section 4.2, with failures beside successes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import GraphStore
from gmem.recall.climb import climb
from gmem.recall.descend import descend
from gmem.recall.found import Found
from gmem.recall.seek import hits
from gmem.recall.settings import RecallSettings
from gmem.text import terms, words

__all__ = ["traverse"]

TOLD = 8
"""Words that are named, at most, as telling what has to be done."""


def traverse(
    store: GraphStore,
    team: str,
    query: str,
    vector: NDArray[np.float32] | None,
    settings: RecallSettings,
    exclude: frozenset[str] = frozenset(),
) -> Found:
    """Walk the three tiers from a query.

    Args:
        store: Where the graphs are.
        team: Whose.
        query: What is asked.
        vector: Its embedding, float32 array (d,), unit length; None for words only.
        settings: How far to look.
        exclude: Tasks to leave out, such as the one that is being recalled for.
    """
    with store.reading(team):
        candidates = store.candidates(team, terms(query), vector, words=words(query))
        reached = hits(store, team, candidates, settings, exclude)
        lessons, dropped = climb(store, team, reached)
        solved, failed, same = descend(store, team, reached, settings)
    notes = []
    if not len(candidates.ids):
        notes.append("The memory of this team is empty.")
    elif not reached:
        notes.append(
            f"None of {len(candidates.ids):,} tasks is like the query (min_relevance {settings.min_relevance})."
        )
    if not candidates.exact:
        notes.append("The memory is large: the store compared only its nearest candidates.")
    if not candidates.has_dense:
        notes.append("Compared by words only; no embedding model is in use.")
    expected: tuple[str, ...] = ()
    if (work := candidates.work) is not None:
        expected = work.expected
        telling = ", ".join(work.telling[:TOLD]) + (", ..." if len(work.telling) > TOLD else "") or "none"
        told = f"{telling} tell what has to be done: {', '.join(expected) or 'nothing special'}"
        notes.append(f"Of the words asked with, {told}. That counts for {work.share:.0%} of the relevance.")
    return Found(query, tuple(lessons), tuple(solved), tuple(failed), tuple(dropped + same), tuple(notes), expected)
