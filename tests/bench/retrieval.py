"""Does recall find the right experience?  Its walk over the graphs against plain searches, on the same real traces.

Runs are imported as the product does it, learning as it goes.  For each question the runs that are left out are
forgotten in a copy of the memory, and what the walk of `Memory.recall` reaches, best first, is counted; what is cut
afterwards for lack of room is not looked at.
Beside it stand BM25, the nearest by static and MiniLM embeddings where they are installed, and the reciprocal
rank fusion (k = 60) of BM25 and the best of these, over the task texts; for Who&When over the logs.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import gmem
from gmem.embed import Embedder, resolve
from gmem.errors import GmemError
from gmem.graphs import Batch, Candidates
from gmem.importers import import_files
from gmem.recall import RecallSettings, again, rank, seek
from gmem.recall.seek import hits
from gmem.text import terms, words

from .bm25 import BM25
from .report import Bench, Figure, Table
from .searches import Question, Search, searches

__all__ = ["Memories", "drawn", "measure", "without"]

EMBEDDERS = {
    "static": "static:256",
    "MiniLM": os.environ.get("GMEM_BENCH_MINILM", "sentence-transformers/all-MiniLM-L6-v2"),
}
"""Models by name; where MiniLM cannot be fetched, a folder that has it can be named."""
QUESTIONS, QUICK = 200, 40
"""Questions of a set that are asked, at most, drawn with a fixed seed; and in a quick run."""
DEPTH = 10
WIDE = RecallSettings(seeds=DEPTH, failures=DEPTH, min_relevance=0.0)
Ranking = Sequence[int]


def measure(bench: Bench) -> list[Table]:
    """Measure every set that there are traces for."""
    if bench.data is None:
        note = "not measured: give the folder of real traces with --data or GMEM_BENCH_DATA"
        return [Table("Finding the right experience", ("search",), (), (note,))]
    embedders = _embedders()
    tables = []
    for found in searches(bench.data):
        if isinstance(found, str):
            tables.append(Table(f"Not measured: {found}", ("search",), ()))
        else:
            tables.append(_table(bench, drawn(found, QUICK if bench.quick else QUESTIONS), embedders))
    return tables


def drawn(search: Search, most: int) -> Search:
    """Draw so many of the questions, in their order."""
    drawn = np.random.default_rng(1).permutation(len(search.questions))[:most]
    return replace(search, questions=[search.questions[place] for place in sorted(drawn.tolist())])


def _embedders() -> dict[str, Embedder]:
    found = {}
    for name, spec in EMBEDDERS.items():
        with contextlib.suppress(GmemError):  # not installed, or its weights cannot be had
            embedder = resolve(spec)
            if embedder is not None:
                embedder.query("warm up")
                found[name] = embedder
    return found


def _table(bench: Bench, search: Search, embedders: Mapping[str, Embedder]) -> Table:
    columns = ("P@1", "P@2", "P@3", "P@5") if search.deep else ("hit@1", "hit@3", "hit@5", "MRR")
    done = search.questions[0].work is not None
    rows: list[list[Figure]] = []
    for name, rankings in _anchors(search, embedders).items():
        rows.append([name, *_figures(search, rankings, done)])
    for name, embedder in {"words only": None, **embedders}.items():
        with Memories(bench, search, embedder) as memories:
            rows.append([f"gmem, {name}", *_figures(search, memories.ask(), done)])
            if name == "words only":
                for hops in (0, 1, 2):
                    found = memories.ask(seeds=3, failures=1, hops=hops)
                    rows.append([f"gmem, {name}, few seeds, hop {hops}", *_figures(search, found, done)])
                for part in ("work", "talk", "words", "second look"):
                    with without(part):
                        rows.append([f"gmem, {name}, {part} off", *_figures(search, memories.ask(), done)])
            else:
                with without("dense"):
                    rows.append([f"gmem, {name}, cosine off", *_figures(search, memories.ask(), done)])
    notes = [
        f"{len(search.rows)} stored runs, {len(search.questions)} questions; {DEPTH} seeds of each outcome, hop 1",
        "few seeds: 3 that succeeded and 1 that failed, as recall has it by default; what it does not find is wrong",
    ]
    if done:
        columns = (*columns, "work@3")
        notes.append("work@3: how alike the actions of the first three were to those of the question's own run")
    return Table(search.name, ("search", *columns), rows, notes)


def _figures(search: Search, rankings: Sequence[Ranking], done: bool) -> list[Figure]:
    hits = [[place in q.right for place in found] for q, found in zip(search.questions, rankings, strict=True)]
    if not search.deep:
        first = [next((i for i, hit in enumerate(row) if hit), 1_000_000_000) for row in hits]
        return [
            *(float(np.mean([f < k for f in first])) for k in (1, 3, 5)),
            float(np.mean([1 / (1 + f) for f in first])),
        ]
    figures: list[Figure] = [float(np.mean([sum(row[:k]) / k for row in hits])) for k in (1, 2, 3, 5)]
    if done:
        pairs = zip(search.questions, rankings, strict=True)
        figures.append(float(np.mean([q.work[list(found[:3])].mean() for q, found in pairs if q.work is not None])))
    return figures


# --- plain searches -----------------------------------------------------------------------------


def _anchors(search: Search, embedders: Mapping[str, Embedder]) -> dict[str, list[Ranking]]:
    scored: dict[str, list[NDArray[np.float64]]] = {"BM25": []}
    for question in search.questions:  # what is left out does not count for how rare a word is, either
        kept = [i for i in range(len(search.texts)) if i not in question.out]
        scores = np.full(len(search.texts), -np.inf)
        scores[kept] = BM25([search.texts[i] for i in kept]).scores(question.text)
        scored["BM25"].append(scores)
    for name, embedder in embedders.items():
        matrix = embedder.documents(search.texts)
        scored[f"{name} top-k"] = [
            np.where(_out(q, len(matrix)), -np.inf, matrix @ embedder.query(q.text)) for q in search.questions
        ]
        scored[f"RRF of BM25 and {name}"] = [
            np.where(_out(q, len(matrix)), -np.inf, _fused(a, b))
            for q, a, b in zip(search.questions, scored["BM25"], scored[f"{name} top-k"], strict=True)
        ]
    return {
        name: [np.argsort(-row, kind="stable")[:DEPTH].tolist() for row in rows] for name, rows in scored.items()
    }  # fmt: skip


def _out(question: Question, count: int) -> NDArray[np.bool_]:
    return np.isin(np.arange(count), list(question.out))


def _fused(*scores: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(len(scores[0]))
    for row in scores:
        places = np.empty(len(row))
        places[np.argsort(-row, kind="stable")] = np.arange(len(row))
        total += 1 / (60 + places + 1)
    return total


# --- gmem ---------------------------------------------------------------------------------------


class Memories:
    """The memory of a set, and for each group of runs that is left out a copy that has forgotten them."""

    def __init__(self, bench: Bench, search: Search, embedder: Embedder | None) -> None:
        self._search = search
        self._folder = bench.fresh().parent
        traces = self._folder / "traces.jsonl.gz"
        with gzip.open(traces, "wt", encoding="utf-8") as out:
            for place, row in enumerate(search.rows):
                out.write(json.dumps({**row, "place": place}) + "\n")
        self._embedder = embedder
        self._whole = self._folder / "whole.gmem"
        with gmem.Memory(self._whole, team="bench", embedder=embedder or "none") as memory:
            import_files(memory, [traces])
            self.places = {task.id: int(task.metadata["place"]) for task in memory.tasks()}
        self._ids = {place: id for id, place in self.places.items()}
        self._open: dict[frozenset[int], gmem.Memory] = {}

    def __enter__(self) -> Memories:
        return self

    def __exit__(self, *_: object) -> None:
        for memory in self._open.values():
            memory.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def without(self, out: frozenset[int]) -> gmem.Memory:
        """Give a memory that has forgotten the runs at these places."""
        if out not in self._open:
            path = self._folder / f"{len(self._open)}.gmem"
            shutil.copy(self._whole, path)
            memory = gmem.Memory(path, team="bench", embedder=self._embedder or "none")
            if out:
                gone = [self._ids[place] for place in sorted(out)]
                memory.store.write([Batch("bench", "left out", forget_tasks=gone)])
            self._open[out] = memory
        return self._open[out]

    def ask(self, **changes: int) -> list[Ranking]:
        """Give the places of what is found for each question, best first."""
        settings = replace(WIDE, **changes)
        found = []
        for question in self._search.questions:
            store = self.without(question.out).store
            vector = None if self._embedder is None else self._embedder.query(question.text)
            candidates = store.candidates("bench", terms(question.text), vector, words=words(question.text))
            reached = hits(store, "bench", candidates, settings)
            found.append([self.places[hit.id] for hit in reached])
        return found


@contextlib.contextmanager
def without(part: str) -> Iterator[None]:
    """Recall as if one of the things that it compares by, or the second look, were not there."""

    def relevance(found: Candidates, min_trust: float = 0.0) -> NDArray[np.float32]:
        nothing = np.zeros(len(found.ids), dtype=np.float32)
        changes: dict[str, dict[str, object]] = {
            "work": {"work": None}, "talk": {"talk": nothing}, "words": {"lexical": nothing},
            "dense": {"dense": nothing, "has_dense": False},
        }  # fmt: skip
        return rank.relevance(replace(found, **changes[part]), min_trust)

    if part == "second look":
        with patch.object(seek, "again", lambda store, team, found, scores, *_: scores):
            yield
    else:
        with patch.object(seek, "relevance", relevance), patch.object(again, "relevance", relevance):
            yield
