"""The file behind the embedded store: SQLite used as a log of checked records.

Everything is a record `(kind, team, id) -> body`.  Each write has a name (its op id) and a number
(`seq`), and every record carries the number of the write that made it, so a cache built from the
file is brought up to date by reading what is newer than it.

Two checksums guard the content beyond what SQLite checks itself: each record carries the hash of
its key and body, and the file carries the sum of all those hashes, so a record that was altered,
lost or smuggled in is noticed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock, Timeout

from gmem.errors import InvalidInput, StoreBusy, StoreClosed, StoreCorrupt, StoreError, StoreNotFound
from gmem.graphs import _forks, _sqlite, _wal
from gmem.graphs._transaction import (
    ALL,
    RESTORE,
    SINCE,
    TABLES,
    Transaction,
    altered,
    intact,
    meta_sum,
    op_sum,
    read,
)

__all__ = ["RecordFile", "Transaction"]

WAL_LIMIT = 16 * 2**20
GROUP = 256
"""Most calls that share one commit."""
T = TypeVar("T")


class _Job(Generic[T]):
    """One call's share of a transaction that several calls may share."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self.work = work
        self.done = False
        self.error: Exception | None = None
        self.result: T

    def run(self, tx: Transaction) -> None:
        try:
            with tx.part():
                self.result = self.work(tx)
        except (sqlite3.Error, StoreError):
            raise  # the whole transaction is in doubt, not this share of it
        except Exception as error:
            self.error = error


class RecordFile:
    """An open record file; safe to use from several threads and processes, and across a fork.

    One connection reads and another writes, so that nobody who reads waits for the disk.

    Attributes:
        path: Where it is, absolute.
        lock: Guards the reading connection, and whatever its user caches of what it reads.
    """

    def __init__(self, path: Path, *, create: bool = True, timeout: float = 10.0) -> None:
        if "\0" in str(path):
            raise InvalidInput(f"the path {str(path)!r} holds a NUL character; choose another")
        self.path = path.absolute()
        self._timeout = timeout
        self._closed = False
        self._generation = 0
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._new_locks()
        with self._translated(writing=not self.path.exists()):
            if not self.path.exists():
                if not create:
                    raise StoreNotFound(
                        f"there is no memory at {self.path}; check the path, or open it with create=True"
                    )
                if not self.path.parent.is_dir():
                    raise StoreNotFound(f"the folder {self.path.parent} does not exist; create it first")
            with self._exclusive():
                if not self.path.exists():
                    _sqlite.create(self.path)
                log = Path(f"{self.path}-wal")
                if log.exists() and _wal.loses_commits(log.read_bytes(), _sqlite.PAGE):
                    raise StoreCorrupt(
                        f"{log} is damaged before its end, so finished writes would be lost; restore both "
                        "files from a backup, or delete the log to go back to the last checkpoint"
                    )
                self._reader = _sqlite.connect(self.path, self._timeout)
        _forks.watch(self)

    def _new_locks(self) -> None:
        self.lock = threading.RLock()
        self._write_lock = threading.RLock()  # taken before `lock` by whoever needs both
        self._file_lock = FileLock(f"{self.path}.lock")
        self._waiting: deque[_Job[object]] = deque()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the writer lock: one process at a time opens, commits or checkpoints.

        SQLite before 3.51.3 can damage a file when a checkpoint starts while another connection
        commits; under this lock the two never meet.
        """
        try:
            held = self._file_lock.acquire(timeout=self._timeout, poll_interval=0.002)
        except Timeout:
            raise StoreBusy(
                f"{self.path} was held by another writer for {self._timeout:g} s; try again, or look for "
                "a stuck process"
            ) from None
        with held:
            yield

    def _translated(self, *, writing: bool = False) -> contextlib.AbstractContextManager[None]:
        return _sqlite.translated(self.path, self._timeout, writing=writing)

    def _open_reader(self) -> sqlite3.Connection:
        self._need_open()
        if self._reader is None:
            with self._exclusive():
                self._reader = _sqlite.connect(self.path, self._timeout)
            self._generation += 1
        return self._reader

    def _open_writer(self) -> sqlite3.Connection:
        """Give the writing connection; the writer lock is held."""
        self._need_open()
        if self._writer is None:
            self._writer = _sqlite.connect(self.path, self._timeout)
        return self._writer

    def _need_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.path} was closed; open it again with Memory({str(self.path)!r})")

    # --- reading ------------------------------------------------------------------------------

    def version(self) -> tuple[int, int]:
        """Give a figure that changes whenever anybody has written."""
        with self.lock, self._translated():
            (version,) = self._open_reader().execute("PRAGMA data_version").fetchone()
            return self._generation, version

    def since(self, seq: int, take: Callable[[str, str, str, bytes], None]) -> int | None:
        """Read the records (no traces) that are newer than a write, in the order of their first writing.

        Args:
            seq: Number of that write; 0 for everything.
            take: Is given kind, team, id and body of each.

        Returns:
            The number of the newest write; None, and nothing read, if anything was forgotten since, in
            which case a cache must be built anew.
        """
        with self.lock, self._translated(), self._snapshot() as db:
            (head,) = db.execute("SELECT coalesce(max(seq), 0) FROM op").fetchone()
            if seq and db.execute("SELECT 1 FROM op WHERE seq > ? AND forgets", (seq,)).fetchone():
                return None
            rows = db.execute(SINCE, (seq,)) if seq else db.execute(ALL["record"])
            for kind, team, id, number, total, body in rows:
                if not intact(kind, team, id, number, total, body):
                    raise altered(self.path, kind, team, id)
                take(kind, team, id, body)
            return int(head)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """See one state of the file throughout; the lock is held."""
        db = self._open_reader()
        db.execute("BEGIN")
        try:
            yield db
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def everything(self) -> Iterator[tuple[str, str, str, bytes]]:
        """Give one state of the file: the names of its writes as kind `op`, then records and traces as written."""
        with self.lock, self._translated(), self._snapshot() as db:
            for (op_id,) in db.execute("SELECT op_id FROM op ORDER BY seq"):
                yield "op", "", op_id, b""
            for table in TABLES:
                for kind, team, id, number, total, body in db.execute(ALL[table]):
                    if not intact(kind, team, id, number, total, body):
                        raise altered(self.path, kind, team, id)
                    yield kind, team, id, body

    def get(self, kind: str, team: str, id: str) -> bytes | None:
        """Read one record; None if there is none."""
        with self.lock, self._translated():
            return read(self._open_reader(), self.path, kind, team, id)

    def meta(self, key: str) -> str | None:
        """Read a fact about the whole file."""
        with self.lock, self._translated():
            found = self._open_reader().execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def ops(self, op_ids: list[str]) -> set[str]:
        """Give those of the op ids that have been carried out."""
        with self.lock, self._translated():
            db = self._open_reader()
            return {o for o in op_ids if db.execute("SELECT 1 FROM op WHERE op_id = ?", (o,)).fetchone()}

    def size(self) -> int:
        """Bytes on disk, the log included."""
        self._need_open()
        return sum(f.stat().st_size for f in (self.path, Path(f"{self.path}-wal")) if f.exists())

    # --- writing ------------------------------------------------------------------------------

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Write: what `work` does is committed when this returns, and undone if it raises.

        The calls of threads that wait for the disk meanwhile share one commit, each undone alone.
        """
        job = _Job(work)
        self._waiting.append(job)  # type: ignore[arg-type]
        with self._write_lock:
            if not job.done:  # else another thread has done it
                group: list[_Job[object]] = [job]  # type: ignore[list-item]
                while self._waiting and len(group) < GROUP:
                    other = self._waiting.popleft()
                    if other is not job and not other.done:
                        group.append(other)
                self._commit(group)
        if job.error is not None:
            raise job.error
        return job.result

    def _commit(self, group: list[_Job[object]]) -> None:
        """Do jobs in one transaction; if that fails, those who wait each try alone."""
        with self._translated(writing=True), self._exclusive():
            db = self._open_writer()
            db.execute("BEGIN IMMEDIATE")
            try:
                tx = Transaction(db, self.path)
                for job in group:
                    job.run(tx)
                tx.finish()
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # else the rollback would hide the error behind its own
                    db.execute("ROLLBACK")
                raise
            for job in group:
                job.done = True
            self._fold_log(db)

    def _fold_log(self, db: sqlite3.Connection) -> None:
        """Move a long log into the file; if somebody is reading it, the next write tries again."""
        with contextlib.suppress(sqlite3.Error, OSError):  # the commit stands, whatever happens here
            if Path(f"{self.path}-wal").stat().st_size > WAL_LIMIT:
                db.execute("PRAGMA busy_timeout = 0")
                try:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    db.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000):d}")

    # --- keeping ------------------------------------------------------------------------------

    def verify(self) -> None:
        """Verify every page and index, and that the records are those that were written; reads no bodies.

        Raises:
            StoreCorrupt: Something is wrong.
        """
        with self.lock, self._translated(), self._snapshot() as db:
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise StoreCorrupt(f"{self.path} is damaged ({verdict}); {RESTORE}")
            try:
                total = sum(op_sum(*op) for op in db.execute("SELECT op_id, seq, forgets FROM op"))
                metas = dict(db.execute("SELECT key, value FROM meta").fetchall())
                stored = metas.pop("fingerprint", "none")
                total += sum(meta_sum(*meta) for meta in metas.items())
                for query in ("SELECT sum FROM record", "SELECT sum FROM trace"):
                    total += sum(int.from_bytes(s, "big") for (s,) in db.execute(query))
            except (TypeError, AttributeError, struct.error, UnicodeError) as error:
                raise StoreCorrupt(f"{self.path} is damaged ({error}); {RESTORE}") from error
        if f"{total % 2**128:032x}" != stored:
            raise StoreCorrupt(f"{self.path}: records are missing or were added behind gmem's back; {RESTORE}")

    def check(self, take: Callable[[str, str, str, bytes], None]) -> list[str]:
        """Verify every page and every record, and hand out the sound ones; traces come last.

        Returns:
            One sentence for each thing found wrong.
        """
        problems: list[str] = []
        try:
            self.verify()
        except StoreCorrupt as error:
            problems.append(str(error))
        try:
            with self.lock, self._translated(), self._snapshot() as db:
                for table in TABLES:
                    for kind, team, id, seq, total, body in db.execute(ALL[table]):
                        if intact(kind, team, id, seq, total, body):
                            take(kind, team, id, body)
                        else:
                            problems.append(str(altered(self.path, kind, team, id)))
        except StoreCorrupt as error:
            problems.append(str(error))
        return problems

    def compact(self) -> None:
        """Rewrite the file without free pages, and empty the log."""
        with self._write_lock, self._translated(writing=True), self._exclusive():
            db = self._open_writer()
            self._empty_log(db)
            db.execute("VACUUM")
            self._empty_log(db)

    def _empty_log(self, db: sqlite3.Connection) -> None:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreBusy(
                f"{self.path} was being read for {self._timeout:g} s, so its log could not be emptied; try again"
            )

    def close(self) -> None:
        """Close the file; the log is folded into it if nobody is reading it."""
        with self._write_lock, self.lock:
            if self._reader is not None or self._writer is not None:
                with contextlib.suppress(sqlite3.Error, StoreError, OSError), self._exclusive():
                    self._open_writer().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._release()
            self._closed = True

    def _release(self) -> None:
        for db in (self._writer, self._reader):
            if db is not None:
                db.close()
        self._writer = self._reader = None

    # --- forks --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait until nobody uses the file, and let go of it."""
        # A connection must not cross a fork: SQLite's own notes on which locks this process holds
        # would be wrong in the child.  Both sides open a new one when they next need it.
        self._write_lock.acquire()
        self.lock.acquire()
        self._release()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self.lock.release()
        self._write_lock.release()

    def after_fork_in_child(self) -> None:
        """Go on without the threads that the parent had, and without their calls."""
        self._new_locks()
