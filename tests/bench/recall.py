"""How long a recall takes without embedding its query, beside one bare numpy search of the same matrix.

What is timed is the whole of `Memory.recall`: words of the query, search of all tasks by vector and by
words, the hop, lessons, reading of the cases from the file, projection, text and reasons.  Only the model is
left out: a stand-in looks up a vector that was made before, and gmem checks and scales it as it does any.
Each query is asked with its vector, by words only, and of bare numpy, in turns of some twenty queries, so that
a busy machine is busy for all of them, and none finds the caches of the processor emptied by another each time.
Bare numpy is timed in both its forms: `matrix @ vector`, which BLAS spreads over threads, and one dot product a
row on one thread, which is what gmem does; the ratio is to the faster one.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

import gmem
from gmem.embed import Embedder
from gmem.graphs import EmbeddedStore

from .clock import Times
from .made import DIMENSION, MODEL, Experience
from .report import Bench, Table

__all__ = ["Prepared", "measure"]

GOALS = {1_000: 5.0, 10_000: 15.0, 100_000: 60.0}
"""Milliseconds that the 95th percentile is to stay under, by number of tasks."""
BEST = 10
TURN = 20


class Prepared:
    """A stand-in for an embedding model: vectors that were made before; zeros (no vector) for other texts."""

    def __init__(self, vectors: dict[str, NDArray[np.float32]] | None = None) -> None:
        self._vectors: dict[str, list[float]] = {text: vector.tolist() for text, vector in (vectors or {}).items()}
        self._none = [0.0] * DIMENSION

    def embed_query(self, text: str) -> list[float]:
        """Give the vector of a text."""
        return self._vectors.get(text, self._none)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give the vectors of texts."""
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        """Give the vector of a text."""
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give the vectors of texts."""
        return self.embed_documents(texts)

    def embedder(self) -> Embedder:
        """Give it as an embedder of gmem."""
        return Embedder(self, MODEL.name, DIMENSION)


def measure(bench: Bench) -> list[Table]:
    """Time recalls at each size."""
    columns = (
        "tasks", "recall p50 ms", "p95 ms", "goal p95", "cpu p50", "cpu p95", "words only p50", "words only p95",
        "numpy BLAS p50", "numpy BLAS p95", "numpy rows p50", "numpy rows p95", "recall / numpy",
    )  # fmt: skip
    rows = [_row(bench, size) for size in bench.sizes]
    notes = (
        f"{bench.recalls} queries of 12 words at each size; vectors of {DIMENSION} numbers; defaults of recall",
        f"numpy: one product of the same matrix and vector, best {BEST} by argpartition; BLAS: `matrix @ vector`, with",
        "as many threads as it likes; rows: one dot product a row, on one thread; the ratio is to the faster",
        "words only: the same memory asked without a vector",
    )
    drawn = ("recall p50 ms", "p95 ms", "words only p50", "numpy rows p50")
    return [Table("Recall, without embedding the query", columns, rows, notes, drawn)]


def _row(bench: Bench, size: int) -> list[float | int | None]:
    source = Experience(seed=77)
    kinds = [source.kind() for _ in range(bench.recalls)]
    queries = [source.query(kind) for kind in kinds]
    vectors = dict(zip(queries, source.vectors(kinds), strict=True))
    store = EmbeddedStore(bench.memory(size))
    try:
        dense = gmem.Memory(store, team="bench", embedder=Prepared(vectors).embedder())
        words = gmem.Memory(store, team="bench", embedder=Prepared().embedder())
        found = store.vectors("bench", store.task_ids("bench"))
        matrix = np.stack(list(found.values()))
        del found
        for query in queries[:10]:
            dense.recall(query)
            words.recall(query)
            _search(matrix, vectors[query])
        whole, by_words, blas, rows, helped = Times(), Times(), Times(), Times(), 0
        for start in range(0, len(queries), TURN):
            turn = queries[start : start + TURN]
            for query in turn:
                with whole.take():
                    recall = dense.recall(query)
                helped += bool(recall)
            for query in turn:
                by_words.call(partial(words.recall, query))
            for query in turn:
                rows.call(partial(_search, matrix, vectors[query], one_thread=True))
            for query in turn:
                blas.call(partial(_search, matrix, vectors[query]))
    finally:
        store.close()
    if helped < len(queries) / 2:  # in a small memory some kinds have no task yet
        raise RuntimeError(f"only {helped} of {len(queries)} recalls found anything: the memory is not as it should be")
    return [
        size, whole.ms(50), whole.ms(95), GOALS.get(size), whole.ms(50, cpu=True), whole.ms(95, cpu=True),
        by_words.ms(50), by_words.ms(95),
        blas.ms(50), blas.ms(95), rows.ms(50), rows.ms(95), whole.ms(50) / min(blas.ms(50), rows.ms(50)),
    ]  # fmt: skip


def _search(matrix: NDArray[np.float32], vector: NDArray[np.float32], one_thread: bool = False) -> NDArray[np.intp]:
    """Find the rows nearest to a vector: what a search without any memory around it costs."""
    scores = (matrix[:, None, :] @ vector)[:, 0] if one_thread else matrix @ vector
    best = np.argpartition(scores, -min(BEST, len(scores)))[-BEST:]
    return best[np.argsort(-scores[best])]
