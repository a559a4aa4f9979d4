"""What a recall is made of: lessons, cases, and a row of reasons for each item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gmem.model import Insight, Task, Utterance

__all__ = ["Case", "Lesson", "Row"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """An insight, with its evidence as it stands now.

    Attributes:
        insight: The insight.
        weight: Its rank among the lessons.
        successes: Resolved runs that followed it, of so many resolved runs.
        failures: Failed runs that followed it, of so many failed runs.
        proofs: Ids of tasks that support it: resolved ones first, then by nearness to the query.
        lift: Change of the share of resolved runs when it was shown, with 95 % bounds, against the runs
            from which it was withheld by lot (`RecallSettings.holdout`); None before that is measured.
    """

    insight: Insight
    weight: float
    successes: tuple[int, int]
    failures: tuple[int, int]
    proofs: tuple[str, ...]
    lift: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """An earlier task with that part of its interaction graph that matters here.

    Attributes:
        task: The task.
        relevance: How like the query it is, in [0, 1].
        steps: Its utterances that matter for the query and the role, in order.
        doubt: What speaks against its outcome; '' if that is not in doubt.
    """

    task: Task
    relevance: float
    steps: tuple[Utterance, ...]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Why one item was delivered, or was not.

    Attributes:
        id: The task or insight.
        kind: `lesson` or `case`.
        verdict: `shown`, `cut` (no room, or no need), `withheld` (control group) or `dropped` (evidence speaks
            against it).
        path: How it was found, as one line.
        score: Its rank figure.
        parts: What the figure is made of.
        tokens: Its price.
        why: What decided.
    """

    id: str
    kind: str
    verdict: str
    path: str
    score: float
    tokens: int
    why: str
    parts: Mapping[str, float] = field(default_factory=dict)
