"""`python -m tests.bench [TOPIC ...]`: measure, print tables, and write the figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from . import (
    adapters,
    blame,
    candidates,
    cost,
    crowding,
    drift,
    embedding,
    growth,
    ideas,
    importing,
    install,
    lessons,
    opening,
    outcomes,
    parts,
    recall,
    retrieval,
    size,
    stores,
    teams,
    writes,
)
from .clock import load
from .picture import draw
from .report import Bench, Table

TOPICS: dict[str, Callable[[Bench], list[Table]]] = {
    "recall": recall.measure,
    "writes": writes.measure,
    "size": size.measure,
    "opening": opening.measure,
    "importing": importing.measure,
    "embedders": embedding.measure,
    "install": install.measure,
    "stores": stores.measure,
    "candidates": candidates.measure,
    "retrieval": retrieval.measure,
    "lessons": lessons.measure,
    "blame": blame.measure,
    "teams": teams.measure,
    "parts": parts.measure,
    "ideas": ideas.measure,
    "crowding": crowding.measure,
    "cost": cost.measure,
    "growth": growth.measure,
    "outcomes": outcomes.measure,
    "drift": drift.measure,
    "adapters": adapters.measure,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names; everything if it names nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write the figures of each topic there, as JSON and as pictures"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", default=os.environ.get("GMEM_BENCH_DATA"),
        help="real traces for the topics that measure quality (also GMEM_BENCH_DATA); what lies where is said "
        "by each of them",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="no memory of 100,000 tasks, fewer repetitions")
    parser.add_argument("--tasks", type=int, action="append", help="measure at this number of tasks instead")
    parser.add_argument("--runs", type=int, help="record, import and recall so many times for a figure")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.topics) - set(TOPICS)):
        parser.error(f"there is no topic {unknown[0]!r}; there are {', '.join(TOPICS)}")
    console, hints = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=150)  # the tables are cut off at the width that is assumed for a file
    machine = {
        "python": platform.python_version(), "numpy": version("numpy"), "gmem": version("gmem-engine"),
        "system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(),
    }  # fmt: skip
    console.print(", ".join(f"{k} {v}" for k, v in machine.items()) + f"; load {load():.2f}", style="dim")
    found = []
    with tempfile.TemporaryDirectory(prefix="gmem-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        if options.quick:
            bench = Bench(Path(folder), sizes=(100, 1_000, 10_000), recalls=100, writes=200, repeats=3)
        if options.tasks:
            bench.sizes = tuple(sorted(options.tasks))
        if options.runs:
            bench.recalls = bench.writes = options.runs
            bench.repeats = 1
        bench.data, bench.quick = options.data, options.quick
        names = options.topics or list(TOPICS)
        for place, name in enumerate(names, 1):
            hints.print(f"{place} of {len(names)}: {name} ...", style="dim")
            start, before = time.perf_counter(), load()
            tables = TOPICS[name](bench)
            for table in tables:
                table.show(console)
            console.print(
                f"  {name}: {time.perf_counter() - start:.0f} s; load of the machine {before:.2f} before, "
                f"{load():.2f} after\n", style="dim",
            )  # fmt: skip
            found.append({"topic": name, "load": [before, load()], "tables": [t.to_dict() for t in tables]})
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                _write(options.out / f"{name}.json", {"machine": machine, **found[-1]})
                for number, table in enumerate(tables, 1):
                    draw(table, options.out / (f"{name}.png" if len(tables) == 1 else f"{name}-{number}.png"))
    if options.json:
        _write(options.json, {"machine": machine, "topics": found})


def _write(path: Path, figures: object) -> None:
    path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
