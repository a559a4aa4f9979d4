"""Keeping a memory true: merging and retiring insights, and forgetting."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gmem import ids
from gmem.errors import InvalidInput, StoreBusy, WriteConflict
from gmem.graphs.base import Batch, GraphStore
from gmem.learn.gates import USUAL, Gates
from gmem.learn.lifecycle import duplicates, state_of
from gmem.model import Evidence, Insight, Task

__all__ = ["Receipt", "consolidate", "forget"]

ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Receipt:
    """What forgetting removed.

    Attributes:
        tasks: Ids of the tasks removed, with their messages, edges and ledger entries.
        insights: Ids of the insights removed, since nothing supports them any more.
        rebuild: Ids of the insights that lost part of their support; they are not recalled until a
            consolidation finds that the rest carries them.
        utterances: How many messages were removed.
    """

    tasks: tuple[str, ...]
    insights: tuple[str, ...]
    rebuild: tuple[str, ...]
    utterances: int


def consolidate(store: GraphStore, team: str, gates: Gates = USUAL) -> tuple[str, ...]:
    """Merge lessons that say the same, and put each in the state its evidence gives it.

    Returns:
        Ids of the insights that were merged away, then of those that changed their state; none if
        there was nothing to do, or if another process was at it.
    """
    insights = {i.id: i for i in store.insights(team)}
    merged = duplicates([i for i in insights.values() if i.state in ("candidate", "active")])
    seen = {i.id: store.evidence(team, insight_id=i.id) for pair in merged for i in pair}
    moved: dict[tuple[str, str], Evidence] = {}
    for kept, gone in merged:
        mine = {e.task_id for e in seen[kept.id]}
        for e in seen[gone.id]:
            if e.task_id not in mine:
                moved.setdefault((e.task_id, kept.id), replace(e, insight_id=kept.id))
    away = {gone.id for _, gone in merged}
    changed: list[Insight] = []
    for insight in insights.values():
        state = state_of(insight, store.standing(team, insight.id), None, gates)
        if insight.id not in away and state != insight.state:
            changed.append(replace(insight, state=state, version=insight.version + 1))
    if not (away or changed):
        return ()
    batch = Batch(
        team, "consolidate " + ids.new_id("o"), insights=changed, evidence=list(moved.values()),
        forget_insights=sorted(away), seen=seen,
    )  # fmt: skip
    try:
        store.write([batch])
    except (WriteConflict, InvalidInput):
        return ()  # another process is at it, or has forgotten a task; the next round sees what is left
    return (*sorted(away), *sorted(i.id for i in changed))


def forget(
    store: GraphStore, team: str, *, task: str = "", agent: str = "", source: str = "", everything: bool = False
) -> Receipt:
    """Remove tasks, and every insight that nothing supports without them or that a model worded after them.

    Raises:
        InvalidInput: Not exactly one thing to forget was named.
        UnknownId: There is no such task.
    """
    if sum((bool(task), bool(agent), bool(source), everything)) != 1:
        raise InvalidInput("say what to forget: exactly one of task=, agent=, source= or everything=True")
    for _ in range(ATTEMPTS):
        batch, receipt = _plan(store, team, task, agent, source, everything)
        if receipt.tasks or receipt.insights:
            try:
                store.write([batch])
            except WriteConflict:
                continue
        try:
            store.compact()  # even with nothing to remove: it may have been removed by a call that got no further
        except StoreBusy as error:
            raise StoreBusy(
                f"{len(receipt.tasks)} tasks are forgotten, but what they said may still stand in the files of the "
                f"store ({error}); call `memory.store.compact()`, or forget again, when nobody reads it"
            ) from error
        return receipt
    raise WriteConflict("other writers kept changing what was to be forgotten; nothing was removed, try again")


def _plan(store: GraphStore, team: str, task: str, agent: str, source: str, everything: bool) -> tuple[Batch, Receipt]:
    found = store.tasks(team, [task] if task else store.task_ids(team))
    if agent:
        found = [t for t in found if agent in t.agents or _took_part(store, team, t, agent)]
    elif source:
        found = [t for t in found if t.source == source]
    gone = {t.id for t in found}
    away: list[str] = []
    rebuild: list[Insight] = []
    seen: dict[str, list[Evidence]] = {}
    for insight in store.insights(team):
        evidence = store.evidence(team, insight_id=insight.id)
        left = [e for e in evidence if e.task_id not in gone]
        lost = len(left) < len(evidence)
        if everything or _worded_by(insight, gone):
            away.append(insight.id)
        elif lost and not _stands(insight, left):
            away.append(insight.id)
            seen[insight.id] = evidence  # somebody may be about to support it
        elif lost:
            taught = tuple(pair for pair in insight.taught_by if not gone & set(pair))
            rebuild.append(replace(insight, state="rebuild", taught_by=taught, version=insight.version + 1))
    batch = Batch(
        team, "forget " + ids.new_id("o"), insights=rebuild,
        forget_tasks=sorted(gone), forget_insights=away, seen=seen,
    )  # fmt: skip
    receipt = Receipt(tuple(sorted(gone)), tuple(away), tuple(i.id for i in rebuild), sum(t.length for t in found))
    return batch, receipt


def _stands(insight: Insight, left: list[Evidence]) -> bool:
    """Say whether what is left supports a lesson, and somebody who is left did what it speaks of."""
    told = not insight.pattern or any(e.followed == (insight.polarity == "do") for e in left)
    return told and any(e.type == "SUPPORTS" for e in left)


def _worded_by(insight: Insight, gone: set[str]) -> bool:
    """Say whether a model worded a lesson after a task that goes: its text may quote what was said there."""
    return insight.origin == "llm" and any(gone & set(pair) for pair in insight.taught_by)


def _took_part(store: GraphStore, team: str, task: Task, agent: str) -> bool:
    return any(u.agent == agent for u in store.interaction(team, task.id).utterances)
