"""What `pip install gmem-engine` brings along: asked of pip in a throwaway environment, nothing installed."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

from .report import Bench, Table

__all__ = ["measure"]

ROOT = Path(__file__).parents[2]


def measure(bench: Bench) -> list[Table]:
    """Count the packages of the core install."""
    folder = bench.folder / "environment"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    report = bench.folder / "install.json"
    command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--report", str(report), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [Table("Core install", ("packages",), (), (f"not measured: pip found no packages ({why})",))]
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    names = sorted(item["metadata"]["name"].lower() for item in found)
    wheels = sum(item["download_info"]["url"].endswith(".whl") for item in found)
    sources = len(found) - wheels
    rows = [(len(names), wheels, sources)]
    notes = ("the one built from source is gmem itself" if sources == 1 else "", ", ".join(names))
    columns = ("packages", "as wheels", "built from source")
    return [Table("Core install", columns, rows, tuple(filter(None, notes)))]
