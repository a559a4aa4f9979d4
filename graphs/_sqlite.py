"""How the record file is made, opened and refused, and what SQLite's errors are called here."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gmem.errors import (
    GmemError,
    InvalidInput,
    NotAMemory,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreVersionError,
)

__all__ = ["PAGE", "connect", "create", "translated"]

APPLICATION_ID = 0x676D656D  # "gmem"
VERSION = 1
PAGE = 4096
"""Bytes of a page, fixed so that the log can be read without the file."""

# `record.n` gives the order in which things were first written; `seq` is the write that last changed
# them.  Bodies of conversations have a table of their own, so that reading the rest does not read them.
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE op (seq INTEGER PRIMARY KEY, op_id TEXT NOT NULL UNIQUE, forgets INTEGER NOT NULL)",
    "CREATE TABLE record (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, team TEXT NOT NULL, id TEXT NOT NULL, "
    "seq INTEGER NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (kind, team, id))",
    "CREATE INDEX record_seq ON record (seq)",
    "CREATE TABLE trace (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, team TEXT NOT NULL, id TEXT NOT NULL, "
    "seq INTEGER NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (kind, team, id))",
)
STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""From each older format to the next one; so far there has been one format only.

A step changes records through `Transaction`, which keeps the sum of all checksums right.
"""
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",  # checkpoints are made by hand, under the writer lock
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)


def create(path: Path) -> None:
    """Make an empty memory beside its place and move it there whole, so that nobody sees half of one.

    The caller holds the writer lock, so whatever draft is found was left by a process that died.
    """
    draft = path.with_name(f"{path.name}.new")
    leftovers = [draft, *(path.with_name(f"{draft.name}{end}") for end in ("-journal", "-wal", "-shm"))]
    for file in leftovers:
        file.unlink(missing_ok=True)
    try:
        db = sqlite3.connect(_uri(draft, "rwc"), uri=True, isolation_level=None)
        try:
            db.execute(f"PRAGMA page_size = {PAGE:d}")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('fingerprint', ?)", (f"{0:032x}",))
            db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            db.execute(f"PRAGMA user_version = {VERSION:d}")
            db.execute("PRAGMA journal_mode = WAL")
        finally:
            db.close()
        with contextlib.suppress(OSError):  # not every file system has permissions
            draft.chmod(0o600)
        draft.replace(path)
    finally:
        for file in leftovers:
            file.unlink(missing_ok=True)


def _uri(path: Path, mode: str) -> str:
    uri = path.as_uri()
    if not uri.startswith("file:///"):  # a share on Windows; SQLite takes no host, but two more slashes
        uri = f"file://{uri[len('file:') :]}"
    return f"{uri}?mode={mode}"


def connect(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a memory, or say what else the file is.

    The caller holds the writer lock, so an older format is brought up by one of several that open the file.
    The file is never opened other than through SQLite: on POSIX systems, closing any other handle on
    it would silently drop the locks that SQLite holds for this process.

    Raises:
        NotAMemory: It is something else.
        StoreVersionError: Its format is not the one that this gmem reads.
        StoreCorrupt: Its tables are not those of a memory.
    """
    if path.is_dir():
        raise NotAMemory(f"{path} is a folder, not a memory; name a file in it")
    db = sqlite3.connect(
        _uri(path, "rw"),  # never makes a file
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise NotAMemory(
                    f"{path} is not a gmem memory (it does not start like one); choose another path, or "
                    "restore it from a backup if it was one"
                ) from None
            raise
        if application != APPLICATION_ID:
            what = "is empty" if not path.stat().st_size else "is an SQLite file of another program"
            raise NotAMemory(
                f"{path} {what} (application id {application:#x}); choose another path, or restore it from a "
                "backup if it was a memory"
            )
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION and version not in STEPS:
            raise StoreVersionError(
                f"{path} has format {version}, this gmem reads format {VERSION}; "
                + (
                    "upgrade with `pip install -U gmem-engine`"
                    if version > VERSION
                    else "open it with the gmem that wrote it and `gmem export` it"
                )
            )
        for pragma in _PRAGMAS:
            db.execute(pragma)
        if version in STEPS:
            _upgrade(db, version)
        found = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        (page,) = db.execute("PRAGMA page_size").fetchone()
        if sorted(found) != sorted(_SCHEMA) or page != PAGE:
            raise StoreCorrupt(f"{path}: its tables are not those of a memory; restore it from a backup")
    except BaseException:
        db.close()
        raise
    return db


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    """Bring a file of an older format up to the newest, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        while version in STEPS:
            STEPS[version](db)
            version += 1
        db.execute(f"PRAGMA user_version = {version:d}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextlib.contextmanager
def translated(path: Path, timeout: float, *, writing: bool = False) -> Iterator[None]:
    """Give the errors of SQLite and of the operating system the names that gmem has for them."""
    try:
        yield
    except GmemError:
        raise  # some of them are an OSError or ValueError as well
    except sqlite3.Error as error:
        raise _named(path, timeout, writing, error) from error
    except UnicodeDecodeError as error:
        raise StoreCorrupt(f"{path} is damaged ({error}); restore a backup, or see `gmem doctor`") from error
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{error.object!r} holds half a surrogate pair, which is no character; no such name is stored"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(f"{path}: {error.strerror}; make room, then repeat the call") from error
        raise StoreError(f"{path} cannot be opened ({error}); check who owns the file and its folder") from error


def _named(path: Path, timeout: float, writing: bool, error: sqlite3.Error) -> StoreError:
    text = str(error)
    code = getattr(error, "sqlite_errorname", "")  # from Python 3.11 on
    failed_write = "WRITE" in code or (writing and "READ" not in code)
    if "disk is full" in text or ("disk I/O error" in text and failed_write):
        return StoreFull(
            f"{path}: {text}; nothing of this write was kept: make room on the disk (or raise the limit on "
            "the size of files), then repeat the call"
        )
    if "disk I/O error" in text:
        return StoreError(f"{path} cannot be read ({text} {code}); check the disk and the file's length")
    if "locked" in text or "busy" in text:
        return StoreBusy(f"{path}: {text} for {timeout:g} s; try again")
    if "readonly" in text or "unable to open" in text:
        return StoreError(f"{path}: {text}; check who owns the file and its folder")
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreError(f"{path}: {text}")
    return StoreCorrupt(f"{path} is damaged ({text}); restore a backup, or see `gmem doctor`")
