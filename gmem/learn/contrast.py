"""What a distiller is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gmem.flow import Flow
from gmem.graphs.base import Standing
from gmem.learn.panel import Member
from gmem.learn.patterns import Profile
from gmem.model import Evidence, Insight, Interaction, Notice, Task

__all__ = ["Contrast", "Distiller", "Lessons", "Neighbour"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A verified run that takes part in a comparison."""

    task_id: str
    resolved: bool
    profile: Profile


@dataclass(frozen=True, slots=True)
class Contrast:
    """A run that has just ended, beside what the memory knows of such runs.

    Attributes:
        task: The run's task; its outcome is verified.
        interaction: Its interaction graph.
        run: The run's profile.
        others: Its neighbours in the query graph with a verified outcome, nearest first.
        rival: Nearest task of the opposite outcome with its interaction graph, if there is one.
        panel: Runs of the whole team on which its habits are compared; none unless they are due now.
        mined: Lessons about habits that are there, whoever has a say in them.
        known: Insights that its neighbours speak for or against, with their evidence.
        now: Seconds since the epoch.
    """

    task: Task
    interaction: Interaction
    run: Neighbour
    others: Sequence[Neighbour]
    rival: tuple[Task, Interaction] | None
    known: Sequence[tuple[Insight, Standing]]
    now: float
    panel: Sequence[Member] = ()
    mined: Sequence[Insight] = ()


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a distiller learned.

    Attributes:
        insights: New insights (version 1), and known ones that it changed (version one higher).
        evidence: What runs say about them.
        verdicts: Whether lessons about habits, by id, still hold on the panel on which they were compared anew.
        notices: What a person should know, such as that a model's answer could not be used.
    """

    insights: tuple[Insight, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notices: tuple[Notice, ...] = ()
    verdicts: Mapping[str, bool] = field(default_factory=dict)


class Distiller(Protocol):
    """Turns a contrast into lessons: the interface behind which `rules` and `llm` stand.

    One with a true attribute `samples` is not given `others` for every run where a memory holds many runs like
    it, but ever more rarely, so that a large memory costs no more to learn in than a small one; nor a `rival`,
    which would have to be read whole each time.
    """

    name: str
    external: bool
    """Whether it asks a model, so that the run must be stored safely before it is asked."""

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Learn from a contrast; must never raise for what a model answered."""
        ...
