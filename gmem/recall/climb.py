"""Up: from the tasks that a recall reached to the insights that they speak for or against."""

from __future__ import annotations

from gmem.graphs.base import GraphStore
from gmem.model import Insight
from gmem.recall.found import FoundLesson, Hit
from gmem.recall.items import Lesson, Row
from gmem.recall.rank import insight_weight, lift
from gmem.voices import Heard, hear

__all__ = ["climb"]

PROOFS = 3
"""Supporting tasks that are named with a lesson."""


def climb(store: GraphStore, team: str, reached: list[Hit]) -> tuple[list[FoundLesson], list[Row]]:
    """Climb from the tasks to the insights that they speak for or against.

    Args:
        store: Where the graphs are.
        team: Whose.
        reached: The tasks.

    Returns:
        The lessons, best first; and what was found and is not to be delivered, with the reasons.
    """
    pull: dict[str, float] = {}
    followed: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for hit in reached:
        for evidence in store.evidence(team, task_id=hit.id):
            supports = evidence.type == "SUPPORTS"
            pull[evidence.insight_id] = pull.get(evidence.insight_id, 0.0) + hit.relevance * (1 if supports else -1)
            if supports:
                (followed if evidence.resolved else lacking).setdefault(evidence.insight_id, []).append(hit.id)
    lessons: list[FoundLesson] = []
    dropped: list[Row] = []
    for insight in store.insights(team, states=("active",)):  # not by id: one may be forgotten meanwhile
        if insight.id not in pull:
            continue
        standing = store.standing(team, insight.id)
        heard = hear(standing, mined=bool(insight.pattern))
        measured = lift(store.tally(team, insight.id))
        _, low, high = measured or (0.0, 0.0, 0.0)
        weight = insight_weight(pull[insight.id], heard.supports, heard.contradicts, low, high)
        # A success that followed the advice proves more to a reader than a failure that did not.
        proofs = (*followed.get(insight.id, ()), *lacking.get(insight.id, ()))[:PROOFS]
        path = "up from " + ", ".join(proofs)
        parts = {"pull": pull[insight.id], "supports": heard.supports, "contradicts": heard.contradicts}
        if measured is not None:
            parts |= {"lift_low": low, "lift_high": high}
        why = _against(pull[insight.id], heard, measured)
        if why:
            dropped.append(Row(insight.id, "lesson", "dropped", path, weight, 0, why, parts))
            continue
        lesson = Lesson(
            insight,
            weight,
            (standing.successes_followed, standing.successes),
            (standing.failures_followed, standing.failures),
            proofs,
            measured,
        )
        lessons.append(FoundLesson(lesson, path, parts))
    lessons.sort(key=lambda found: (-found.lesson.weight, found.lesson.insight.id))
    return _without_opposites(lessons, dropped)


def _against(pull: float, heard: Heard, measured: tuple[float, float, float] | None) -> str:
    if heard.contradicts >= heard.supports:
        return f"contradicted by {heard.contradicts} of {heard.supports + heard.contradicts} runs"
    if pull <= 0:
        return "the tasks nearest to the query contradict it"
    if measured is not None and measured[2] < 0:
        return f"measured to hurt: lift {measured[0]:+.2f} [{measured[1]:+.2f}, {measured[2]:+.2f}]"
    return ""


def _without_opposites(lessons: list[FoundLesson], dropped: list[Row]) -> tuple[list[FoundLesson], list[Row]]:
    """Where one lesson says do and another says avoid the same, keep the better one."""
    kept: list[FoundLesson] = []
    taken: dict[str, Insight] = {}
    for found in lessons:
        insight = found.lesson.insight
        rival = taken.get(insight.pattern) if insight.pattern else None
        if rival is not None and rival.polarity != insight.polarity:
            why = f"{rival.id} says the opposite and has better evidence"
            dropped.append(Row(insight.id, "lesson", "dropped", found.path, found.lesson.weight, 0, why, found.parts))
            continue
        taken.setdefault(insight.pattern, insight)
        kept.append(found)
    return kept, dropped
