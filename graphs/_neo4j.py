"""The Neo4j store: nodes that people can read as the record, the same cache as the embedded store before it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmem import checks
from gmem.errors import InvalidInput, UnknownId
from gmem.graphs import _cypher, _forks, _rows
from gmem.graphs._cache import TeamCache
from gmem.graphs._cached import CachedStore
from gmem.graphs._carrying import Record
from gmem.graphs._committing import Committer, take_turn
from gmem.graphs._filling import fill, pour_out
from gmem.graphs._inspecting import inspect
from gmem.graphs._mirror import Mirror, recorded_model
from gmem.graphs._opening import open_memory
from gmem.graphs._rows import uid
from gmem.graphs._sending import SLICE, named, nothing
from gmem.graphs._server import Run, Server, parse
from gmem.graphs._writing import check_model, check_vector
from gmem.graphs.base import Batch
from gmem.ids import digest, new_id
from gmem.model import Interaction, Model, Task

__all__ = ["Neo4jStore"]

_NODE, _EDGE = 15, 34
"""Bytes that Neo4j's record store takes for a node and for a relationship."""


class Neo4jStore(CachedStore):
    """Keeps the graphs of many teams in a Neo4j database of their own, 5.26 or newer.

    Several threads, processes and machines may use it at once.  Each process keeps the query and
    insight tiers of the teams that it reads in memory, brought up to date before every answer, so
    candidates are exact and the answers are those of the embedded store; the texts stay on the server.

    Args:
        location: Such as `neo4j://localhost:7687` or `neo4j+s://user:password@host?database=name`.
        auth: User and password; else those in the address, else NEO4J_USERNAME and NEO4J_PASSWORD.
        create: Whether to make an empty memory in an empty database.
        timeout: Seconds after which the server, or another writer, is given up.

    Raises:
        InvalidInput: The address makes no sense.
        StoreUnreachable: No server answers there.
        StoreRefused: It does not accept the user and password.
        StoreNotFound: It has no such database, or no memory is in it (with `create=False`).
        NotAMemory: Another program uses the same labels in this database.
        StoreVersionError: The server is too old, or a newer gmem wrote the memory.
    """

    def __init__(
        self, location: str, *, auth: tuple[str, str] | None = None, create: bool = True, timeout: float = 30.0
    ) -> None:
        self._server = Server(parse(location, auth), timeout=timeout)
        try:
            self._server.greet()
            open_memory(self._server, create=create, patience=max(timeout, 60.0))
        except BaseException:
            self._server.close()
            raise
        self._fresh_locks()
        _forks.watch(self)

    def _fresh_locks(self) -> None:
        self._mirrors: dict[str, Mirror] = {}
        self._committer = Committer(self._server, self._mirror)
        self._looked = threading.local()

    @property
    def location(self) -> str:
        return self._server.address.location

    # --- mirrors ------------------------------------------------------------------------------

    def _mirror(self, team: str) -> Mirror:
        return self._mirrors.setdefault(team, Mirror(team))  # one step, so that two threads get the same one

    def _let_go(self, team: str) -> None:
        """Keep no mirror of a team that has nothing: anybody may ask for any name."""
        mirror = self._mirrors.get(team)
        if mirror is not None and mirror.seq is None:
            self._mirrors.pop(team, None)  # perhaps one that was filled this moment; then it is filled again

    @contextlib.contextmanager
    def _held(self, team: str) -> Iterator[tuple[TeamCache, Model | None]]:
        fresh = team in self._fresh()
        mirror = self._mirrors.get(team, Mirror(team)) if fresh else self._mirror(team)
        with mirror.lock:
            if not fresh:
                try:
                    mirror.catch_up(self._server.read)
                finally:
                    self._let_go(team)
            yield mirror.cache, mirror.model

    def _fresh(self) -> list[str]:
        """Give the teams that this thread has looked at and need not look at again."""
        found: list[str] = getattr(self._looked, "teams", [])
        return found

    @contextlib.contextmanager
    def reading(self, team: str) -> Iterator[None]:
        with self._held(team):
            pass
        before = self._fresh()
        self._looked.teams = [*before, team]
        try:
            yield
        finally:
            self._looked.teams = before

    def _size(self) -> int:
        (row,) = self._server.read(lambda run: run(_cypher.SIZE, {}))
        return int(row["nodes"]) * _NODE + int(row["edges"]) * _EDGE

    # --- writing ------------------------------------------------------------------------------

    def write(self, batches: Sequence[Batch]) -> list[bool]:
        batches = list(batches)
        for batch in batches:
            checks.name(batch.team, "the team")
            checks.name(batch.op_id, "the op id")
        try:
            return self._committer.write(batches)
        finally:
            for team in {batch.team for batch in batches}:
                self._let_go(team)  # what was refused may have been its first

    def set_embedder(
        self,
        model: Model | None,
        vectors: Iterable[tuple[str, str, NDArray[np.float32]]] = (),
        *,
        first: bool = False,
    ) -> None:
        check_model(model)
        rows = []
        for team, id, vector in vectors:  # before anything is locked: making them may read this very store
            check_vector(vector, model, f"the vector of task {id!r} of team {team!r}")
            rows.append((team, id, _rows.from_vector(vector)))
        op = digest("", new_id("embedder"))
        self._server.write(lambda run: _replace_vectors(run, model, rows, op, first))

    # --- reading ------------------------------------------------------------------------------

    def embedder(self) -> Model | None:
        rows = self._server.read(lambda run: run(_cypher.HEAD, {"team_uid": ""}))
        return recorded_model(rows[0]) if rows else None

    def teams(self) -> list[str]:
        return sorted(row["team"] for row in self._server.read(lambda run: run(_cypher.TEAMS, {})))

    def applied(self, team: str, op_ids: Sequence[str]) -> set[str]:
        named = {digest(team, op_id): op_id for op_id in op_ids}
        rows = self._server.read(lambda run: run(_cypher.APPLIED, {"uids": sorted(named)}))
        return {named[row["uid"]] for row in rows}

    def _fetch(self, statement: str, team: str, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Fetch tasks by id; those that are not there are left out."""
        _encodable(ids)
        uids = sorted({uid(team, "task", id) for id in ids})
        rows = [
            row
            for start in range(0, len(uids), SLICE)
            for row in self._server.read(
                lambda run, part=uids[start : start + SLICE]: run(statement, {"team": team, "uids": part})  # type: ignore[misc]
            )
        ]
        return {row["task"]["id"]: row for row in rows}

    def tasks(self, team: str, ids: Sequence[str]) -> list[Task]:
        found = self._fetch(_cypher.TASKS, team, ids)
        if missing := [id for id in ids if id not in found]:
            raise UnknownId(f"team {team!r} has no task {missing[0]!r}; `gmem tasks` lists them")
        return [_rows.to_task(found[id]["task"]) for id in ids]

    def interaction(self, team: str, task_id: str) -> Interaction:
        found = self.cases(team, [task_id])
        if not found:
            raise UnknownId(f"team {team!r} has no task {task_id!r}; `gmem tasks` lists them")
        return found[task_id][1]

    def cases(self, team: str, ids: Sequence[str]) -> dict[str, tuple[Task, Interaction]]:
        found = self._fetch(_cypher.CASES, team, ids)
        return {
            id: (_rows.to_task(found[id]["task"]), _rows.to_interaction(id, found[id]["said"]))
            for id in ids
            if id in found
        }

    # --- carrying -----------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        return pour_out(self._server, self.teams())

    def load(self, model: Model | None, records: Iterable[Record]) -> None:
        if self._server.read(lambda run: run(_cypher.POSITION, {}))[0]["seq"]:
            raise InvalidInput(f"{self.location} holds something already; only an empty memory is filled")
        fill(self._server, model, records)

    # --- keeping ------------------------------------------------------------------------------

    def check(self) -> list[str]:
        return inspect(self._server)

    def compact(self) -> None:
        """Do nothing but look: a server uses freed space again by itself.

        What was deleted stands in the server's transaction logs until they are pruned, which is the
        administrator's choice (`db.tx_log.rotation.retention_policy`).
        """
        self.embedder()

    def close(self) -> None:
        self._server.close()

    # --- forks --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Nothing need be let go: the child opens connections of its own."""

    def after_fork_in_parent(self) -> None:
        """Nothing was let go."""

    def after_fork_in_child(self) -> None:
        """Start anew: connections and locks belong to the parent."""
        self._server.abandon()
        self._fresh_locks()


def _encodable(ids: Sequence[str]) -> None:
    for id in ids:
        try:
            id.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidInput(
                f"{id!r} holds half a surrogate pair, which is no character; nothing of that id is stored"
            ) from None


def _replace_vectors(
    run: Run, model: Model | None, vectors: Sequence[tuple[str, str, dict[str, Any]]], op: str, first: bool
) -> None:
    locked = take_turn(run, op, [op])
    if locked["done"] or (first and locked["embedder"] is not None):
        return  # it is done again where no answer to its commit came, and others may have written since
    run(_cypher.DROP_VECTORS, {})
    (row,) = run(_cypher.SET_EMBEDDER, named(model))
    run(_cypher.PUT, {**nothing(), "ops": [op], "seq": row["seq"], "number": locked["number"], "by": op})
    for start in range(0, len(vectors), SLICE):
        part = vectors[start : start + SLICE]
        rows = [
            {"uid": uid(team, "task", id), "team": team, **vector, "written": row["seq"]} for team, id, vector in part
        ]
        (found,) = run(_cypher.PUT_VECTORS, {"rows": rows})
        if found["count"] < len(rows):
            there = {r["task"]["id"] for t in {t for t, _, _ in part} for r in run(
                _cypher.TASKS, {"team": t, "uids": [x["uid"] for x in rows]})}  # fmt: skip
            missing = next((id for _, id, _ in part if id not in there), part[0][1])
            raise InvalidInput(f"there is no task {missing!r} to give a vector to; write it first")
