"""Reading and writing checked records within one SQLite transaction."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from gmem.errors import StoreCorrupt

__all__ = [
    "ALL",
    "RESTORE",
    "SINCE",
    "TABLES",
    "Transaction",
    "altered",
    "intact",
    "meta_sum",
    "op_sum",
    "read",
]

TRACE = "trace"
_LENGTHS = struct.Struct(">IIIq")
RESTORE = "restore it from a backup, or see what is left with `gmem doctor`"
TABLES = ("record", TRACE)
# Only these fixed statements are ever run; every value is bound.
_HAS = {
    "record": "SELECT 1 FROM record WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "SELECT 1 FROM trace WHERE kind = ? AND team = ? AND id = ?",
}
_GET = {
    "record": "SELECT seq, sum, body FROM record WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "SELECT seq, sum, body FROM trace WHERE kind = ? AND team = ? AND id = ?",
}
_ADD = {
    "record": "INSERT INTO record (kind, team, id, seq, sum, body) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (kind, team, id) DO NOTHING",
    TRACE: "INSERT INTO trace (kind, team, id, seq, sum, body) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (kind, team, id) DO NOTHING",
}
_REPLACE = {
    "record": "UPDATE record SET seq = ?, sum = ?, body = ? WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "UPDATE trace SET seq = ?, sum = ?, body = ? WHERE kind = ? AND team = ? AND id = ?",
}
_DELETE = {
    "record": "DELETE FROM record WHERE kind = ? AND team = ? AND id = ?",
    TRACE: "DELETE FROM trace WHERE kind = ? AND team = ? AND id = ?",
}
_IDS = "SELECT id FROM record WHERE kind = ? AND team = ?"
ALL = {
    "record": "SELECT kind, team, id, seq, sum, body FROM record ORDER BY n",
    TRACE: "SELECT kind, team, id, seq, sum, body FROM trace ORDER BY n",
}
# The plus keeps SQLite from walking the whole table in the order of `n`; few rows are newer, so they are sorted.
SINCE = "SELECT kind, team, id, seq, sum, body FROM record WHERE seq > ? ORDER BY +n"


def _table(kind: str) -> str:
    return TRACE if kind == TRACE else "record"


def _sum(kind: str, team: str, id: str, seq: int, body: bytes) -> bytes:
    k, t, i = kind.encode(), team.encode(), id.encode()
    lengths = _LENGTHS.pack(len(k), len(t), len(i), seq)  # so that no two records read the same
    return hashlib.blake2b(b"".join((lengths, k, t, i, body)), digest_size=16).digest()


def op_sum(op_id: str, seq: int, forgets: int) -> int:
    """Give the share that a write itself has in the fingerprint of the file."""
    return int.from_bytes(_sum("op", "", op_id, seq, b"\1" if forgets else b"\0"), "big")


def meta_sum(key: str, value: str) -> int:
    """Give the share that a fact about the file has in its fingerprint."""
    return int.from_bytes(_sum("meta", "", key, 0, value.encode()), "big")


def intact(kind: str, team: str, id: str, seq: int, total: bytes, body: bytes) -> bool:
    """Tell whether a record matches its checksum."""
    try:
        return _sum(kind, team, id, seq, body) == total
    except (TypeError, AttributeError, struct.error, UnicodeError):  # damage can change the type, too
        return False


class Transaction:
    """Writes under way; their records become visible together, or not at all."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        (self.seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM op").fetchone()
        self._fingerprint = int(self.meta("fingerprint") or "0", 16)
        self._there: set[tuple[str, str, str]] = set()

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Undo what is done inside if it raises, and only that."""
        before = self.seq, self._fingerprint
        self._db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite may have given up all of it, such as on a full disk
                self._db.execute("ROLLBACK TO part")
                self._db.execute("RELEASE part")
            self.seq, self._fingerprint = before
            self._there.clear()
            raise
        self._db.execute("RELEASE part")

    def begin(self, op_id: str, forgets: bool = False) -> bool:
        """Start a named step; False if a step of that name was done before.

        Args:
            op_id: Its name.
            forgets: Whether it removes anything, so that caches must be built anew.
        """
        if self._db.execute("SELECT 1 FROM op WHERE op_id = ?", (op_id,)).fetchone():
            return False
        self.seq += 1
        self._db.execute("INSERT INTO op VALUES (?, ?, ?)", (self.seq, op_id, int(forgets)))
        self._add(op_sum(op_id, self.seq, forgets))
        return True

    def has(self, kind: str, team: str, id: str) -> bool:
        """Tell whether a record is there, as things stand within this transaction."""
        key = (kind, team, id)  # the ends of edges are asked for again and again
        if key not in self._there and self._db.execute(_HAS[_table(kind)], key).fetchone() is not None:
            self._there.add(key)
        return key in self._there

    def get(self, kind: str, team: str, id: str) -> bytes | None:
        """Read a record as it stands within this transaction."""
        return read(self._db, self._path, kind, team, id)

    def ids(self, kind: str, team: str) -> list[str]:
        """Give the ids of all records of one kind (not of traces), in no particular order."""
        return [id for (id,) in self._db.execute(_IDS, (kind, team))]

    def put(self, kind: str, team: str, id: str, body: bytes) -> None:
        """Add or replace a record; a replaced one keeps its place in the order."""
        table = _table(kind)
        total = _sum(kind, team, id, self.seq, body)
        added = self._db.execute(_ADD[table], (kind, team, id, self.seq, total, body)).rowcount
        if not added:  # most records are new
            self._take_off(table, kind, team, id)
            self._db.execute(_REPLACE[table], (self.seq, total, body, kind, team, id))
        self._add(int.from_bytes(total, "big"))
        self._there.add((kind, team, id))

    def delete(self, kind: str, team: str, id: str) -> None:
        """Remove a record, if it is there; only within a step that says that it forgets."""
        table = _table(kind)
        self._there.discard((kind, team, id))
        if self._take_off(table, kind, team, id):
            self._db.execute(_DELETE[table], (kind, team, id))

    def delete_all(self, kind: str) -> None:
        """Remove all records of one kind (not traces), of every team."""
        for team, id in self._db.execute("SELECT team, id FROM record WHERE kind = ?", (kind,)).fetchall():
            self.delete(kind, team, id)

    def meta(self, key: str) -> str | None:
        """Read a fact about the whole file."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def set_meta(self, key: str, value: str) -> None:
        """Set a fact about the whole file."""
        if (old := self.meta(key)) is not None:
            self._add(-meta_sum(key, old))
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        self._add(meta_sum(key, value))

    def finish(self) -> None:
        """Write the sum of all checksums; the last thing before the commit."""
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'fingerprint'", (f"{self._fingerprint:032x}",))

    def _take_off(self, table: str, kind: str, team: str, id: str) -> bool:
        old = self._db.execute(_GET[table], (kind, team, id)).fetchone()
        if old is not None:
            self._add(-int.from_bytes(old[1], "big"))
        return old is not None

    def _add(self, total: int) -> None:
        self._fingerprint = (self._fingerprint + total) % 2**128


def read(db: sqlite3.Connection, path: Path, kind: str, team: str, id: str) -> bytes | None:
    """Read one record and verify it; None if there is none."""
    found = db.execute(_GET[_table(kind)], (kind, team, id)).fetchone()
    if found is None:
        return None
    seq, total, body = found
    if not intact(kind, team, id, seq, total, body):
        raise altered(path, kind, team, id)
    checked: bytes = body
    return checked


def altered(path: Path, kind: str, team: str, id: str) -> StoreCorrupt:
    """Give the error for a record that does not match its checksum."""
    return StoreCorrupt(f"{path}: the {kind} record {id!r} of team {team!r} does not match its checksum; {RESTORE}")
