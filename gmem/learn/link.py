"""Linking a task into the query graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gmem.model import Similar
from gmem.recall.rank import top

__all__ = ["link"]

MOST = 4
LEAST = 0.2


def link(task_id: str, ids: Sequence[str], scores: NDArray[np.float32]) -> list[Similar]:
    """Tie a new task to the tasks most like it.

    Args:
        task_id: The new task.
        ids: Tasks that may be like it.
        scores: How like it each is: float32 array (n,), each in [0, 1].

    Returns:
        At most four edges with a similarity of at least .2, best first.
    """
    return [
        Similar(min(task_id, other), max(task_id, other), round(min(score, 1.0), 6))
        for other, score in top(ids, scores, MOST, scores >= LEAST)
    ]
