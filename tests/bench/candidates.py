"""Where candidates come from on Neo4j: the server's own indexes, or the index that each process keeps.

The server is the one named `test`, or the one in GMEM_NEO4J_URI; **it is emptied**. Two teams of one size share
it, so that the server's vector index has to leave one of them out after the fact.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gmem.graphs import GraphStore
from gmem.text import terms

from . import stores
from .report import Bench, Figure, Table

__all__ = ["measure"]

TEAM, OTHER = "bench", "other"
BEST = 10
OVER = 4
"""The server is asked for so many times what is wanted, since its vector index knows no teams."""
MAKE = (
    "CREATE VECTOR INDEX bench_vectors IF NOT EXISTS FOR (t:Task) ON (t.embedding) OPTIONS {indexConfig: "
    "{`vector.dimensions`: 256, `vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}}",
    "CREATE FULLTEXT INDEX bench_words IF NOT EXISTS FOR (t:Task) ON EACH [t.team, t.query]",
    "CALL db.awaitIndexes(600)",
)
BY_VECTOR = """
CALL db.index.vector.queryNodes('bench_vectors', $k, $vector) YIELD node, score
WHERE node.team = $team RETURN node.id AS id LIMIT $best
"""
BY_WORDS = """
CALL db.index.fulltext.queryNodes('bench_words', $words, {limit: 100}) YIELD node, score
WHERE node.team = $team RETURN node.id AS id LIMIT $best
"""


def measure(bench: Bench) -> list[Table]:
    """Ask the same of both, at each size up to 10,000 tasks a team."""
    columns = ("what", "tasks a team", "p50 ms", "p95 ms", f"recall@{BEST} of the exact nearest", "fewest found")
    try:
        access = stores.find()
    except pytest.skip.Exception as missing:
        return [Table("Candidates on Neo4j", columns, (), (f"not measured: {missing}",))]
    rows: list[tuple[Figure, ...]] = []
    for size in [s for s in bench.sizes if 1_000 <= s <= 10_000] or [min(bench.sizes)]:
        for name in ("bench_vectors", "bench_words"):
            access.ask(f"DROP INDEX {name} IF EXISTS")  # one of two constants
        access.empty()
        with contextlib.closing(access.open()) as store:
            for team in (TEAM, OTHER):
                stores.prepare(store, team)
                for first in range(0, size, 100):
                    store.write([stores.batch(n, team) for n in range(first, min(first + 100, size))])
            for statement in MAKE:
                access.ask(statement)
            ids = store.task_ids(TEAM)
            held = store.vectors(TEAM, ids)
            matrix = np.stack([held[id] for id in ids])
            asked = [(stores.query(n), stores.vector(n)) for n in range(5, 37 * 100, 37)]
            exact = [{ids[i] for i in np.argsort(-(matrix @ v), kind="stable")[:BEST]} for _, v in asked]

            def own(words: str, vector: NDArray[np.float32], store: GraphStore = store) -> list[str]:
                found = store.candidates(TEAM, terms(words), vector)
                return [found.ids[i] for i in np.argsort(-found.dense, kind="stable")[:BEST]]

            def by_vector(words: str, vector: NDArray[np.float32]) -> list[str]:
                given = {"k": BEST * OVER, "vector": vector.tolist(), "team": TEAM, "best": BEST}
                return [row["id"] for row in access.ask(BY_VECTOR, **given)]

            def by_both(words: str, vector: NDArray[np.float32]) -> list[str]:
                text = " ".join(f"query:{w}" for w in terms(words))
                access.ask(BY_WORDS, words=f"(+team:{TEAM}) AND ({text})", team=TEAM, best=BEST)
                return by_vector(words, vector)

            for what, ask in (
                ("index of the process, words and vectors", own),
                ("the server's vector index", by_vector),
                ("the server's vector and full-text indexes", by_both),
            ):
                rows.append((what, size, *_ask(ask, asked, exact)))
    for name in ("bench_vectors", "bench_words"):
        access.ask(f"DROP INDEX {name} IF EXISTS")
    access.empty()
    access.driver.close()
    note = f"100 queries; the server is asked for {OVER} times as many as wanted, and the other team's are left out"
    return [Table("Candidates on Neo4j", columns, rows, (note,), ("p50 ms", "p95 ms"))]


Ask = Callable[[str, NDArray[np.float32]], list[str]]


def _ask(
    ask: Ask, asked: list[tuple[str, NDArray[np.float32]]], exact: list[set[str]]
) -> tuple[float, float, float, int]:
    times, shares, fewest = [], [], BEST
    for number, ((words, vector), best) in enumerate(zip(asked, exact, strict=True)):
        begin = time.perf_counter()
        found = ask(words, vector)
        if number >= 10:  # the first warm it up
            times.append(time.perf_counter() - begin)
        shares.append(len(best & set(found)) / len(best))
        fewest = min(fewest, len(found))
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return float(p50), float(p95), float(np.mean(shares)), fewest
