"""What a traversal finds in each tier, before it is projected to a role and fitted to a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gmem.model import Interaction, Task
from gmem.recall.doubt import Doubt
from gmem.recall.items import Lesson, Row

__all__ = ["Found", "FoundCase", "FoundLesson", "Hit"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A task of the query graph that the traversal reached.

    Attributes:
        id: The task.
        relevance: How like the query it is, in [0, 1].
        path: How it was reached, as one line.
        parts: What the relevance is made of.
        doubt: What speaks against its outcome, if that is in doubt.
    """

    id: str
    relevance: float
    path: str
    parts: Mapping[str, float]
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class FoundCase:
    """A task that may be delivered, with its whole interaction graph."""

    hit: Hit
    task: Task
    interaction: Interaction


@dataclass(frozen=True, slots=True)
class FoundLesson:
    """An insight that may be delivered."""

    lesson: Lesson
    path: str
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a traversal found, before it is projected to a role and fitted to a budget.

    Attributes:
        lessons: Best first.
        solved: Resolved and unverified tasks, best first.
        failed: Failed tasks, best first.
        dropped: What was found and is not delivered, with the reason.
        notes: What a reader should know of the recall as a whole.
        expected: What the memory expects the query to take, such as `put * in *`.
    """

    query: str
    lessons: tuple[FoundLesson, ...]
    solved: tuple[FoundCase, ...]
    failed: tuple[FoundCase, ...]
    dropped: tuple[Row, ...]
    notes: tuple[str, ...]
    expected: tuple[str, ...] = ()
