"""Copying a whole memory to another file, bit for bit."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gmem.errors import GmemError, InvalidInput, StoreCorrupt, StoreError
from gmem.graphs import TeamStats
from gmem.memory import open_store

__all__ = ["migrate"]

_PAGES = 256
"""Pages copied between two reports of progress."""
Progress = Callable[[int, int], None]


def migrate(source: str | Path, target: str | Path, progress: Progress | None = None) -> dict[str, TeamStats]:
    """Copy a memory with all its teams: traces, insights, evidence, ledger, vectors, op ids.

    Other processes may go on reading and writing the source; the copy is one state of it.  It is
    verified before it gets its name, so the target is whole or not there.

    Args:
        source: The memory.
        target: Where to; must not exist.
        progress: Called with how much is done, of how much.

    Returns:
        The size of each team, by name.

    Raises:
        InvalidInput: The target exists, or its folder does not.
        StoreError: The source cannot be read, or the copy cannot be written.
    """
    for place in (source, target):
        if "://" in str(place):
            open_store(str(place), create=False).close()  # says which addresses can be opened
    goal = Path(target).expanduser().resolve()
    _free(goal)
    if not goal.parent.is_dir():
        raise InvalidInput(f"the folder {goal.parent} does not exist; create it first")
    try:
        with tempfile.TemporaryDirectory(dir=goal.parent, prefix=f".{goal.name}.") as folder:
            part = Path(folder) / goal.name
            with closing(open_store(source, create=False)) as old:
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
