"""Linking a task into the query graph."""

from __future__ import annotations

from gmem.graphs.base import Candidates
from gmem.model import Similar
from gmem.recall.rank import relevance, top

__all__ = ["link"]

MOST = 4
LEAST = 0.2


def link(task_id: str, candidates: Candidates) -> list[Similar]:
    """Tie a new task to the tasks most like it.

    Args:
        task_id: The new task.
        candidates: Tasks that may be like its query.

    Returns:
        At most four edges with a similarity of at least .2, best first.
    """
    scores = relevance(candidates)
    eligible = scores >= LEAST
    if (own := candidates.rows.get(task_id)) is not None and own < len(candidates.ids):
        eligible[own] = False
    return [
        Similar(min(task_id, other), max(task_id, other), round(min(score, 1.0), 6))
        for other, score in top(candidates.ids, scores, MOST, eligible)
    ]
