"""How long opening a memory takes, and what it then takes of the machine's memory; in fresh processes.

Opening verifies every page and checksum of the file's index and reads the graph, not the texts of runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from gmem.graphs import EmbeddedStore

from .report import Bench, Table

__all__ = ["measure"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Opened:
    seconds: float
    cpu: float
    resident: int | None


def measure(bench: Bench) -> list[Table]:
    """Open memories of each size."""
    rows = []
    for size in bench.sizes:
        path = bench.memory(size)
        found = [_open(path) for _ in range(bench.repeats if size <= 10_000 else min(2, bench.repeats))]
        taken = [f.resident for f in found if f.resident is not None]
        rows.append((
            size, median(f.seconds for f in found), median(f.cpu for f in found),
            median(taken) / 2**20 if taken else None, median(taken) / 1024 / size if taken else None,
        ))  # fmt: skip
    columns = ("tasks", "seconds to open", "cpu seconds", "MiB it takes", "KiB a task")
    notes = ["vectors of 256 numbers (1 KiB a task) included; the page cache of the system is warm"]
    if rows[0][3] is None:
        notes.append("what it takes of the machine's memory is measured with psutil, which is not installed here")
    return [Table("Opening a memory", columns, rows, notes)]


def _open(path: Path) -> _Opened:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.opening", str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return _Opened(**json.loads(done.stdout))


def _resident() -> int | None:
    try:
        import psutil  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Open the memory named on the command line, and print what that took as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    path: Path = parser.parse_args().path
    import networkx  # noqa: F401  # the store imports it with its first graph: that is not the memory's size

    before = _resident()
    wall, cpu = time.perf_counter(), time.process_time()
    store = EmbeddedStore(path, create=False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = _resident()
    store.close()
    taken = None if after is None or before is None else after - before
    print(json.dumps(asdict(_Opened(wall, cpu, taken))))


if __name__ == "__main__":
    main()
