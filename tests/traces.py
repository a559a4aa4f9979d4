"""Small trace files, and where the collection of real ones is, if it is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gmem
from gmem import export
from gmem.importers import import_files
from gmem.model import Task, Utterance

DATA = Path(__file__).parents[2] / "shared" / "data"
TRACES = sorted((DATA / "traces").glob("*.jsonl.gz"))
RAW = DATA / "raw" / "whowhen.tar.gz"
with_data = pytest.mark.skipif(not TRACES, reason="the collection of real traces is not here")

SMALL: dict[str, Any] = {
    "id": "one",
    "task": "Refund order 17",
    "source": "desk",
    "outcome": "success",
    "messages": [
        {"agent": "ann", "to": ["bob"], "content": "I refund one payment."},
        {"agent": "bob", "to": ["ann"], "content": "Checked."},
    ],
}


def write(path: Path, *tasks: dict[str, Any] | str | bytes) -> Path:
    """Write tasks, or lines as they are, one a line."""
    with path.open("wb") as out:
        for task in tasks:
            line = json.dumps(task) if isinstance(task, dict) else task
            out.write((line.encode() if isinstance(line, str) else line) + b"\n")
    return path


def exported(memory: gmem.Memory) -> list[dict[str, Any]]:
    return list(export.lines(memory.store, memory.team))


def only(memory: gmem.Memory) -> tuple[Task, tuple[Utterance, ...]]:
    """Give the one task that is there, with its utterances."""
    (task,) = memory.tasks()
    return task, memory.interaction(task.id).utterances


def imported(memory: gmem.Memory, path: Path, **changes: Any) -> tuple[Task, tuple[Utterance, ...]]:
    """Import one changed copy of the small task, and give it as it was stored."""
    report = import_files(memory, [write(path, {**SMALL, **changes})])
    assert [r.reason for r in report.refused] == []
    return only(memory)


def refusal(memory: gmem.Memory, path: Path, **changes: Any) -> str:
    """Give the reason for which a changed copy of the small task is refused, beside a good one that lands."""
    good = {**SMALL, "id": "good"}
    report = import_files(memory, [write(path, {**SMALL, **changes}, good)])
    (refused,) = report.refused
    assert (report.added, refused.where) == (1, f"{path}:1")
    assert len(memory.tasks()) == 1
    return refused.reason
