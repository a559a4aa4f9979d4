"""Bidirectional traversal: from a query to tasks, up to insights, down to interaction graphs.

Source: G-Memory (arXiv 2506.07398), section 4.2, with failures beside successes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import GraphStore, Work
from gmem.recall.climb import climb
from gmem.recall.descend import descend
from gmem.recall.found import Found
from gmem.recall.seek import hits
from gmem.recall.settings import RecallSettings
from gmem.text import terms, words

__all__ = ["traverse"]

TOLD = 8
"""Words that are named, at most, as telling what has to be done."""
NEXT_TO_NOTHING = 0.005
"""Share of the relevance below which it would be misleading to tell what is expected."""


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
        expected = work.expected if work.share >= NEXT_TO_NOTHING else ()
        notes.append(_told(work))
    return Found(query, tuple(lessons), tuple(solved), tuple(failed), tuple(dropped + same), tuple(notes), expected)


def _told(work: Work) -> str:
    """Say what the query is expected to take, by which of its words, and how much that counts."""
    if not work.telling:
        return "None of the words asked with tells what has to be done."
    words = ", ".join(f"'{word}'" for word in work.telling[:TOLD]) + (", ..." if len(work.telling) > TOLD else "")
    told = f"Of the words asked with, {words} {'tells' if len(work.telling) == 1 else 'tell'} what has to be done"
    if work.share < NEXT_TO_NOTHING:
        return f"{told}, but that counts for next to nothing."
    deeds = f": {', '.join(work.expected)}" if work.expected else ", though no single deed stands out"
    return f"{told}{deeds}. That counts for {work.share:.0%} of the relevance."
