"""Down: from the best tasks that a recall reached to their interaction graphs, none that says what another says."""

from __future__ import annotations

from gmem.graphs.base import GraphStore
from gmem.model import Interaction, Task
from gmem.recall.found import FoundCase, Hit
from gmem.recall.items import Row
from gmem.recall.settings import RecallSettings
from gmem.recall.spread import alike, handled, proof, spread
from gmem.text import fold

__all__ = ["descend"]

RUNS = 8
"""Further runs of the same task that are looked at, at most, where several have been chosen."""
EQUAL = 1e-4
"""Difference of two figures that sums in another order explain."""


def descend(
    store: GraphStore, team: str, reached: list[Hit], settings: RecallSettings
) -> tuple[list[FoundCase], list[FoundCase], list[Row]]:
    """Descend from the best tasks to their interaction graphs; of equal runs the first is enough.

    Args:
        store: Where the graphs are.
        team: Whose.
        reached: The tasks, most relevant first.
        settings: How many are wanted.

    Returns:
        Resolved and unverified tasks, failed ones, each best first; and what was left out, with the reasons.
    """
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
