"""How many runs of ten messages are kept for good in a second, beside bare SQLite.

Three ways, each with one transaction a run and `synchronous=FULL`, in turns:

* `Memory.task`: a whole run: recorded, condensed, blamed, linked, learned from by rules, written, read back.
  All outcomes are verified, and vectors are made before.
* `GraphStore.write`: the same as a finished batch: task, trace, vector and four SIMILAR edges.
* bare SQLite: one table, the same bytes under the same keys, no checks, no checksums, nothing read.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gmem
from gmem.graphs import Batch, EmbeddedStore, codec
from gmem.model import Similar

from .made import MODEL, Experience, Made, record
from .recall import Prepared
from .report import Bench, Table

__all__ = ["measure"]

THREADS = 8
GOAL = 300
Record = tuple[str, str, bytes]


def measure(bench: Bench) -> list[Table]:
    """Time durable writes."""
    return [_plain(bench), _whole(bench)]


# --- the store alone --------------------------------------------------------------------------------


def _plain(bench: Bench) -> Table:
    source = Experience(seed=5)
    runs = list(source.tasks(4 * bench.writes))
    vectors = source.vectors([run.kind for run in runs])
    rng = random.Random(5)
    batches = []
    for place, (run, vector) in enumerate(zip(runs, vectors, strict=True)):
        there = min(place, bench.writes)  # threads may write the later ones in any order
        batches.append(_batch(run, vector, rng.sample(runs[:there], min(4, there))))
    store = EmbeddedStore(bench.fresh())
    store.set_embedder(MODEL)
    bare = _Bare(bench.fresh())
    try:
        parts = [batches[start : start + bench.writes] for start in range(0, len(batches), bench.writes)]
        one = _rate(parts[0], lambda batch: store.write([batch]))
        bare_one = _rate(parts[0], lambda batch: bare.write(_records(batch)))
        many = _rate(parts[1], lambda batch: store.write([batch]), THREADS)
        bare_again = _rate(parts[1], lambda batch: bare.write(_records(batch)))
        once = _rate([parts[2]], store.write, scale=len(parts[2]))
        bare_once = _rate(
            [parts[2]], lambda all: bare.write([r for b in all for r in _records(b)]), scale=len(parts[2])
        )
    finally:
        store.close()
        bare.close()
    rows = [
        ("one thread, a transaction each", one, GOAL, bare_one, one / bare_one),
        (f"{THREADS} threads, a transaction each", many, GOAL, bare_again, many / bare_again),
        (f"one transaction for {bench.writes:,}", once, None, bare_once, once / bare_once),
    ]
    mean = sum(run.characters for run in runs) / len(runs)
    notes = (
        f"tasks of ten utterances ({mean:,.0f} characters on average), a vector and four edges",
        "bare SQLite always has one thread: its writers wait for each other in any case",
    )
    return Table(
        "Durable writes through the store",
        ("how", "tasks/s", "goal", "bare SQLite/s", "ratio"),
        rows,
        notes,
        ("tasks/s", "bare SQLite/s", "goal"),
    )


def _batch(run: Made, vector: NDArray[np.float32], near: Sequence[Made]) -> Batch:
    id = run.task.id
    edges = [Similar(min(id, other.task.id), max(id, other.task.id), 0.5) for other in near]
    return Batch(
        "bench", f"task {id}", tasks=[run.task], interactions=[run.interaction],
        vectors={id: vector}, similar=edges,
    )  # fmt: skip


def _records(batch: Batch) -> list[Record]:
    """Give what a batch stores, as keys and bytes."""
    found: list[Record] = [("task", t.id, codec.pack_task(t)) for t in batch.tasks]
    found += [("trace", i.task_id, codec.pack_interaction(i)) for i in batch.interactions]
    found += [("vector", id, codec.pack_vector(v)) for id, v in batch.vectors.items()]
    found += [("similar", codec.edge_key(e.a, e.b), codec.pack_similar(e)) for e in batch.similar]
    return found


class _Bare:
    """SQLite with nothing around it; as careful with the disk as the store is."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE record (kind TEXT, id TEXT, body BLOB, PRIMARY KEY (kind, id)) WITHOUT ROWID")

    def write(self, records: Iterable[Record]) -> None:
        """Put records in one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?)", records)
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close it."""
        self._db.close()


# --- whole runs -------------------------------------------------------------------------------------


def _whole(bench: Bench) -> Table:
    rows = []
    for size in (0, *bench.sizes):
        source = Experience(seed=9)
        runs = [run for run in source.tasks(4 * bench.writes) if run.task.outcome != "unknown"][: 2 * bench.writes]
        vectors = source.vectors([run.kind for run in runs])
        prepared = Prepared({run.task.query: vector for run, vector in zip(runs, vectors, strict=True)})
        path = bench.fresh()
        if size:
            shutil.copy(bench.memory(size), path)
        with gmem.Memory(path, team="bench", embedder=prepared.embedder()) as memory:
            before = memory.stats()
            cpu = time.process_time()
            one = _rate(runs[: bench.writes], lambda run: record(memory, run))
            cpu = (time.process_time() - cpu) / bench.writes
            many = _rate(runs[bench.writes :], lambda run: record(memory, run), THREADS)
            after = memory.stats()
        if after.tasks != before.tasks + len(runs) or after.unlearned != before.unlearned:
            raise RuntimeError(f"of {len(runs)} runs, {after.tasks - before.tasks} were stored, not all were learned")
        rows.append((size, one, cpu * 1000, many, GOAL, after.insights - before.insights))
    notes = (
        f"{bench.writes} runs each way, on top of so many tasks; distiller: rules; every outcome verified",
        "the first figure of a size includes reading the neighbours' traces for the first time",
    )
    columns = ("tasks before", "runs/s", "cpu ms a run", f"runs/s, {THREADS} threads", "goal", "insights learned")
    return Table("Whole runs through Memory.task, learned from", columns, rows, notes)


def _rate(things: Sequence[object], work: Callable[..., object], threads: int = 1, scale: int = 1) -> float:
    """Give how many things a second are done, `scale` for each call."""
    start = time.perf_counter()
    if threads == 1:
        for thing in things:
            work(thing)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, things))
    return scale * len(things) / (time.perf_counter() - start)
