"""Writing to the server: what several threads have to write shares one transaction, each refused alone.

All writers of a store, in whatever process, take turns: the first statement of a transaction locks
one node, so numbers are given in the order of the commits, and what was read before is still true.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from gmem.errors import InvalidInput, StoreBusy, StoreClosed, StoreCorrupt, StoreError, StoreUnreachable
from gmem.graphs import _cypher
from gmem.graphs._cache import TeamCache
from gmem.graphs._formats import check_unchanged
from gmem.graphs._mirror import Mirror, recorded_model
from gmem.graphs._rows import uid
from gmem.graphs._sending import forgotten, numbered, slices
from gmem.graphs._server import Row, Run, Server
from gmem.graphs._staging import Staged
from gmem.graphs._writing import carry_out
from gmem.graphs.base import Batch
from gmem.ids import digest

__all__ = ["Committer", "take_turn"]

GROUP = 100
"""Most calls that share one transaction."""
LINGER = 0.004
"""Seconds that a transaction waits, at most, for as many calls as the last one had."""


class _Job:
    """One call's share of a transaction."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.done = False
        self.leads = False
        self.awake = threading.Event()
        self.error: Exception | None = None
        self.result: list[bool] = []

    def run(self, staged: Staged, ours: set[str]) -> None:
        """Work out the share; `ours` are writes of this very call that an earlier attempt had committed."""
        self.error = None
        left = set(ours)
        try:
            with staged.part():
                self.result = []
                for batch in self.batches:
                    name = digest(batch.team, batch.op_id)
                    self.result.append(carry_out(staged, batch) or name in left)
                    left.discard(name)
        except StoreError:
            raise  # the whole transaction is in doubt, not this share of it
        except Exception as error:
            self.error = error


class Committer:
    """Carries out batches on a server, and tells the mirrors.

    Args:
        server: The server.
        mirror: Gives the mirror of a team.
    """

    def __init__(self, server: Server, mirror: Callable[[str], Mirror]) -> None:
        self._server = server
        self._mirror = mirror
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._busy = False
        self._last = 1

    def write(self, batches: Sequence[Batch]) -> list[bool]:
        """Carry out batches in one transaction, perhaps together with those of other threads."""
        job = _Job(batches)
        while not job.done:
            with self._lock:
                self._waiting.append(job)
                job.leads = not self._busy
                self._busy = True
            if not job.leads:
                try:
                    job.awake.wait()
                except BaseException:
                    self._give_up(job)
                    raise
                job.awake.clear()
            if job.leads:
                self._lead()
        if job.error is not None:
            raise job.error
        return job.result

    def _lead(self) -> None:
        """Commit what waits, and hand over to the next who waits; those whose share was not done try again."""
        deadline = time.monotonic() + LINGER
        while len(self._waiting) < self._last and time.monotonic() < deadline:
            time.sleep(LINGER / 8)  # those who shared the last transaction are about to come back
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
        self._last = len(group)
        try:
            self._commit_each(group)
        finally:
            with self._lock:
                following = self._hand_over()
            for job in (*group, *following):
                job.awake.set()

    def _hand_over(self) -> list[_Job]:
        """Let the next call that waits lead; returns it, to be woken.  The lock is held."""
        self._busy = bool(self._waiting)
        if not self._waiting:
            return []
        self._waiting[0].leads = True
        return [self._waiting[0]]

    def _give_up(self, job: _Job) -> None:
        """Take a call back whose thread was interrupted; nobody may wait for it to lead."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            for following in self._hand_over() if job.leads else ():
                following.awake.set()

    def _commit_each(self, group: list[_Job]) -> None:
        """Commit jobs together; where the server refuses that, one by one, so that each gets its own answer."""
        try:
            self._commit(group)
        except (StoreUnreachable, StoreClosed, StoreBusy, StoreCorrupt) as error:
            for job in group:  # no fault of any of them, but trying again one after the other would take for ever
                job.error, job.done = error.__class__(*error.args), True
                job.error.__cause__ = error
        except (StoreError, InvalidInput):
            if len(group) == 1:
                raise
            for job in group:
                try:
                    self._commit([job])
                except Exception as error:
                    job.error = error
                job.done = True

    def _commit(self, group: list[_Job]) -> None:
        by = secrets.token_hex(8)
        ops = [digest(b.team, b.op_id) for job in group for b in job.batches]
        teams = sorted({b.team for job in group for b in job.batches})
        mirrors = {team: self._mirror(team) for team in teams}
        for mirror in mirrors.values():
            if mirror.seq is None:  # a long first load must not keep other writers waiting
                with mirror.lock:
                    mirror.catch_up(self._server.read)
        staged, seq, before = self._server.write(lambda run: _write(run, group, by, ops, mirrors))
        for team, forgets in staged.teams.items():
            if not forgets:
                mirrors[team].wrote(before[team], seq, lambda cache, team=team: _apply(cache, staged, team))  # type: ignore[misc]
        for job in group:
            job.done = True


Before = dict[str, tuple[int | None, int | None]]


def _write(
    run: Run, group: list[_Job], by: str, ops: list[str], mirrors: dict[str, Mirror]
) -> tuple[Staged, int, Before]:
    """Do the whole of a write transaction; returns what was written, its number, and how things stood before."""
    uids = {uid(team, "team"): team for team in mirrors}
    locked = take_turn(run, by, ops, sorted(uids))
    heads = {team_uid: (seq, epoch) for team_uid, seq, epoch in locked["heads"]}
    before: Before = {team: heads.get(name, (None, None)) for name, team in uids.items()}
    for team, mirror in mirrors.items():
        with mirror.lock:
            if (mirror.seq, mirror.epoch) != before[team]:
                mirror.catch_up(lambda work: work(run))
    model = recorded_model(locked)
    done = {name: writer for name, writer in locked["done"]}
    staged = Staged(
        lambda team: mirrors[team].cache, f"{model.dimension} {model.name}" if model is not None else None, set(done)
    )
    ours = {name for name, writer in done.items() if writer == by}
    for job in group:
        job.run(staged, ours)
    seq = int(locked["seq"]) + 1
    if staged.ops:
        for statement, gone in forgotten(staged):
            run(statement, {"uids": gone})
        number = int(locked["number"]) + len(numbered(staged))
        for lists in slices(staged, seq, locked["number"]):
            (counts,) = run(_cypher.PUT, {**lists, "seq": seq, "number": number, "by": by})
            if any(counts[name] != len(rows) for name, rows in lists.items()):
                raise StoreCorrupt(
                    "nodes that this write builds on are gone from the server: somebody changed them by hand; "
                    "see `gmem doctor`"
                )
    return staged, seq, before


def take_turn(run: Run, by: str, ops: Sequence[str], team_uids: Sequence[str] = (), *, filling: bool = False) -> Row:
    """Begin a write: wait until no other writer is at it, and ask how things stand.

    Raises:
        StoreCorrupt: The store as a whole is gone.
        StoreVersionError: A newer gmem has brought it up to a newer format meanwhile.
    """
    rows = run(_cypher.LOCK, {"by": by, "ops": ops, "team_uids": team_uids})
    if not rows:
        raise StoreCorrupt("the memory is gone from the server: somebody emptied the database; open it anew")
    if not filling:
        check_unchanged(rows[0]["format"])
    return rows[0]


def _apply(cache: TeamCache, staged: Staged, team: str) -> None:
    for (kind, of, id), body in staged.values.items():
        if of == team and body is not None and kind != "trace":
            cache.apply(kind, id, body)
