"""Mirrors of teams: a `TeamCache` per team, brought up to date from a server's own record of changes.

Each write has a number, which is stamped on all that it wrote and kept at the team.  A mirror that
knows everything up to one number asks for what is newer.  Where something was removed, the team's
epoch changes, and the mirror is made anew.

A server shows a team's new number a moment before its indexes find all that bears it.  But it begins
no transaction for a client before everything that the client was shown is wholly there (bookmarks), so
what is read in one transaction is complete up to the number that was seen in the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gmem.errors import StoreBusy, StoreCorrupt
from gmem.graphs import _cypher, _rows
from gmem.graphs._cache import TeamCache
from gmem.graphs._rows import Row, uid
from gmem.model import Evidence, InsightLink, Model, Similar, Task

__all__ = ["Mirror", "read_head"]

ROUNDS = 100
"""How often a mirror looks again while others keep writing, before it gives up."""
Run = Callable[[str, Mapping[str, Any]], Sequence[Row]]
Read = Callable[[Callable[[Run], Any]], Any]
Change = tuple[str, int, int, Sequence[Any]]
"""Kind, place in the order, number of the write, and values."""
_ORDER = {kind: place for place, kind in enumerate(("task", "insight", "similar", "evidence", "link", "recall"))}


class Mirror:
    """One team's cache, and how new it is.

    Attributes:
        team: Whose.
        lock: Guards the cache.
        cache: What is known.
        model: The embedding model that was recorded when this mirror last looked.
        seq: Number of the newest write that is in it; None if the team has nothing stored.
        epoch: Number of the write that last removed something.
    """

    def __init__(self, team: str) -> None:
        self.team = team
        self.lock = threading.RLock()
        self.model: Model | None = None
        self.forget()

    def forget(self) -> None:
        """Start again with nothing."""
        self.cache = TeamCache(self.team)
        self.seq: int | None = None
        self.epoch: int | None = None

    def catch_up(self, read: Read) -> None:
        """Bring the cache up to date; the lock is held.

        What was read counts only once a second look finds that nobody wrote meanwhile.

        Args:
            read: Does work in a read transaction of its own; or in a write transaction that holds the
                lock of all writers, in which everything is wholly there.

        Raises:
            StoreCorrupt: Something stored cannot be read.
            StoreBusy: Others kept writing.
        """
        head = read(lambda run: read_head(run, self.team))
        seq, epoch = self.seq, self.epoch
        found: dict[tuple[Any, ...], Change] = {}
        for _ in range(ROUNDS):
            if head.seq is None:
                self.forget()
                self.model = head.model
                return
            if head.epoch != epoch:
                seq, epoch = None, head.epoch
                found = {}
            if seq == head.seq:
                self._take(found.values(), fresh=epoch != self.epoch)
                self.seq, self.epoch, self.model = seq, epoch, head.model
                return
            since = -1 if seq is None else seq
            changes, after = read(lambda run, since=since: self._changes(run, since))  # type: ignore[misc]
            found |= changes
            if after.seq == head.seq and any(written > head.seq for _, _, written, _ in changes.values()):
                after.seq = max(written for _, _, written, _ in changes.values())  # a part of what is coming
            seq, head = head.seq, after
        raise StoreBusy(f"team {self.team!r} was written to all the time while it was being read; try again")

    def _changes(self, run: Run, since: int) -> tuple[dict[tuple[Any, ...], Change], Head]:
        rows = run(_cypher.CHANGES, {"team": self.team, "since": since})
        changes = [(row["kind"], row["number"], row["written"], row["row"]) for row in rows]
        return {_name(change): change for change in changes}, read_head(run, self.team)

    def _take(self, changes: Any, *, fresh: bool) -> None:
        cache = TeamCache(self.team) if fresh else self.cache
        try:
            for kind, _, _, row in sorted(changes, key=lambda c: (_ORDER[c[0]], c[1])):
                _apply(cache, kind, row)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self.forget()
            raise StoreCorrupt(
                f"something stored for team {self.team!r} cannot be read ({error!r}); see `gmem doctor`"
            ) from error
        self.cache = cache

    def wrote(self, before: tuple[int | None, int | None], seq: int, apply: Callable[[TeamCache], None]) -> None:
        """Take in a write of this process that removed nothing, if nothing else came between.

        Args:
            before: `seq` and `epoch` of the team before the write.
            seq: Its number.
            apply: Does to a cache what the write did to the server.
        """
        with self.lock:
            if (self.seq, self.epoch) != before:
                return  # it was read back from the server already, or will be
            try:
                apply(self.cache)
            except BaseException:
                self.forget()
                raise
            self.seq = seq
            if self.epoch is None:
                self.epoch = seq  # the team's first write


class Head:
    """How new a team is on the server, and the recorded embedding model."""

    __slots__ = ("epoch", "model", "seq")

    def __init__(self, row: Row) -> None:
        self.model = read_model(row)
        self.seq: int | None = row["seq"]
        self.epoch: int | None = row["epoch"]


def read_head(run: Run, team: str) -> Head:
    """Ask how new a team is.

    Raises:
        StoreCorrupt: The store as a whole is gone.
    """
    rows = run(_cypher.HEAD, {"team_uid": uid(team, "team")})
    if not rows:
        raise StoreCorrupt("the memory is gone from the server: somebody emptied the database; open it anew")
    return Head(rows[0])


def read_model(row: Row) -> Model | None:
    """Read which embedding model is recorded."""
    return Model(row["embedder"], row["dimension"]) if row["embedder"] is not None else None


def _name(change: Change) -> tuple[Any, ...]:
    kind, _, _, row = change
    if kind in ("insight", "recall"):
        return kind, row[0]["id"]
    return (kind, *row[: {"task": 1, "link": 3}.get(kind, 2)])


def _apply(cache: TeamCache, kind: str, row: Sequence[Any]) -> None:
    if kind == "task":
        id, query, outcome, learned, trust, length, embedding = row
        cache.put_task(Task(id, cache.team, query, outcome=outcome, learned=learned, trust=trust, length=length))
        if embedding is not None:
            cache.put_vector(id, _rows.to_vector(embedding))
    elif kind == "insight":
        cache.put_insight(_rows.to_insight(row[0]))
    elif kind == "similar":
        cache.put_similar(Similar(row[0], row[1], row[2]))
    elif kind == "evidence":
        cache.put_evidence(Evidence(row[0], row[1], row[2], row[3]))
    elif kind == "link":
        cache.put_link(InsightLink(row[0], row[1], row[2]))
    else:
        cache.put_recall(_rows.to_recall(row[0]))
