"""Copying a whole memory to another place, file or server, bit for bit."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from gmem.errors import GmemError, InvalidInput, StoreCorrupt, StoreError
from gmem.graphs import GraphStore, TeamStats
from gmem.graphs._carrying import Portable, Record, fingerprint
from gmem.memory import open_store

__all__ = ["migrate"]

_PAGES = 256
"""Pages, or tasks, copied between two reports of progress."""
Progress = Callable[[int, int], None]


def migrate(source: str | Path, target: str | Path, progress: Progress | None = None) -> dict[str, TeamStats]:
    """Copy a memory with all its teams: traces, insights, evidence, ledger, vectors, op ids.

    Either may be a file or the address of a Neo4j server.  From a file, other processes may go on reading
    and writing, and the copy is one state of it; from a server, nobody may write meanwhile.  The copy is
    verified: a file gets its name after that, a server is marked as holding half a memory until all is there.

    Args:
        source: The memory.
        target: Where to; must not exist, or hold nothing.
        progress: Called with how much is done, of how much.

    Returns:
        The size of each team, by name.

    Raises:
        InvalidInput: The target exists, or its folder does not.
        StoreBusy: The source is a server, and was written to.
        StoreError: The source cannot be read, or the copy cannot be written.
    """
    if _is_server(target):
        return _to_server(source, str(target), progress)
    goal = Path(target).expanduser().resolve()
    _free(goal)
    if not goal.parent.is_dir():
        raise InvalidInput(f"the folder {goal.parent} does not exist; create it first")
    try:
        with tempfile.TemporaryDirectory(dir=goal.parent, prefix=f".{goal.name}.") as folder:
            part = Path(folder) / goal.name
            with closing(open_store(source, create=False)) as old:
                if _is_server(source):
                    with closing(open_store(part)) as new:
                        _carry(old, new, progress)
                else:
                    _copy(Path(old.location), part, progress)
                    shutil.copymode(old.location, part)
            sizes = _verified(part, str(source))
            _free(goal)
            part.rename(goal)
    except GmemError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{source} could not be copied to {goal}: {error}") from error
    return sizes


def _is_server(place: str | Path) -> bool:
    return isinstance(place, str) and "://" in place


def _to_server(source: str | Path, target: str, progress: Progress | None) -> dict[str, TeamStats]:
    with closing(open_store(source, create=False)) as old, closing(open_store(target)) as new:
        _carry(old, new, progress)
        if problems := new.check():
            raise StoreCorrupt(f"the copy is not sound: {problems[0]}")
        return {team: new.stats(team) for team in new.teams()}


def _carry(old: GraphStore, new: GraphStore, progress: Progress | None) -> None:
    """Copy record by record, and compare both sides afterwards."""
    if not (isinstance(old, Portable) and isinstance(new, Portable)):
        raise InvalidInput("only a file or a Neo4j server can be copied; this store is neither")
    total = sum(old.stats(team).tasks for team in old.teams())

    def counted() -> Generator[Record, None, None]:
        done = 0
        for record in old.records():
            yield record
            if record[0] == "task":
                done += 1
                if progress is not None and (done % _PAGES == 0 or done == total):
                    progress(done, total)

    with closing(counted()) as records:  # or it would hold the file until somebody collects it
        new.load(old.embedder(), records)
    if old.embedder() != new.embedder() or fingerprint(old.records()) != fingerprint(new.records()):
        raise StoreCorrupt(f"{new.location} does not hold what {old.location} holds; empty it and copy again")


def _free(goal: Path) -> None:
    if goal.exists():
        raise InvalidInput(f"{goal} exists; a memory is only copied to a place that is free")


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    def tell(status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new, pages=_PAGES, progress=tell)


def _verified(part: Path, source: str) -> dict[str, TeamStats]:
    """Read the copy from end to end."""
    with closing(open_store(part, create=False)) as copy:
        if problems := copy.check():
            raise StoreCorrupt(f"nothing was copied: {problems[0].replace(str(part), source)}")
        return {team: copy.stats(team) for team in copy.teams()}
