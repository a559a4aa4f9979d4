"""How long `import gmem` takes in a fresh process, and how fast traces are imported from a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median

import gmem
from gmem.importers import import_files

from .made import AGENTS, Experience
from .recall import Prepared
from .report import Bench, Table

__all__ = ["measure"]

PACKAGES = ("gmem", "numpy", "networkx")
GOAL_SECONDS = 0.5
GOAL_TASKS = 100
_TIMED = (
    "import time; wall, cpu = time.perf_counter(), time.process_time()\n"
    "import {0}\n"
    "print(time.perf_counter() - wall, time.process_time() - cpu)"
)


def measure(bench: Bench) -> list[Table]:
    """Time imports of both kinds."""
    return [_package(bench.repeats), _traces(bench)]


def _package(repeats: int) -> Table:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PACKAGES}
    for _ in range(repeats + 1):
        for name, times in found.items():
            done = subprocess.run(
                [sys.executable, "-c", _TIMED.format(name)], capture_output=True, text=True, check=True
            )
            wall, cpu = done.stdout.split()
            times.append((float(wall), float(cpu)))
    rows = [
        (
            name,
            median(w for w, _ in times[1:]),
            median(c for _, c in times[1:]),
            GOAL_SECONDS if name == "gmem" else None,
        )
        for name, times in found.items()
    ]
    notes = (f"median of {repeats} fresh processes each, after one that warmed the disk; start of Python not counted",)
    return Table("Import of the package", ("package", "seconds", "cpu seconds", "goal"), rows, notes)


def _traces(bench: Bench) -> Table:
    source = Experience(seed=3)
    runs = list(source.tasks(bench.writes))
    vectors = source.vectors([run.kind for run in runs])
    path = bench.fresh().with_name("runs.jsonl")
    with path.open("w", encoding="utf-8") as file:
        for run in runs:
            messages = [{"agent": u.agent, "kind": u.kind, "content": u.content} for u in run.interaction.utterances]
            outcome = {"resolved": "success", "failed": "failure"}.get(run.task.outcome)
            line = {
                "id": run.task.id,
                "task": run.task.query,
                "roles": AGENTS,
                "outcome": outcome,
                "messages": messages,
            }
            file.write(json.dumps(line) + "\n")
    rows = []
    for how, stand_in in (
        ("words only", None),
        ("with vectors, made before", Prepared({r.task.query: v for r, v in zip(runs, vectors, strict=True)})),
    ):
        embedder = stand_in.embedder() if stand_in else "none"
        with gmem.Memory(bench.fresh(), team="bench", embedder=embedder) as memory:
            wall, cpu = time.perf_counter(), time.process_time()
            report = import_files(memory, [path])
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            start = time.perf_counter()
            again = import_files(memory, [path])
            second = time.perf_counter() - start
        if report.added != len(runs) or again.present != len(runs):
            raise RuntimeError(f"of {len(runs)} tasks {report.added} were added, and {again.present} found again")
        rows.append((how, len(runs) / wall, GOAL_TASKS, cpu / len(runs) * 1000, len(runs) / second))
    columns = ("embedding", "tasks/s", "goal", "cpu ms a task", "tasks/s, all there already")
    notes = (f"a JSONL file of {len(runs):,} tasks with ten utterances each, into an empty memory; rules distiller",)
    return Table("Import of traces, learned from", columns, rows, notes)
