"""A waiting room on disk for runs that the store could not take; they are stored and learned from later.

Each process has a folder of its own in the spool and holds a lock on it while it lives, so that nobody
takes a run that its process may still finish; what a process left behind is anybody's.  A run is one
file in the trace format (`docs/trace-format.md`), so that it can also be read and imported by hand.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gmem import export, ids
from gmem.errors import GmemError, InvalidInput
from gmem.importers import jsonl, replay
from gmem.memory import Memory
from gmem.model import Interaction, RecallEvent
from gmem.trace import Recording

__all__ = ["Spool", "spool_of"]

log = logging.getLogger("gmem")
SUFFIX = ".jsonl"
REFUSED = ".refused"
"""Put behind the name of a run that the memory will never take; a person has to look at it."""


def spool_of(memory: Memory) -> Path:
    """Say where the runs of a memory wait: beside its file, or in the home folder for a server."""
    if "://" not in memory.location:
        return Path(f"{memory.location}.spool")
    home = os.environ.get("GMEM_SPOOL")
    return (Path(home) if home else Path.home() / ".gmem" / "spool") / ids.digest(memory.location)[:16]


class Spool:
    """The runs of one memory that wait for its store.

    Nothing is made on disk before the first run has to wait.  Safe to use from several threads.

    Args:
        memory: The memory; a run is kept for the team that it belongs to.
        folder: Where to; `spool_of(memory)` by default.
    """

    def __init__(self, memory: Memory, folder: Path | None = None) -> None:
        self._memory = memory
        self.folder = (folder or spool_of(memory)) / ids.digest(memory.team)[:16]
        self._own = self.folder / ids.new_id("p")
        self._lock: FileLock | None = None
        self._mutex = threading.Lock()
        self._flushing = threading.Lock()
        self._unsaved: dict[str, str] = {}
        self._open: set[Path] = set()

    def __len__(self) -> int:
        """Count the runs of this process that wait."""
        return len(self._unsaved) + (len(list(self._own.glob("*" + SUFFIX))) if self._own.is_dir() else 0)

    def keep(self, recording: Recording, *, unfinished: bool = False) -> None:
        """Let a run wait; the same run again takes the place of what was kept of it.

        A run that cannot even be written here is held in memory, and tried again at the next `flush`.

        Args:
            recording: The run.
            unfinished: Whether it may go on: this process does not store it then, but others do once
                this one is gone.

        Raises:
            OSError: It is held in memory only: it is lost if the process ends before the store is back.
        """
        path = self._path(recording.task.id)
        with self._mutex:
            (self._open.add if unfinished else self._open.discard)(path)
            self._unsaved[recording.task.id] = _text(recording)
            self._save()

    def drop(self, run_id: str) -> None:
        """Forget a waiting run of this process, as it was stored after all."""
        with self._mutex:
            self._unsaved.pop(run_id, None)
            self._open.discard(self._path(run_id))
            self._path(run_id).unlink(missing_ok=True)

    def flush(self) -> int:
        """Store every run that waits, of this process and of those that are gone; gives their number.

        While one thread is at it, others are given 0 at once; runs can be kept and dropped meanwhile.

        Raises:
            GmemError: The store cannot take them yet; they go on waiting.
        """
        if not self._flushing.acquire(blocking=False):
            return 0
        try:
            return self._flush()
        finally:
            self._flushing.release()

    def close(self) -> None:
        """Give up the folder of this process; what still waits in it is for the next process."""
        with self._mutex:
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            _tidy(self._own)

    def _flush(self) -> int:
        # The mutex is not held while the store is asked: it may take its time, and runs end meanwhile.
        done = 0
        with self._mutex:
            unsaved = [(id, text) for id, text in self._unsaved.items() if self._path(id) not in self._open]
        for id, text in unsaved:
            done += _store(self._memory, text)
            with self._mutex:
                if self._unsaved.get(id) is text:
                    del self._unsaved[id]
        for path in sorted(self._own.glob("*" + SUFFIX)) if self._own.is_dir() else ():
            if path not in self._open:
                done += self._take(path)
        for folder in self._abandoned():
            done += sum(self._take(path) for path in sorted(folder.glob("*" + SUFFIX)))
        return done

    def _path(self, run_id: str) -> Path:
        return self._own / (ids.digest(run_id)[:32] + SUFFIX)  # an id may hold what a file name may not

    def _save(self) -> None:
        for id, text in list(self._unsaved.items()):
            self._own.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                lock = FileLock(f"{self._own}.lock")
                lock.acquire(timeout=1)
                self._lock = lock
            part = self._path(id).with_suffix(".part")
            with part.open("w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            part.replace(self._path(id))
            del self._unsaved[id]

    def _take(self, path: Path) -> int:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")  # what is no text is refused below
        except FileNotFoundError:
            return 0  # taken by somebody else meanwhile
        if _store(self._memory, text):
            path.unlink(missing_ok=True)
            return 1
        try:
            path.replace(path.with_name(path.name + REFUSED))
        except FileNotFoundError:
            return 0  # stored by whoever had kept it, and dropped
        log.warning("gmem: the run in %s%s can never be stored (see above); look at it, then delete it", path, REFUSED)
        return 0

    def _abandoned(self) -> Iterator[Path]:
        """Go through the folders of processes that are gone, holding each while it is looked at."""
        if not self.folder.is_dir():
            return
        for folder in sorted(p for p in self.folder.iterdir() if p.is_dir() and p != self._own):
            lock = FileLock(f"{folder}.lock")
            try:
                with lock.acquire(timeout=0):
                    yield folder
            except Timeout:
                continue  # its process lives
            _tidy(folder)


def _tidy(folder: Path) -> None:
    """Remove the folder of a process that is gone, with its lock, if nothing waits in it."""
    try:
        folder.rmdir()
        Path(f"{folder}.lock").unlink(missing_ok=True)
        folder.parent.rmdir()
        folder.parent.parent.rmdir()
    except OSError:
        return  # not empty, or somebody else was first


def _text(recording: Recording) -> str:
    task = recording.task
    found = export.record(task, Interaction(task.id, recording.utterances))
    if recording.recalls:
        found["recalls"] = [asdict(event) for event in recording.recalls]
    return export.line(found)


def _store(memory: Memory, text: str) -> bool:
    """Store one run and learn from it; False if it can never be stored."""
    try:
        found = json.loads(text)
        events = [_event(e) for e in found.pop("recalls", [])]
        task = replay(memory, jsonl.trace(found, "the spool"), recalls=events).close()
        if task.outcome != "unknown" and not task.learned:
            memory.learn()  # it was stored, and the process that asked a model for its lessons is gone
    except (InvalidInput, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, GmemError) and not isinstance(error, InvalidInput):
            raise  # some errors of a store are a ValueError as well
        log.warning("gmem: a run that had waited cannot be stored: %s", error)
        return False
    return True


def _event(found: dict[str, Any]) -> RecallEvent:
    return RecallEvent(**{**found, "shown": tuple(found["shown"]), "withheld": tuple(found["withheld"])})
