"""Both stores side by side: recall, writes with one and eight threads, bulk import, opening anew.

    python -m tests.bench.stores [--tasks 1000 10000] [--only embedded | neo4j]

The server is the one named `test`, or the one in GMEM_NEO4J_URI; it is emptied.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from neo4j_fixture import find

from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.model import Evidence, Insight, Interaction, Model, Similar, Task, Utterance
from gmem.recall import RecallSettings
from gmem.recall.traverse import traverse
from gmem.text import terms

DIMENSION = 256
MESSAGES = 10
EDGES = 5
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
    outcome = "resolved" if number % 3 else "failed"
    others = {max(0, number - step) for step in (1, 7, 97, 194, 291)} - {number}
    return Batch(
        team, f"task {id}",
        tasks=[Task(id, team, query(number), outcome=outcome, length=MESSAGES, key_steps=(0, 4, 9), learned=True)],
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


def percentiles(times: list[float]) -> str:
    """Give the median and the 95th percentile, in milliseconds."""
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def recalls(store: GraphStore, team: str, count: int = 200) -> str:
    """Measure the whole traversal, without embedding the query."""
    times = []
    for n in range(count):
        asked, near = query(n * 37 + 5), vector(n * 37 + 5)
        begin = time.perf_counter()
        traverse(store, team, asked, terms(asked), near, RecallSettings())
        times.append(time.perf_counter() - begin)
    return percentiles(times[10:])


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


def measure(name: str, opened: Callable[[], GraphStore], sizes: list[int]) -> None:
    """Measure one store and print what was seen."""
    store = opened()
    for threads, count in ((1, 300), (8, 1600)):
        print(
            f"{name}: {writes(store, f'writes {threads}', threads, count):,.0f} tasks/s, {threads} threads", flush=True
        )
    done = 0
    team = "bench"
    prepare(store, team)
    for size in sizes:
        begin, first = time.perf_counter(), done
        made = 0.0
        while done < size:
            start = time.perf_counter()
            batches = [batch(n, team) for n in range(done, min(done + 100, size))]
            made += time.perf_counter() - start
            store.write(batches)
            done += len(batches)
        rate = (done - first) / (time.perf_counter() - begin - made)
        print(f"{name}: import to {size:,} tasks at {rate:,.0f} tasks/s, a hundred a write", flush=True)
        print(f"{name}: recall at {size:,} tasks {recalls(store, team)}", flush=True)
        store.close()
        begin = time.perf_counter()
        store = opened()
        store.task_ids(team)
        print(f"{name}: open and load {size:,} tasks in {time.perf_counter() - begin:.1f} s", flush=True)
    store.close()


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--only", choices=("embedded", "neo4j"))
    given = parser.parse_args()
    if given.only != "neo4j":
        with tempfile.TemporaryDirectory() as folder:
            measure("embedded", lambda: EmbeddedStore(Path(folder) / "bench.gmem"), given.tasks)
    if given.only != "embedded":
        access = find()
        access.empty()
        measure("neo4j", access.open, given.tasks)
        access.empty()
        access.driver.close()


if __name__ == "__main__":
    main()
