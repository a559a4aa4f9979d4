"""The file behind the embedded store: SQLite used as a log of checked records.

Everything is a record `(kind, team, id) -> body`.  Each write is one transaction with a name (its
op id) and a number (`seq`), and every record carries the number of the write that made it, so a
cache built from the file is brought up to date by reading what is newer than it.

Two checksums guard the content beyond what SQLite checks itself: each record carries the hash of
its key and body, and the file carries the sum of all those hashes, so a record that was altered,
lost or smuggled in is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gmem.errors import (
    NotAMemory,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreNotFound,
    StoreVersionError,
)

__all__ = ["RecordFile", "Row", "Transaction"]

APPLICATION_ID = 0x676D656D  # "gmem"
VERSION = 1
WAL_LIMIT = 16 * 2**20
TRACE = "trace"

Row = tuple[str, str, str, bytes]
"""kind, team, id, body"""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE op (seq INTEGER PRIMARY KEY, op_id TEXT NOT NULL UNIQUE, forgets INTEGER NOT NULL, at REAL NOT NULL);
CREATE TABLE record (
    kind TEXT NOT NULL, team TEXT NOT NULL, id TEXT NOT NULL,
    seq INTEGER NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, team, id)
);
CREATE INDEX record_seq ON record (seq);
CREATE TABLE trace (
    kind TEXT NOT NULL, team TEXT NOT NULL, id TEXT NOT NULL,
    seq INTEGER NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, team, id)
);
CREATE INDEX trace_sum ON trace (sum);
"""
# Bodies of conversations have a table of their own, so that reading all the rest does not read them.
# Only these fixed statements are ever run; every value is bound.
_GET = {
    "record": "SELECT sum, seq, body FROM record WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "SELECT sum, seq, body FROM trace WHERE kind = ? AND team = ? AND id = ?",
}
_PUT = {
    "record": "INSERT OR REPLACE INTO record (kind, team, id, seq, sum, body) VALUES (?, ?, ?, ?, ?, ?)",
    TRACE: "INSERT OR REPLACE INTO trace (kind, team, id, seq, sum, body) VALUES (?, ?, ?, ?, ?, ?)",
}
_DELETE = {
    "record": "DELETE FROM record WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "DELETE FROM trace WHERE kind = ? AND team = ? AND id = ?",
}
_SINCE = "SELECT kind, team, id, seq, sum, body FROM record WHERE seq > ? ORDER BY seq, rowid"
_ALL_TRACES = "SELECT kind, team, id, seq, sum, body FROM trace"

_open_files: weakref.WeakSet[RecordFile] = weakref.WeakSet()


def _table(kind: str) -> str:
    return TRACE if kind == TRACE else "record"


def _sum(kind: str, team: str, id: str, seq: int, body: bytes) -> bytes:
    h = hashlib.blake2b(digest_size=16)
    for part in (kind.encode(), team.encode(), id.encode(), seq.to_bytes(8, "big"), body):
        h.update(len(part).to_bytes(4, "big"))
        h.update(part)
    return h.digest()


class Transaction:
    """One write under way; its records become visible together, or not at all."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        (self.seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM op").fetchone()
        (fingerprint,) = connection.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
        self._fingerprint = int(fingerprint, 16)
        self.rows: list[Row] = []
        self.forgot = False

    def begin(self, op_id: str, forgets: bool = False) -> bool:
        """Start a named step; False if a step of that name was done before."""
        if self._db.execute("SELECT 1 FROM op WHERE op_id = ?", (op_id,)).fetchone():
            return False
        self.seq += 1
        self._db.execute("INSERT INTO op VALUES (?, ?, ?, ?)", (self.seq, op_id, int(forgets), time.time()))
        self._add(_sum("op", "", op_id, self.seq, b""))
        self.forgot |= forgets
        return True

    def get(self, kind: str, team: str, id: str) -> bytes | None:
        """Read a record as it stands within this transaction."""
        return _verified(
            self._db.execute(_GET[_table(kind)], (kind, team, id)).fetchone(), kind, team, id, self._path
        )

    def put(self, kind: str, team: str, id: str, body: bytes) -> None:
        """Add or replace a record."""
        table = _table(kind)
        old = self._db.execute(_GET[table], (kind, team, id)).fetchone()
        if old is not None:
            self._add(old[0], -1)
        total = _sum(kind, team, id, self.seq, body)
        self._db.execute(_PUT[table], (kind, team, id, self.seq, total, body))
        self._add(total)
        if table != TRACE:
            self.rows.append((kind, team, id, body))

    def delete(self, kind: str, team: str, id: str) -> None:
        """Remove a record, if it is there; only within a step that says that it forgets."""
        table = _table(kind)
        old = self._db.execute(_GET[table], (kind, team, id)).fetchone()
        if old is not None:
            self._add(old[0], -1)
            self._db.execute(_DELETE[table], (kind, team, id))

    def set_meta(self, key: str, value: str) -> None:
        """Set a fact about the whole file."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def finish(self) -> None:
        """Write the sum of all checksums; the last thing before the commit."""
        self.set_meta("fingerprint", f"{self._fingerprint:032x}")

    def _add(self, total: bytes, sign: int = 1) -> None:
        self._fingerprint = (self._fingerprint + sign * int.from_bytes(total, "big")) % 2**128


def _verified(
    found: tuple[bytes, int, bytes] | None, kind: str, team: str, id: str, path: Path
) -> bytes | None:
    if found is None:
        return None
    total, seq, body = found
    if _sum(kind, team, id, seq, body) != total:
        raise StoreCorrupt(
            f"{path}: the {kind} record {id!r} of team {team!r} does not match its checksum; restore the file "
            "from a backup, or see what is left with `gmem doctor`"
        )
    return body


class RecordFile:
    """An open record file; safe to use from several threads and processes, and across a fork."""

    def __init__(self, path: Path, *, create: bool = True, timeout: float = 10.0) -> None:
        self.path = path
        self._timeout = timeout
        self._lock = threading.RLock()
        self._writer = FileLock(f"{path}.lock", timeout=timeout)
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._seen_version = -1
        if not path.exists():
            if not create:
                raise StoreNotFound(
                    f"there is no memory at {path}; check the path, or open it with create=True"
                )
            if not path.parent.is_dir():
                raise StoreNotFound(f"the folder {path.parent} does not exist; create it first")
        with self._lock, self._translated():
            self._connection(new=not path.exists())
        _open_files.add(self)

    # --- opening ------------------------------------------------------------------------------

    def _connection(self, new: bool = False) -> sqlite3.Connection:
        if self._closed:
            raise StoreClosed(f"{self.path} was closed; open it again with Memory({str(self.path)!r})")
        if self._db is None:
            with self._writing():
                if new and not self.path.exists():
                    self._create()
                self._db = self._open()
            self._seen_version = -1
        return self._db

    def _create(self) -> None:
        """Make the file beside its place and move it there whole, so that nobody sees half of it."""
        draft = self.path.with_name(f"{self.path.name}.new-{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                db.executescript(_SCHEMA)
                db.execute("INSERT INTO meta VALUES ('fingerprint', ?)", ("0" * 32,))
                db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
                db.execute(f"PRAGMA user_version = {VERSION:d}")
            finally:
                db.close()
            with contextlib.suppress(OSError):  # not every file system has permissions
                draft.chmod(0o600)
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        with self.path.open("rb") as head:
            if not head.read(16).startswith(b"SQLite format 3\0"):
                raise NotAMemory(
                    f"{self.path} is not a gmem memory (it does not start like one); choose another path, "
                    "or restore it from a backup if it was one"
                )
        db = sqlite3.connect(
            self.path,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise NotAMemory(
                    f"{self.path} is an SQLite file of another program (application id {application:#x}); "
                    "choose another path"
                )
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise StoreVersionError(
                    f"{self.path} has format {version}, this gmem reads format {VERSION}; "
                    "upgrade with `pip install -U gmem-engine`"
                )
            for pragma in (
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA wal_autocheckpoint = 0",  # we checkpoint ourselves, under the writer lock
                "PRAGMA secure_delete = ON",
                "PRAGMA trusted_schema = OFF",
                "PRAGMA cell_size_check = ON",
            ):
                db.execute(pragma)
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"meta", "op", "record", "trace"} <= tables:
                raise StoreCorrupt(
                    f"{self.path}: the tables {sorted(tables)} are not those of a memory; restore a backup"
                )
        except BaseException:
            db.close()
            raise
        return db

    # --- reading ------------------------------------------------------------------------------

    def moved(self) -> bool:
        """Tell whether another connection has written since the last call (or this is the first)."""
        with self._lock, self._translated():
            (version,) = self._connection().execute("PRAGMA data_version").fetchone()
            moved: bool = version != self._seen_version
            self._seen_version = version
            return moved

    def since(self, seq: int) -> tuple[int, bool, Iterator[Row]]:
        """Read what is newer than a write.

        Returns:
            The number of the newest write; whether anything was forgotten in between, in which case
            a cache must be built anew; the records that are newer (without traces), oldest first.
        """
        with self._lock, self._translated():
            db = self._connection()
            db.execute("BEGIN")
            try:
                (head,) = db.execute("SELECT coalesce(max(seq), 0) FROM op").fetchone()
                (forgets,) = db.execute(
                    "SELECT coalesce(max(forgets), 0) FROM op WHERE seq > ?", (seq,)
                ).fetchone()
                rows = db.execute(_SINCE, (seq,)).fetchall() if not (forgets and seq) else []
            finally:
                db.execute("COMMIT")
        return head, bool(forgets and seq), self._checked(rows)

    def _checked(self, rows: list[tuple[str, str, str, int, bytes, bytes]]) -> Iterator[Row]:
        for kind, team, id, seq, total, body in rows:
            _verified((total, seq, body), kind, team, id, self.path)
            yield kind, team, id, body

    def get(self, kind: str, team: str, id: str) -> bytes | None:
        """Read one record; None if there is none."""
        with self._lock, self._translated():
            found = self._connection().execute(_GET[_table(kind)], (kind, team, id)).fetchone()
        return _verified(found, kind, team, id, self.path)

    def meta(self, key: str) -> str | None:
        """Read a fact about the whole file."""
        with self._lock, self._translated():
            found = self._connection().execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def ops(self, op_ids: list[str]) -> set[str]:
        """Give those of the op ids that have been carried out."""
        with self._lock, self._translated():
            db = self._connection()
            return {o for o in op_ids if db.execute("SELECT 1 FROM op WHERE op_id = ?", (o,)).fetchone()}

    def size(self) -> int:
        """Bytes on disk, the log included."""
        files = (self.path, Path(f"{self.path}-wal"))
        return sum(f.stat().st_size for f in files if f.exists())

    # --- writing ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write: everything done with the yielded transaction is committed at the end, or undone."""
        with self._lock, self._translated():
            db = self._connection()
            with self._writing():
                db.execute("BEGIN IMMEDIATE")
                try:
                    tx = Transaction(db, self.path)
                    yield tx
                    tx.finish()
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:  # else the rollback would hide the error behind its own
                        db.execute("ROLLBACK")
                    raise
                wal = Path(f"{self.path}-wal")
                if wal.exists() and wal.stat().st_size > WAL_LIMIT:
                    with contextlib.suppress(
                        sqlite3.OperationalError
                    ):  # the commit stands; try again next time
                        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the writer lock: one process at a time commits or checkpoints.

        SQLite before 3.51.3 can damage a file when a checkpoint starts while another connection
        commits; under this lock the two never meet.
        """
        try:
            with self._writer:
                yield
        except Timeout:
            raise StoreBusy(
                f"{self.path} was held by another writer for {self._timeout:g} s; try again, or look for a stuck process"
            ) from None

    # --- keeping ------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Verify every page, every record and the sum of them all."""
        problems: list[str] = []
        with self._lock:
            try:
                db = self._connection()
                db.execute("BEGIN")
                try:
                    problems += [
                        f"{self.path}: {p}" for (p,) in db.execute("PRAGMA integrity_check(20)") if p != "ok"
                    ]
                    total = 0
                    for op_id, seq in db.execute("SELECT op_id, seq FROM op"):
                        total += int.from_bytes(_sum("op", "", op_id, seq, b""), "big")
                    for query, args in ((_SINCE, (-1,)), (_ALL_TRACES, ())):
                        for kind, team, id, seq, stored, body in db.execute(query, args):
                            real = _sum(kind, team, id, seq, body)
                            total += int.from_bytes(real, "big")
                            if real != stored:
                                problems.append(
                                    f"{self.path}: the {kind} record {id!r} of team {team!r} is damaged"
                                )
                    if not problems and f"{total % 2**128:032x}" != self.meta("fingerprint"):
                        problems.append(f"{self.path}: records are missing or were added behind gmem's back")
                finally:
                    db.execute("COMMIT")
            except (sqlite3.DatabaseError, UnicodeError) as error:
                problems.append(f"{self.path}: {error}")
        return problems

    def verify_sums(self) -> None:
        """Compare the stored checksums of all records with the file's sum of them; reads no bodies.

        Raises:
            StoreCorrupt: They differ.
        """
        with self._lock, self._translated():
            db = self._connection()
            db.execute("BEGIN")
            try:
                total = sum(
                    int.from_bytes(_sum("op", "", op_id, seq, b""), "big")
                    for op_id, seq in db.execute("SELECT op_id, seq FROM op")
                )
                for query in ("SELECT sum FROM record", "SELECT sum FROM trace"):
                    total += sum(int.from_bytes(s, "big") for (s,) in db.execute(query))
                (stored,) = db.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
            finally:
                db.execute("COMMIT")
        if f"{total % 2**128:032x}" != stored:
            raise StoreCorrupt(
                f"{self.path}: records are missing or were added behind gmem's back; restore a backup, "
                "or see what is left with `gmem doctor`"
            )

    def compact(self) -> None:
        """Rewrite the file without free pages, and empty the log."""
        with self._lock, self._translated(), self._writing():
            db = self._connection()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; the log is folded into it if nobody else has it open."""
        with self._lock:
            self._release()
            self._closed = True

    def _release(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error, StoreBusy, OSError), self._writing():
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
            self._db = None

    # --- errors and forks ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error
        except UnicodeDecodeError as error:
            raise StoreCorrupt(f"{self.path} is damaged ({error}); restore it from a backup") from error
        except PermissionError as error:
            raise StoreError(
                f"{self.path} cannot be opened ({error}); check who owns the file and its folder"
            ) from error

    def _named(self, error: sqlite3.Error) -> StoreError:
        text = str(error)
        if "disk is full" in text or "disk I/O error" in text:
            return StoreFull(
                f"{self.path}: {text}; make room (nothing of this write was kept), then repeat the call"
            )
        if "locked" in text or "busy" in text:
            return StoreBusy(f"{self.path}: {text} for {self._timeout:g} s; try again")
        if "readonly" in text or "unable to open" in text:
            return StoreError(f"{self.path}: {text}; check who owns the file and its folder")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            return StoreCorrupt(f"{self.path} is damaged ({text}); restore a backup, or see `gmem doctor`")
        return StoreError(f"{self.path}: {text}")

    def _before_fork(self) -> None:
        # A connection must not cross a fork: SQLite's own notes on which locks this process holds
        # would be wrong in the child.  Both sides open a new one when they next need it.
        self._lock.acquire()
        self._release()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._writer = FileLock(f"{self.path}.lock", timeout=self._timeout)


_held: list[RecordFile] = []
"""The files whose locks are held for a fork that is under way."""


def _before_fork() -> None:
    for file in list(_open_files):
        file._before_fork()
        _held.append(file)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._after_fork_in_parent()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop()._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # where there is no fork there is nothing to prepare for
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
