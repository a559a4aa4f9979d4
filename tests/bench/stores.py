"""Both stores side by side: recall, writes with one and eight threads, bulk import, opening anew.

The server is the one named `test`, or the one in GMEM_NEO4J_URI; **it is emptied**.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from neo4j_fixture import find

from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.learn.deeds import deeds
from gmem.model import Evidence, Insight, Interaction, Model, Outcome, Similar, Task, Utterance
from gmem.recall import RecallSettings
from gmem.recall.traverse import traverse

from .report import Bench, Table

__all__ = ["measure"]

TEAM = "bench"
GOALS = {
    "writes a second, 8 threads": 150.0, "import to 10,000 tasks, a second": 400.0,
    "recall p95 ms at 10,000": 30.0, "recall p95 ms at 100,000": 100.0,
}  # fmt: skip
DIMENSION = 256
MESSAGES = 10
PLACES = ("kitchen", "workshop", "greenhouse", "foundry", "hallway", "bedroom", "bathroom", "art studio")
THINGS = ("water", "lead", "tin", "mercury", "butter", "soap", "ice cream", "orange juice", "wax", "gallium")
DEEDS = ("boil", "freeze", "melt", "measure", "find", "grow", "paint", "classify", "move", "heat")


def vector(number: int) -> NDArray[np.float32]:
    """Make the unit vector of a task: float32 array (256,); near those of the same cluster."""
    center = np.random.default_rng(number % 97).normal(size=DIMENSION)
    raw = center + 0.8 * np.random.default_rng(number).normal(size=DIMENSION)
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float32)


def query(number: int) -> str:
    """Make the query of a task."""
    return f"{DEEDS[number % 10]} the {THINGS[number // 7 % 10]} in the {PLACES[number // 3 % 8]}, case {number % 501}"


def batch(number: int, team: str) -> Batch:
    """Make the write of one run: a task, ten utterances, five edges and what it says about an insight."""
    id = f"t{number:07d}"
    said = tuple(
        Utterance(s, f"agent {s % 3}", ("planner", "actor", "critic")[s % 3], "message",
                  f"step {s}: {query(number + s)}; I look at what was said before and go on with it",
                  inspired_by=(s - 1,) if s else ())
        for s in range(MESSAGES)
    )  # fmt: skip
    outcome: Outcome = "resolved" if number % 3 else "failed"
    task = Task(id, team, query(number), outcome=outcome, length=MESSAGES, key_steps=(0, 4, 9), learned=True)
    others = {max(0, number - step) for step in (1, 7, 97, 194, 291)} - {number}
    return Batch(
        team, f"task {id}",
        tasks=[replace(task, deeds=deeds(task, Interaction(id, said)))],
        interactions=[Interaction(id, said)],
        vectors={id: vector(number)},
        similar=[Similar(f"t{o:07d}", id, 0.5 + o % 40 / 100) for o in sorted(others)],
        evidence=[Evidence(id, f"i{number % 50}", number % 2 == 0, outcome == "resolved")],
    )  # fmt: skip


def prepare(store: GraphStore, team: str) -> None:
    """Record the model and the fifty insights."""
    if store.embedder() is None:
        store.set_embedder(Model("bench", DIMENSION))
    insights = [
        Insight(f"i{n}", team, f"Lesson {n}: look before you {DEEDS[n % 10]}", state="active") for n in range(50)
    ]
    store.write([Batch(team, "insights", insights=insights)])


def recalls(store: GraphStore, team: str, count: int = 200) -> tuple[float, float]:
    """Measure the whole traversal, without embedding the query: median and 95th percentile, in milliseconds."""
    times = []
    for n in range(count):
        asked, near = query(n * 37 + 5), vector(n * 37 + 5)
        begin = time.perf_counter()
        traverse(store, team, asked, near, RecallSettings())
        times.append(time.perf_counter() - begin)
    p50, p95 = np.percentile(times[10:], [50, 95]) * 1000
    return float(p50), float(p95)


def writes(store: GraphStore, team: str, threads: int, count: int) -> float:
    """Measure writes of one task each: how many a second."""
    prepare(store, team)
    store.write([batch(0, team)])

    def work(first: int) -> None:
        for n in range(first, count, threads):
            store.write([Batch(**{**{f: getattr(made[n], f) for f in made[n].__dataclass_fields__}, "similar": ()})])

    made = {n: batch(n, team) for n in range(count)}
    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return count / (time.perf_counter() - begin)


def figures(opened: Callable[[], GraphStore], sizes: Sequence[int]) -> dict[str, float]:
    """Measure one store.

    Args:
        opened: Opens it; it is empty at first.
        sizes: Numbers of tasks, growing.

    Returns:
        Figures by what they are, with their units, in the order of measuring.
    """
    found: dict[str, float] = {}
    store = opened()
    for threads, count in ((1, 300), (8, 1600)):
        found[f"writes a second, {threads} thread{'s' * (threads > 1)}"] = writes(
            store, f"writes {threads}", threads, count
        )
    done = 0
    prepare(store, TEAM)
    for size in sizes:
        begin, first = time.perf_counter(), done
        made = 0.0
        while done < size:
            start = time.perf_counter()
            batches = [batch(n, TEAM) for n in range(done, min(done + 100, size))]
            made += time.perf_counter() - start
            store.write(batches)
            done += len(batches)
        found[f"import to {size:,} tasks, a second"] = (done - first) / (time.perf_counter() - begin - made)
        found[f"recall p50 ms at {size:,}"], found[f"recall p95 ms at {size:,}"] = recalls(store, TEAM)
        store.close()
        begin = time.perf_counter()
        store = opened()
        store.task_ids(TEAM)
        found[f"seconds to open {size:,}"] = time.perf_counter() - begin
    store.close()
    return found


def measure(bench: Bench) -> list[Table]:
    """Measure both stores, one after the other in one run."""
    sizes = [size for size in bench.sizes if size >= 1_000] or list(bench.sizes)
    path = bench.fresh()
    embedded = figures(lambda: EmbeddedStore(path), sizes)
    server: dict[str, float] = {}
    notes = [f"256 numbers a vector, {MESSAGES} utterances a task; import writes a hundred tasks at once"]
    try:
        access = find()
    except pytest.skip.Exception as missing:
        notes.append(f"Neo4j is not measured: {missing}")
    else:
        access.empty()
        server = figures(access.open, sizes)
        access.empty()
        access.driver.close()
    rows = [(what, value, server.get(what), GOALS.get(what)) for what, value in embedded.items()]
    return [Table("Both stores", ("what", "file", "Neo4j", "goal on Neo4j"), rows, notes)]
