"""Pouring a whole memory out of a server, and filling one."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gmem.errors import StoreBusy, StoreCorrupt
from gmem.graphs import _cypher, _rows, codec
from gmem.graphs._cache import TeamCache
from gmem.graphs._carrying import OP, Record
from gmem.graphs._committing import take_turn
from gmem.graphs._formats import FORMAT, LOADING
from gmem.graphs._mirror import Mirror
from gmem.graphs._rows import uid
from gmem.graphs._sending import named, numbered, slices
from gmem.graphs._server import Run, Server
from gmem.graphs._staging import Staged
from gmem.model import Model

__all__ = ["fill", "pour_out"]

PART = 200
"""Tasks that are read, or records of conversations that are written, at once."""
RECORDS = 2000
"""Other records that are written at once."""


def pour_out(server: Server, teams: Sequence[str]) -> Iterator[Record]:
    """Give all that is stored, as records.

    Raises:
        StoreBusy: Somebody wrote meanwhile, so it was not one state.
    """
    before = _position(server)
    for row in server.read(lambda run: run(_cypher.WRITES, {})):
        yield OP, "", row["uid"], b""
    for team in teams:
        mirror = Mirror(team)
        mirror.catch_up(server.read)
        yield from _tasks(server, mirror.cache)
        yield from _rest(mirror.cache)
    if _position(server) != before:
        raise StoreBusy(
            f"{server.address.location} was written to while it was copied; stop the writers, and try again"
        )


def _position(server: Server) -> int:
    return int(server.read(lambda run: run(_cypher.POSITION, {}))[0]["seq"])


def _tasks(server: Server, cache: TeamCache) -> Iterator[Record]:
    team, ids = cache.team, cache.task_ids(None, None)
    for start in range(0, len(ids), PART):
        part = ids[start : start + PART]
        asked = {"team": team, "uids": [uid(team, "task", id) for id in part]}
        rows: Sequence[Any] = server.read(lambda run, asked=asked: run(_cypher.CASES, asked))  # type: ignore[misc]
        found = {row["task"]["id"]: row for row in rows}
        for id in part:
            if id not in found:  # forgotten meanwhile, which the end will notice
                continue
            yield "task", team, id, codec.pack_task(_rows.to_task(found[id]["task"]))
            if found[id]["said"]:
                yield "trace", team, id, codec.pack_interaction(_rows.to_interaction(id, found[id]["said"]))
            if (vector := cache.vector(id)) is not None:
                yield "vector", team, id, codec.pack_vector(vector)


def _rest(cache: TeamCache) -> Iterator[Record]:
    team = cache.team
    for id in sorted(cache.insights):
        yield "insight", team, id, codec.pack_insight(cache.insights[id])
    for edge in cache.similar():
        yield "similar", team, codec.edge_key(edge.a, edge.b), codec.pack_similar(edge)
    for said in cache.evidence("", ""):
        yield "evidence", team, codec.edge_key(said.task_id, said.insight_id), codec.pack_evidence(said)
    for link in cache.links_at(""):
        yield "link", team, codec.edge_key(link.source, link.target, link.via), b""
    for event in cache.recalls_of(""):
        yield "recall", team, event.id, codec.pack_recall(event)


def fill(server: Server, model: Model | None, records: Iterable[Record]) -> None:
    """Write records to a memory that holds nothing; not to be opened until all are there."""
    server.write(lambda run: _begin(run, model))
    seq, number, heavy = _position(server), 0, 0
    caches: dict[str, TeamCache] = {}
    staged = _empty(caches)
    for kind, team, id, body in records:
        if kind == OP:
            staged.begin(id)
        else:
            staged.put(kind, team, id, body)
            heavy += kind == "trace"
        if heavy >= PART or len(staged.values) + len(staged.ops) >= RECORDS:
            seq, number, heavy = seq + 1, _send(server, staged, seq + 1, number), 0
            staged = _empty(caches)
    if staged.values or staged.ops:
        _send(server, staged, seq + 1, number)
    server.write(lambda run: run(_cypher.SET_FORMAT, {"format": FORMAT}))


def _begin(run: Run, model: Model | None) -> None:
    run(_cypher.SET_FORMAT, {"format": LOADING})
    run(_cypher.SET_EMBEDDER, named(model))


def _empty(caches: dict[str, TeamCache]) -> Staged:
    return Staged(lambda team: caches.setdefault(team, TeamCache(team)), None, set())


def _send(server: Server, staged: Staged, seq: int, number: int) -> int:
    after = number + len(numbered(staged))
    by = secrets.token_hex(8)

    def work(run: Run) -> None:
        at = take_turn(run, by, [], filling=True)["seq"]
        if at == seq:
            return  # all of it is there already: it is done again where no answer to its commit came
        if at != seq - 1:
            raise StoreCorrupt(f"{server.address.location} was written to while it was filled; empty it and copy again")
        for lists in slices(staged, seq, number):
            run(_cypher.PUT, {**lists, "seq": seq, "number": after, "by": by})

    server.write(work)
    return after
