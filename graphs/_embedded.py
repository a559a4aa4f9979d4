"""The embedded store: an SQLite file as the record, networkx and numpy as its cache."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmem.errors import InvalidInput, StoreCorrupt, UnknownId, WriteConflict
from gmem.graphs import codec
from gmem.graphs._cache import _OUTCOME, TeamCache, key
from gmem.graphs._record import RecordFile, Transaction
from gmem.graphs.base import Batch, Candidates, GraphStore, Standing, Tally, TeamStats
from gmem.ids import digest
from gmem.model import (
    Evidence,
    Insight,
    InsightLink,
    InsightState,
    Interaction,
    Model,
    Outcome,
    RecallEvent,
    Similar,
    Task,
)

__all__ = ["EmbeddedStore"]


class EmbeddedStore(GraphStore):
    """Keeps the graphs of many teams in one file; needs no server.

    Several threads and processes may use the same file at once.  When `write` returns, the whole
    write survives `kill -9` and every process sees it; otherwise none of it is there; and a damaged
    file is reported, never half-read.

    Args:
        path: The file; made if it is missing, unless `create` is False.
        create: Whether to make a missing file.
        timeout: Seconds to wait for another process that is writing.

    Raises:
        StoreNotFound: There is no such file (with `create=False`) or folder.
        NotAMemory: The file is something else.
        StoreVersionError: A newer gmem wrote it.
        StoreCorrupt: It is damaged.
    """

    def __init__(self, path: str | Path, *, create: bool = True, timeout: float = 10.0) -> None:
        self._file = RecordFile(Path(path).expanduser(), create=create, timeout=timeout)
        self._lock = threading.RLock()
        self._teams: dict[str, TeamCache] = {}
        self._seq = 0
        try:
            self._file.verify_sums()
            self._refresh()
        except BaseException:
            self._file.close()
            raise

    @property
    def location(self) -> str:
        return str(self._file.path)

    # --- the cache ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Bring the cache up to date with what other processes wrote."""
        if not self._file.moved():
            return
        head, forgot, rows = self._file.since(self._seq)
        if forgot:
            self._teams.clear()
            self._seq = 0
            head, _, rows = self._file.since(0)
        try:
            for kind, team, id, body in rows:
                self._cache(team).apply(kind, id, body)
        except (ValueError, KeyError, TypeError) as error:
            self._teams.clear()
            self._seq = 0
            raise StoreCorrupt(
                f"{self.location}: a record cannot be read ({error!r}); see `gmem doctor`"
            ) from error
        self._seq = head

    def _cache(self, team: str) -> TeamCache:
        found = self._teams.get(team)
        if found is None:
            found = self._teams[team] = TeamCache(team)
        return found

    def _team(self, team: str) -> TeamCache:
        """Give a team's cache, up to date; an empty one if the team has nothing stored."""
        self._refresh()
        return self._teams.get(team) or TeamCache(team)

    # --- writing ------------------------------------------------------------------------------

    def write(self, batches: Sequence[Batch]) -> list[bool]:
        with self._lock:
            self._refresh()
            with self._file.transaction() as tx:
                done = [self._write(tx, batch) for batch in batches]
                rows, forgot, first, last = tx.rows, tx.forgot, tx.seq - sum(done), tx.seq
            if forgot or first != self._seq:  # another process wrote in between: read it all in order
                self._refresh_after(forgot)
            else:
                for kind, team, id, body in rows:
                    self._cache(team).apply(kind, id, body)
                self._seq = last
            return done

    def _refresh_after(self, forgot: bool) -> None:
        if forgot:
            self._teams.clear()
            self._seq = 0
        head, forgot_since, rows = self._file.since(self._seq)
        if forgot_since:
            self._teams.clear()
            head, _, rows = self._file.since(0)
        for kind, team, id, body in rows:
            self._cache(team).apply(kind, id, body)
        self._seq = head

    def _write(self, tx: Transaction, batch: Batch) -> bool:
        team = batch.team
        if not tx.begin(digest(team, batch.op_id), forgets=bool(batch.forget_tasks or batch.forget_insights)):
            return False
        for task in batch.tasks:
            tx.put("task", team, task.id, codec.pack_task(task))
        for interaction in batch.interactions:
            self._need(tx, team, "task", interaction.task_id)
            tx.put("trace", team, interaction.task_id, codec.pack_interaction(interaction))
        model = self.embedder()
        for task_id, vector in batch.vectors.items():
            self._need(tx, team, "task", task_id)
            if model is None or vector.shape != (model.dimension,) or not np.isfinite(vector).all():
                raise InvalidInput(
                    f"the vector of task {task_id} has shape {vector.shape}, the memory expects "
                    f"{(model.dimension,) if model else 'none'} finite numbers"
                )
            tx.put("vector", team, task_id, codec.pack_vector(vector))
        for edge in batch.similar:
            if not edge.a < edge.b:
                raise InvalidInput(
                    f"a similarity joins two tasks, smaller id first, not {edge.a!r} and {edge.b!r}"
                )
            self._need(tx, team, "task", edge.a, edge.b)
            tx.put("similar", team, key(edge.a, edge.b), codec.pack_similar(edge))
        for insight in batch.insights:
            self._put_insight(tx, insight)
        for evidence in batch.evidence:
            self._need(tx, team, "task", evidence.task_id)
            self._need(tx, team, "insight", evidence.insight_id)
            tx.put(
                "evidence", team, key(evidence.task_id, evidence.insight_id), codec.pack_evidence(evidence)
            )
        for link in batch.links:
            self._need(tx, team, "insight", link.source, link.target)
            self._need(tx, team, "task", link.via)
            tx.put("link", team, key(link.source, link.target, link.via), b"")
        for event in batch.recalls:
            self._need(tx, team, "task", event.task_id)
            tx.put("recall", team, event.id, codec.pack_recall(event))
        self._forget(tx, batch)
        return True

    def _need(self, tx: Transaction, team: str, kind: str, *ids: str) -> None:
        for id in ids:
            if tx.get(kind, team, id) is None:
                raise InvalidInput(f"there is no {kind} {id!r} in team {team!r} to tie an edge to")

    def _put_insight(self, tx: Transaction, insight: Insight) -> None:
        stored = tx.get("insight", insight.team, insight.id)
        version = codec.unpack_insight(insight.team, insight.id, stored).version if stored is not None else 0
        if insight.version != version + 1:
            raise WriteConflict(
                f"insight {insight.id} is at version {version}, so version {insight.version} cannot follow it; "
                "read it again and repeat the change"
            )
        tx.put("insight", insight.team, insight.id, codec.pack_insight(insight))

    def _forget(self, tx: Transaction, batch: Batch) -> None:
        """Remove tasks and insights with every edge and ledger entry that names one of them."""
        if not (batch.forget_tasks or batch.forget_insights):
            return
        team, cache = batch.team, self._cache(batch.team)
        tasks, insights = set(batch.forget_tasks), set(batch.forget_insights)
        gone = tasks | insights
        for id in sorted(tasks):
            for kind in ("task", "trace", "vector"):
                tx.delete(kind, team, id)
            for other in sorted(cache.query[id]) if id in cache.query else ():
                tx.delete("similar", team, key(*sorted((id, other))))
        for id in sorted(insights):
            tx.delete("insight", team, id)
        for id in sorted(gone):
            for evidence in cache.evidence(id, "") + cache.evidence("", id):
                tx.delete("evidence", team, key(evidence.task_id, evidence.insight_id))
        for name, link in cache.links.items():
            if gone & {link.source, link.target, link.via}:
                tx.delete("link", team, name)
        for event in cache.recalls.values():
            if event.task_id in tasks:
                tx.delete("recall", team, event.id)
            elif gone & {*event.shown, *event.withheld}:
                kept = RecallEvent(
                    event.id, event.task_id, event.role,
                    tuple(i for i in event.shown if i not in gone),
                    tuple(i for i in event.withheld if i not in gone),
                    event.tokens, event.time,
                )  # fmt: skip
                tx.put("recall", team, event.id, codec.pack_recall(kept))

    def set_embedder(
        self, model: Model | None, vectors: Iterable[tuple[str, str, NDArray[np.float32]]] = ()
    ) -> None:
        with self._lock:
            self._refresh()
            with self._file.transaction() as tx:
                tx.begin(f"embedder {tx.seq + 1}", forgets=True)  # caches hold the old vectors: build anew
                tx.set_meta("embedder", f"{model.dimension} {model.name}" if model else "")
                for team, cache in self._teams.items():
                    for id in cache.task_ids(None, None):
                        tx.delete("vector", team, id)
                for team, id, vector in vectors:
                    self._need(tx, team, "task", id)
                    if model is None or vector.shape != (model.dimension,) or not np.isfinite(vector).all():
                        raise InvalidInput(f"the vector of task {id} does not fit {model}")
                    tx.put("vector", team, id, codec.pack_vector(vector))
            self._refresh_after(True)

    # --- reading ------------------------------------------------------------------------------

    def embedder(self) -> Model | None:
        stored = self._file.meta("embedder")
        if not stored:
            return None
        dimension, _, name = stored.partition(" ")
        return Model(name, int(dimension))

    def teams(self) -> list[str]:
        with self._lock:
            self._refresh()
            return sorted(team for team, cache in self._teams.items() if len(cache) or cache.insights)

    def applied(self, team: str, op_ids: Sequence[str]) -> set[str]:
        named = {digest(team, op_id): op_id for op_id in op_ids}
        return {named[found] for found in self._file.ops(list(named))}

    def tasks(self, team: str, ids: Sequence[str]) -> list[Task]:
        found = []
        for id in ids:
            body = self._file.get("task", team, id)
            if body is None:
                raise UnknownId(f"team {team!r} has no task {id!r}; `gmem tasks` lists them")
            found.append(codec.unpack_task(team, id, body))
        return found

    def task_ids(
        self, team: str, *, outcome: Outcome | None = None, learned: bool | None = None
    ) -> list[str]:
        with self._lock:
            return self._team(team).task_ids(None if outcome is None else _OUTCOME[outcome], learned)

    def interaction(self, team: str, task_id: str) -> Interaction:
        body = self._file.get("trace", team, task_id)
        if body is not None:
            return codec.unpack_interaction(task_id, body)
        (task,) = self.tasks(team, [task_id])
        if task.length:
            raise StoreCorrupt(f"{self.location}: the messages of task {task_id} are gone; restore a backup")
        return Interaction(task_id, ())

    def insights(
        self, team: str, ids: Sequence[str] | None = None, *, states: Sequence[InsightState] = ()
    ) -> list[Insight]:
        with self._lock:
            stored = self._team(team).insights
            if ids is not None and (missing := [i for i in ids if i not in stored]):
                raise UnknownId(f"team {team!r} has no insight {missing[0]!r}; `gmem insights` lists them")
            found = [stored[i] for i in (sorted(stored) if ids is None else ids)]
        return [i for i in found if not states or i.state in states]

    def candidates(
        self, team: str, terms: Mapping[str, int], vector: NDArray[np.float32] | None
    ) -> Candidates:
        with self._lock:
            return self._team(team).candidates(terms, vector)

    def vectors(self, team: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            cache = self._team(team)
            return {id: vector for id in ids if (vector := cache.vector(id)) is not None}

    def neighbours(self, team: str, task_id: str) -> list[Similar]:
        with self._lock:
            graph = self._team(team).query
            found = (
                [(other, data["score"]) for other, data in graph[task_id].items()] if task_id in graph else []
            )
        found.sort(key=lambda edge: (-edge[1], edge[0]))
        return [Similar(min(task_id, other), max(task_id, other), score) for other, score in found]

    def evidence(self, team: str, *, task_id: str = "", insight_id: str = "") -> list[Evidence]:
        with self._lock:
            return self._team(team).evidence(task_id, insight_id)

    def standing(self, team: str, insight_id: str) -> Standing:
        with self._lock:
            return self._team(team).standing(insight_id)

    def links(self, team: str, insight_id: str = "") -> list[InsightLink]:
        with self._lock:
            found = list(self._team(team).links.values())
        return sorted(
            (x for x in found if not insight_id or insight_id in (x.source, x.target)),
            key=lambda x: (x.source, x.target, x.via),
        )

    def recalls(self, team: str, task_id: str = "") -> list[RecallEvent]:
        with self._lock:
            cache = self._team(team)
            ids = cache.recalls_of.get(task_id, []) if task_id else list(cache.recalls)
            return sorted((cache.recalls[i] for i in ids), key=lambda e: (e.time, e.id))

    def tally(self, team: str, item_id: str) -> Tally:
        with self._lock:
            return self._team(team).tally(item_id)

    def stats(self, team: str) -> TeamStats:
        with self._lock:
            cache = self._team(team)
            return TeamStats(
                team=team,
                tasks=len(cache),
                resolved=cache.count(1),
                failed=cache.count(-1),
                unknown=cache.count(0),
                unlearned=cache.unlearned(),
                utterances=cache.utterances,
                insights=len(cache.insights),
                active_insights=sum(i.state == "active" for i in cache.insights.values()),
                similar=cache.query.number_of_edges(),
                evidence=cache.insight.number_of_edges(),
                links=len(cache.links),
                recalls=len(cache.recalls),
                vectors=cache.with_vector,
                bytes=self._file.size(),
            )

    # --- keeping ------------------------------------------------------------------------------

    def check(self) -> list[str]:
        return self._file.check()

    def compact(self) -> None:
        self._file.compact()

    def close(self) -> None:
        self._file.close()
