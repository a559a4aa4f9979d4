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
import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from gmem.errors import StoreBusy, StoreCorrupt
from gmem.graphs import _cypher, _rows
from gmem.graphs._cache import TeamCache
from gmem.graphs._formats import check_unchanged
from gmem.graphs._rows import Row, uid
from gmem.model import WHOLE, Evidence, InsightLink, Model, Similar, Suspect, Task

__all__ = ["Mirror", "read_head", "recorded_model"]

ROUNDS = 100
"""How often a mirror looks again while others keep writing, before it gives up."""
DOUBTS = 3
"""How often what cannot be read is read again: what is being removed looks broken while its write is under way."""
PAUSE = 0.02
"""Seconds before that."""
Run = Callable[[str, Mapping[str, Any]], Sequence[Row]]
Read = Callable[[Callable[[Run], Any]], Any]
STEP = 50
"""Fewest writes whose changes come in one row."""
PARTS = 400
"""Most rows in which changes come."""


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
        found = _Changes()
        doubts = 0
        for _ in range(ROUNDS):
            if head.seq is None:
                self.forget()
                self.model = head.model
                return
            if head.epoch != epoch:
                seq, epoch = None, head.epoch
                found = _Changes()
            try:
                if seq == head.seq:
                    self._take(found, fresh=epoch != self.epoch)
                    self.seq, self.epoch, self.model = seq, epoch, head.model
                    return
                since = -1 if seq is None else seq
                parts, after = read(lambda run, since=since, head=head: self._changes(run, since, head.seq))  # type: ignore[misc]
                newest = _add(found, parts)
            except _UNREADABLE as error:
                doubts += 1
                after = read(lambda run: read_head(run, self.team))
                if doubts > DOUBTS and (after.seq, after.epoch) == (head.seq, head.epoch):
                    raise StoreCorrupt(
                        f"something stored for team {self.team!r} cannot be read ({error!r}); see `gmem doctor`"
                    ) from error
                time.sleep(PAUSE)
                seq, epoch, head = self.seq, self.epoch, after
                found = _Changes()
                continue
            if after.seq == head.seq and newest > head.seq:
                after.seq = newest  # a part of what is coming
            seq, head = head.seq, after
        raise StoreBusy(f"team {self.team!r} was written to all the time while it was being read; try again")

    def _changes(self, run: Run, since: int, head: int) -> tuple[Sequence[Row], Head]:
        step = max(STEP, -((since - head) // PARTS))
        parts = run(_cypher.CHANGES, {"team": self.team, "since": since, "head": head, "step": step})
        return parts, read_head(run, self.team)

    def _take(self, changes: _Changes, *, fresh: bool) -> None:
        cache = TeamCache(self.team) if fresh else self.cache
        try:
            changes.apply(cache)
        except _UNREADABLE:
            self.forget()
            raise
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
        self.model = recorded_model(row)
        self.seq: int | None = row["seq"]
        self.epoch: int | None = row["epoch"]


def read_head(run: Run, team: str) -> Head:
    """Ask how new a team is.

    Raises:
        StoreCorrupt: The store as a whole is gone.
        StoreVersionError: A newer gmem has brought it up to a newer format meanwhile.
    """
    rows = run(_cypher.HEAD, {"team_uid": uid(team, "team")})
    if not rows:
        raise StoreCorrupt("the memory is gone from the server: somebody emptied the database; open it anew")
    check_unchanged(rows[0]["format"])
    return Head(rows[0])


def recorded_model(row: Row) -> Model | None:
    """Read which embedding model is recorded."""
    return Model(row["embedder"], row["dimension"]) if row["embedder"] is not None else None


def _add(found: _Changes, parts: Sequence[Row]) -> int:
    """Take in what was read, and give the number of the newest write in it; -1 if there is none."""
    for part in parts:
        found.add(part)
    return max((last for part in parts for last in part["lasts"] if last is not None), default=-1)


_BY_A_PERSON = (Suspect("", 0, "", WHOLE),)
"""Whom somebody blamed is not looked at here, only that somebody did."""
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError)


class _Changes:
    """What was read of a team, the newer in place of the older."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[Any, ...]] = {}
        self._insights: dict[str, Row] = {}
        self._similar: dict[tuple[str, str], float] = {}
        self._evidence: dict[tuple[str, str], tuple[bool, bool]] = {}
        self._links: dict[tuple[str, str, str], None] = {}
        self._recalls: dict[str, Row] = {}

    def add(self, part: Row) -> None:
        """Take in a row of `_cypher.CHANGES`; lists that should be of one length and are not raise ValueError."""
        numbers, ids, *columns = part["tasks"]
        self._tasks.update(zip(ids, zip(numbers, ids, *columns, strict=True), strict=True))
        self._insights.update((row["id"], row) for row in part["insights"])
        a, b, scores = part["similar"]
        self._similar.update(zip(zip(a, b, strict=True), scores, strict=True))
        for name in ("supports", "contradicts"):
            tasks, insights, followed, resolved = part[name]
            ends = zip(tasks, insights, strict=True)
            self._evidence.update(zip(ends, zip(followed, resolved, strict=True), strict=True))
        self._links.update(dict.fromkeys(zip(*part["links"], strict=True)))
        self._recalls.update((row["id"], row) for row in part["recalls"])

    def apply(self, cache: TeamCache) -> None:
        """Do to a cache what was done to the team; tasks come in the order of their numbers."""
        for _, id, query, outcome, learned, trust, length, source, blamed, deeds, vector in sorted(
            self._tasks.values(), key=itemgetter(0)
        ):
            cache.put_task(Task(
                id, cache.team, query, outcome=outcome, learned=learned, trust=trust, length=length, source=source,
                blame=_BY_A_PERSON if blamed else (), deeds=_rows.to_deeds(deeds),
            ))  # fmt: skip
            if vector is not False:
                cache.put_vector(id, _rows.to_vector(vector))
        for row in self._insights.values():
            cache.put_insight(_rows.to_insight(row))
        for (a, b), score in self._similar.items():
            cache.put_similar(Similar(a, b, score))
        for (task, insight), (did, well) in self._evidence.items():
            cache.put_evidence(Evidence(task, insight, did, well))
        for link in self._links:
            cache.put_link(InsightLink(*link))
        for row in self._recalls.values():
            cache.put_recall(_rows.to_recall(row))
