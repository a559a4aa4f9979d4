"""Two ideas of other memory systems, in several forms each, on the searches of `retrieval`, question by question.

Neighbours that refine each other (after A-MEM): what is found first speaks for what is like it, as recall does it, or
what is known of a task is spread over the query graph.  Ranking learned from use (after RMM): see `helped`.  No model,
nor embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, GraphStore
from gmem.learn.link import LEAST, MOST
from gmem.recall.again import again
from gmem.recall.rank import relevance
from gmem.text import terms, words

from .helped import ALONE, DEPTHS, HELPS, ORDERS, TWICE, Asked, best, compare, learned, precision
from .report import Bench, Figure, Table
from .retrieval import QUESTIONS, QUICK, WIDE, Memories, drawn
from .searches import Search, searches

__all__ = ["measure"]

Floats = NDArray[np.float64]
SPREAD = 0.2
"""What the neighbours of a task count beside itself."""


def measure(bench: Bench) -> list[Table]:
    """Measure every set that there are traces for in which several right answers are wanted."""
    titles = "Neighbours that refine each other", "Ranking learned from what helped"
    if bench.data is None:
        note = "not measured: give the folder of real traces with --data or GMEM_BENCH_DATA"
        return [Table(title, ("set",), (), (note,)) for title in titles]
    refined: list[list[Figure]] = []
    used: list[list[Figure]] = []
    for found in searches(bench.data):
        if not isinstance(found, str) and found.deep:
            asked = _asked(bench, drawn(found, QUICK if bench.quick else QUESTIONS))
            refined += [[found.name, *row] for row in _refined(asked)]
            used += [[found.name, *row] for row in learned(asked, 2 if bench.quick else ORDERS)]
    heads = [f"P@{k}" for k in DEPTHS] + [f"P@{k} more" for k in DEPTHS]
    more = "more: than the first row of the set, paired, with the 95 % interval by bootstrap over the questions"
    spread = (
        f"neighbours count {SPREAD} beside a run itself; as stored: by its edges; as of now: by its nearest of all runs"
    )
    stream = f"{ORDERS} orders of the questions; learned from one half, which the memory ranked, judged on the other"
    helps = "; ".join(f"{name}: right ones help in {a}, wrong ones in {b}" for name, (a, b) in HELPS.items())
    return [
        Table(titles[0], ("set", "form", *heads), refined, (more, spread)),
        Table(titles[1], ("set", "form", *heads), used, (more, stream, helps)),
    ]


def _refined(questions: Sequence[Asked]) -> list[list[Figure]]:
    return compare({
        name: np.array([precision(asked, asked.forms[name]) for asked in questions]) for name in questions[0].forms
    })  # fmt: skip


def _asked(bench: Bench, search: Search) -> list[Asked]:
    found = []
    known: dict[frozenset[int], tuple[Floats, Floats]] = {}
    with Memories(bench, search, None) as memories:
        for question in search.questions:
            store = memories.without(question.out).store
            candidates = _compare(store, question.text)
            by_id = np.array(sorted(range(len(candidates.ids)), key=candidates.ids.__getitem__))
            if question.out not in known:
                known[question.out] = _between(store, [candidates.ids[at] for at in by_id])
            places = np.array([memories.places[candidates.ids[at]] for at in by_id])
            between, edges = known[question.out]
            forms = {name: scores[by_id] for name, scores in _forms(store, candidates, between, edges, by_id).items()}
            work = candidates.lexical if candidates.work is None else candidates.work.alike
            parts = [value[by_id] for value in (candidates.lexical, work, candidates.talk)]
            right = np.isin(places, list(question.right))
            seen = np.stack([forms[TWICE], *parts], axis=1)
            found.append(Asked(question.text, places, right, forms, between, seen))
    return found


def _compare(store: GraphStore, text: str) -> Candidates:
    return store.candidates("bench", terms(text), None, words=words(text))


def _between(store: GraphStore, ids: Sequence[str]) -> tuple[Floats, Floats]:
    """Give the relevance of tasks for the texts of each other, and the edges between them as stored: both (n, n)."""
    place = {id: at for at, id in enumerate(ids)}
    between, edges = np.zeros((len(ids), len(ids))), np.zeros((len(ids), len(ids)))
    for at, task in enumerate(store.tasks("bench", ids)):
        found = _compare(store, task.query)
        between[at] = relevance(found)[[found.rows[id] for id in ids]]
        for edge in store.neighbours("bench", task.id):
            edges[at, place[edge.b if edge.a == task.id else edge.a]] = edge.score
    return between, edges


def _forms(
    store: GraphStore, found: Candidates, between: Floats, edges: Floats, by_id: NDArray[np.intp]
) -> dict[str, Floats]:
    """Give the relevance of each candidate by each form of the idea, (n,)."""
    nearest = np.zeros_like(between)
    for at, row in enumerate(between):
        near = [other for other in best(row, MOST + 1).tolist() if other != at and row[other] >= LEAST][:MOST]
        nearest[at, near] = nearest[near, at] = row[near]

    def spread(values: NDArray[np.float32], over: Floats) -> NDArray[np.float32]:
        whole, own = over.sum(axis=1), values[by_id]
        theirs = np.where(whole > 0, over @ own / np.where(whole > 0, whole, 1), own)
        result = np.empty_like(values)
        result[by_id] = (1 - SPREAD) * own + SPREAD * theirs
        return result

    alone, work = relevance(found), found.work
    by_words = replace(found, lexical=spread(found.lexical, nearest), talk=spread(found.talk, nearest))
    by_deeds = found if work is None else replace(found, work=replace(work, alike=spread(work.alike, nearest)))
    return {
        ALONE: alone,
        TWICE: again(store, "bench", found, alone, alone > 0, WIDE),
        "relevance spread, as stored": spread(alone, edges),
        "relevance spread, as of now": spread(alone, nearest),
        "words spread, as of now": relevance(by_words),
        "deeds spread, as of now": relevance(by_deeds),
    }
