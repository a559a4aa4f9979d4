"""Bidirectional traversal: from a query to tasks, up to insights, down to interaction graphs.

Source: G-Memory (arXiv 2506.07398), section 4.2, with failures beside successes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, GraphStore
from gmem.model import Insight, Interaction, Task
from gmem.recall.again import again
from gmem.recall.doubt import Doubt, doubtful
from gmem.recall.items import Lesson, Row
from gmem.recall.rank import faded, insight_weight, lift, relevance, top
from gmem.recall.settings import RecallSettings
from gmem.recall.spread import alike, handled, proof, spread
from gmem.text import fold, terms, words
from gmem.voices import Heard, hear

__all__ = ["Found", "FoundCase", "FoundLesson", "Hit", "hits", "traverse"]

TOLD = 8
"""Words that are named, at most, as telling what has to be done."""
PROOFS = 3
"""Supporting tasks that are named with a lesson."""
RUNS = 8
"""Further runs of the same task that are looked at, at most, where several have been chosen."""
EQUAL = 1e-4
"""Difference of two figures that sums in another order explain."""


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
        lessons, dropped = _up(store, team, reached)
        solved, failed, same = _down(store, team, reached, settings)
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


def hits(
    store: GraphStore,
    team: str,
    candidates: Candidates,
    settings: RecallSettings,
    exclude: frozenset[str] = frozenset(),
) -> list[Hit]:
    """Find the seeds of each outcome and hop from them over the query graph; most relevant first."""
    scores = relevance(candidates, settings.min_trust)
    eligible = scores >= max(settings.min_relevance, 1e-9)
    for id in exclude:
        if (row := _row(candidates, id)) is not None:
            eligible[row] = False
    alone = scores
    scores = again(store, team, candidates, scores, eligible, settings)
    doubts = doubtful(store, team, candidates, np.where(eligible, scores, 0)) if settings.doubtful < 1 else {}
    kept = faded(candidates, settings.half_life)  # from here on only the order changes, not what is near enough
    scores = scores * kept
    first = {id for id, _ in _seeds(candidates, scores, eligible, settings)} if doubts else set()
    for row in [candidates.rows[id] for id in doubts]:
        scores[row] *= np.float32(settings.doubtful)
        kept[row] *= np.float32(settings.doubtful)
    seeds = _seeds(candidates, scores, eligible, settings)
    wanted = {id for id, _ in seeds}
    reached = {id: (score, "") for id, score in seeds}
    for id in first - wanted:  # they give way, and are told of
        reached[id] = (float(scores[candidates.rows[id]]), "")
        wanted.add(id)
    paths = {id: "seed" for id in wanted}
    frontier = dict(seeds)
    for _ in range(settings.hops):
        following: dict[str, float] = {}
        for id, score in sorted(frontier.items(), key=lambda pair: (-pair[1], pair[0])):
            for edge in store.neighbours(team, id)[: settings.neighbours]:
                other = edge.b if edge.a == id else edge.a
                row = _row(candidates, other)
                trust = float(candidates.trust[row] * kept[row]) if row is not None else 1.0
                carried = score * edge.score * settings.decay * trust
                if not carried or other in exclude or other in wanted or carried <= reached.get(other, (0.0, ""))[0]:
                    continue
                reached[other] = (carried, id)
                paths[other] = f"hop from {id} over SIMILAR {edge.score:.2f}"
                following[other] = carried
        frontier = following
    found = []
    for id, (carried, _) in reached.items():
        row = _row(candidates, id)
        direct = float(scores[row]) if row is not None else 0.0
        if row is not None and float(candidates.trust[row]) < settings.min_trust:
            continue
        parts = {"relevance": max(direct, carried), "hop": 0.0 if id in wanted else carried}
        if row is not None:
            parts |= {
                "by the query alone": float(alone[row]),
                "bm25": float(candidates.lexical[row]),
                "cosine": float(candidates.dense[row]),
                "same talk": float(candidates.talk[row]),
            }
            if candidates.work is not None:
                parts |= {"same work": float(candidates.work.alike[row]), "weight of work": candidates.work.share}
        if row is not None and settings.half_life and candidates.age is not None:
            parts["age"] = float(candidates.age[row])
        doubt = doubts.get(id)
        if doubt is not None:
            parts["doubt"] = doubt.odds
        found.append(Hit(id, max(direct, carried), paths[id], parts, doubt))
    found.sort(key=lambda hit: (-hit.relevance, hit.id))
    return found


def _seeds(
    candidates: Candidates, scores: NDArray[np.float32], eligible: NDArray[np.bool_], settings: RecallSettings
) -> list[tuple[str, float]]:
    seeds = top(candidates.ids, scores, settings.seeds, eligible & (candidates.outcomes >= 0))
    return seeds + top(candidates.ids, scores, settings.failures, eligible & (candidates.outcomes < 0))


def _row(candidates: Candidates, id: str) -> int | None:
    row = candidates.rows.get(id)
    return row if row is not None and row < len(candidates.ids) else None


def _up(store: GraphStore, team: str, reached: list[Hit]) -> tuple[list[FoundLesson], list[Row]]:
    """Climb from the tasks to the insights that they speak for or against."""
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


def _down(
    store: GraphStore, team: str, reached: list[Hit], settings: RecallSettings
) -> tuple[list[FoundCase], list[FoundCase], list[Row]]:
    """Descend from the best tasks to their interaction graphs; of equal runs the first is enough."""
    solved: list[FoundCase] = []
    failed: list[FoundCase] = []
    same: list[Row] = []
    seen: dict[tuple[str, ...], str] = {}
    ahead = max(settings.cases + settings.failures, 1)
    fetched: dict[str, tuple[Task, Interaction]] = {}
    for place, hit in enumerate(reached):
        if len(solved) >= settings.cases and len(failed) >= settings.failures:
            break
        if place % ahead == 0:  # as many at once as will mostly do: a server is asked once, not for each
            fetched = store.cases(team, [h.id for h in reached[place : place + ahead]])
        if hit.id not in fetched:  # forgotten by somebody else since the walk began
            continue
        task, interaction = fetched[hit.id]
        room = len(failed) < settings.failures if task.outcome == "failed" else len(solved) < settings.cases
        if not room:
            continue
        if why := _says_nothing_new(task, interaction, seen):
            same.append(_cut(hit, why))
            continue
        (failed if task.outcome == "failed" else solved).append(FoundCase(hit, task, interaction))
    solved = _differing(store, team, [hit for hit in reached if hit.doubt is None], solved, seen, same)
    told = {case.hit.id for case in (*solved, *failed)} | {row.id for row in same}
    for hit in reached:
        if hit.doubt is not None and hit.path == "seed" and hit.id not in told:
            same.append(_cut(hit, f"{hit.doubt}, so others go before it"))
    return solved, failed, same


def _says_nothing_new(task: Task, interaction: Interaction, seen: dict[tuple[str, ...], str]) -> str:
    """Say why a run need not be told beside those seen; '' if it must, and it then counts as seen."""
    key = set(task.key_steps)
    if interaction.utterances and all(u.echo for u in interaction.utterances if not key or u.seq in key):
        return "it only repeats what the memory had told"
    content = (task.outcome, *(u.content for u in interaction.utterances if u.seq in key))
    twin = seen.setdefault(content, task.id)
    return f"the same steps as {twin}" if twin != task.id else ""


def _cut(hit: Hit, why: str) -> Row:
    return Row(hit.id, "case", "cut", hit.path, hit.relevance, 0, why, hit.parts)


def _differing(
    store: GraphStore, team: str, reached: list[Hit], chosen: list[FoundCase], seen: dict[tuple[str, ...], str],
    same: list[Row],
) -> list[FoundCase]:  # fmt: skip
    """Where several of the chosen are runs of the very same task, take those of its runs that differ in what was done.

    The task keeps the places that it has won, so that nothing else is told more or less of.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for place, case in enumerate(chosen):
        groups.setdefault(_asked(case.task), []).append(place)
    groups = {asked: places for asked, places in groups.items() if len(places) > 1}
    if not groups:
        return chosen
    known = {case.hit.id for case in chosen} | {row.id for row in same}
    firsts = [chosen[places[0]].hit for places in groups.values()]
    others = [hit for hit in reached if hit.id not in known and any(_same_words(hit, first) for first in firsts)]
    fetched = store.cases(team, [hit.id for hit in others[:RUNS]])
    runs = {asked: [chosen[place] for place in places] for asked, places in groups.items()}
    for hit in others:
        task, interaction = fetched.get(hit.id, (None, None))
        if task is None or interaction is None or _asked(task) not in runs:
            continue
        if why := _says_nothing_new(task, interaction, seen):
            same.append(_cut(hit, why))
        else:
            runs[_asked(task)].append(FoundCase(hit, task, interaction))
    result = list(chosen)
    for asked, places in groups.items():
        found = runs[asked]
        deeds = [handled(run.task, run.interaction) for run in found]
        if not any(deeds):  # mere talk: nothing says how they differ
            continue
        taken = spread([proof(run.task, run.interaction) for run in found], deeds, len(places))
        for place, at in zip(places, taken, strict=True):
            result[place] = found[at]
        for at in sorted(set(range(len(found))) - set(taken)):
            nearest = max(taken, key=lambda other: alike(deeds[other], deeds[at]))
            why = f"the same task as {found[nearest].task.id}, and much the same was done"
            same.append(_cut(found[at].hit, why))
    return result


def _asked(task: Task) -> tuple[str, str]:
    return task.outcome, fold(task.query)


def _same_words(a: Hit, b: Hit) -> bool:
    """Say whether two tasks can have the same text: then they are equally like the query by their words."""
    figures = ("bm25", "cosine")
    return all(f in a.parts and f in b.parts and abs(a.parts[f] - b.parts[f]) < EQUAL for f in figures)
