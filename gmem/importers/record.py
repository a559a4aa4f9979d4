"""Recording imported traces, through the same API that a live run uses, and reporting what landed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmem import ids
from gmem.errors import InvalidInput, UnknownId
from gmem.importers import ag2, jsonl, whowhen
from gmem.importers.formats import FORMATS, detect
from gmem.importers.reading import Watch, expand
from gmem.importers.trace import Refused, Trace
from gmem.memory import Memory
from gmem.model import RecallEvent
from gmem.recall.lines import unfence
from gmem.trace import Run

__all__ = ["FileReport", "ImportReport", "import_files", "replay"]

Progress = Callable[[int, int, int], None]
"""Called with bytes read, bytes in all, and tasks seen."""
_PARSERS: dict[str, Callable[[Path, Watch], Iterator[Trace | Refused]]] = {
    "jsonl": jsonl.parse, "whowhen": whowhen.parse, "ag2": ag2.parse,
}  # fmt: skip


@dataclass(slots=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: The file.
        format: Name of its format; '' if it could not be told.
        added: Outcomes of the tasks that landed, counted.
        utterances: How many utterances landed with them.
        present: Tasks that were there already, exactly so.
        refused: What did not land, and why.
        left_out: What was not taken over of the tasks that landed, counted.
        seconds: How long it took.
    """

    path: str
    format: str = ""
    added: Counter[str] = field(default_factory=Counter)
    utterances: int = 0
    present: int = 0
    refused: list[Refused] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def tasks(self) -> int:
        """Tasks that landed or were there already."""
        return self.added.total() + self.present

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data, for JSON."""
        return {
            "file": self.path, "format": self.format or None, "added": self.added.total(),
            "outcomes": {k: self.added[k] for k in ("resolved", "failed", "unknown")},
            "utterances": self.utterances, "present": self.present, "left_out": dict(sorted(self.left_out.items())),
            "refused": [{"where": r.where, "id": r.original, "reason": r.reason} for r in self.refused],
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Exactly what an import brought in, found there, and refused; a report a file, in order."""

    files: tuple[FileReport, ...]

    @property
    def added(self) -> int:
        """Tasks that landed."""
        return sum(f.added.total() for f in self.files)

    @property
    def present(self) -> int:
        """Tasks that were there already."""
        return sum(f.present for f in self.files)

    @property
    def refused(self) -> list[Refused]:
        """What did not land, in the order of the files."""
        return [r for f in self.files for r in f.refused]

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data, for JSON."""
        return {
            "added": self.added,
            "present": self.present,
            "refused": len(self.refused),
            "utterances": sum(f.utterances for f in self.files),
            "seconds": round(sum(f.seconds for f in self.files), 3),
            "files": [f.to_dict() for f in self.files],
        }


def import_files(
    memory: Memory,
    files: Sequence[str | Path],
    progress: Progress | None = None,
    *,
    format: str = "auto",
    source: str = "",
) -> ImportReport:
    """Bring the traces of files into a memory and learn from them.

    The id of a task is made from its source and the id that it has there, so a second import changes
    nothing, and one that was cut off is completed by doing it again.  What cannot be stored is
    refused by name, and the rest goes on.

    Args:
        memory: Where to.
        files: Files, or folders of them.
        progress: Called as reading goes on.
        format: `jsonl`, `whowhen`, `ag2`, or `auto` to look.
        source: Name to store as the source, instead of the one in the file.

    Raises:
        InvalidInput: There is no such format or file; nothing was imported.
        StoreError: The store could not take more; what was imported before is there.
    """
    if format != "auto" and format not in FORMATS:
        raise InvalidInput(f"no importer is called {format!r}; there are {', '.join(FORMATS)} and auto")
    if missing := [f for f in files if not Path(f).exists()]:
        raise InvalidInput(f"there is no file {str(missing[0])!r}; nothing was imported")
    paths = [path for given in files for path in expand(Path(given))]
    total = sum(path.stat().st_size for path in paths)
    reports: list[FileReport] = []
    done = seen = 0
    for path in paths:
        report = FileReport(str(path))
        reports.append(report)
        began = time.perf_counter()
        read = 0

        def watch(n: int) -> None:
            nonlocal read
            read = n

        try:
            report.format = detect(path) if format == "auto" else format
        except InvalidInput as error:
            report.refused.append(Refused(str(path), "", str(error)))
            continue
        for found in _PARSERS[report.format](path, watch):
            _take(memory, found, source, report)
            seen += 1
            if progress is not None:
                progress(done + read, total, seen)
        done += path.stat().st_size
        report.seconds = time.perf_counter() - began
        if progress is not None:
            progress(done, total, seen)
    return ImportReport(tuple(reports))


def _take(memory: Memory, found: Trace | Refused, source: str, report: FileReport) -> None:
    """Store what a parser found, and write down what became of it."""
    if isinstance(found, Refused):
        report.refused.append(found)
        return
    try:
        run = replay(memory, found, source)
        if _stored(memory, run.id, found):
            report.present += 1
            return
        task = run.close()
    except InvalidInput as error:
        report.refused.append(Refused(found.where, found.original, str(error)))
        return
    report.added[task.outcome] += 1
    report.utterances += task.length
    report.left_out.update(found.left_out)


def replay(memory: Memory, found: Trace, source: str = "", recalls: Sequence[RecallEvent] = ()) -> Run:
    """Record a trace; nothing is stored before the run is closed.

    Args:
        memory: Where it is to be stored.
        found: The trace.
        source: Name to store as the source, instead of the one in the trace.
        recalls: What the run had been given by this memory.

    Raises:
        InvalidInput: Something in it cannot be stored.
    """
    own = bool(found.task_id) and not source
    name = found.source if own else f"import:{source or found.source}"
    run = memory.task(
        found.query, context=found.context, agents=found.agents, source=name, trust=found.trust,
        run_id=found.task_id if own else ids.run_id(name, found.original), metadata=found.metadata,
    )  # fmt: skip
    for s in found.said:
        run.say(
            s.agent, s.text, to=s.to or None, inspired_by=s.upstream, kind=s.kind, reward=s.reward,
            role=s.role or None, time=s.time, echo=s.echo,
        )  # fmt: skip
    for event in recalls:
        run.given(event)
    run.spent(tokens=found.tokens, calls=found.calls)
    run.happened(started=found.started, ended=found.ended, error=found.error)
    run.judge(
        found.outcome, score=found.score, reason=found.reason, feedback=found.feedback, blame=found.blame
    )  # fmt: skip
    return run


def _stored(memory: Memory, task_id: str, found: Trace) -> bool:
    """Tell whether a trace is in the memory; an InvalidInput if something else has its id."""
    try:
        task = memory.get(task_id)
    except UnknownId:
        return False
    there = [(u.agent, u.content) for u in memory.interaction(task_id).utterances]
    if task.query != found.query or there != [(s.agent, unfence(s.text)) for s in found.said]:
        raise InvalidInput(
            f"task {task_id} is there already with another content; if it is another task, give it another id"
        )
    return True
