"""The embedded store: an SQLite file as the record, networkx and numpy as its cache."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmem import checks
from gmem.errors import InvalidInput, StoreCorrupt, UnknownId
from gmem.graphs import codec
from gmem.graphs._cache import OUTCOMES, TeamCache
from gmem.graphs._check import check
from gmem.graphs._record import RecordFile
from gmem.graphs._writing import carry_out, check_vector, read_model, replace_vectors
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
        self._drop_cache()
        try:
            self._file.verify()
            with self._file.lock:
                self._refresh()
        except BaseException:
            self._file.close()
            raise

    @property
    def location(self) -> str:
        return str(self._file.path)

    # --- the cache ----------------------------------------------------------------------------

    # The cache has no lock of its own: the file's lock guards it, so that both cross a fork together.

    def _drop_cache(self) -> None:
        self._teams: dict[str, TeamCache] = {}
        self._model: Model | None = None
        self._seq = 0
        self._version: tuple[int, int] | None = None

    def _refresh(self) -> None:
        """Bring the cache up to date with what was written, by this process or another."""
        version = self._file.version()
        if version == self._version:
            return
        try:
            head = self._file.since(self._seq, self._take)
            if head is None:  # something was forgotten
                self._drop_cache()
                head = self._file.since(0, self._take) or 0
            self._model = read_model(self._file.meta("embedder"))
        except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            self._drop_cache()
            raise StoreCorrupt(f"{self.location}: a record cannot be read ({error!r}); see `gmem doctor`") from error
        except BaseException:
            self._drop_cache()  # half of what is new would be worse than none
            raise
        self._seq, self._version = head, version

    def _take(self, kind: str, team: str, id: str, body: bytes) -> None:
        found = self._teams.get(team)
        if found is None:
            found = self._teams[team] = TeamCache(team)
        found.apply(kind, id, body)

    def _team(self, team: str) -> TeamCache:
        """Give a team's cache, up to date; an empty one if the team has nothing stored."""
        self._refresh()
        found = self._teams.get(team)
        return TeamCache(team) if found is None else found

    # --- writing ------------------------------------------------------------------------------

    def write(self, batches: Sequence[Batch]) -> list[bool]:
        batches = list(batches)
        return self._file.run(lambda tx: [carry_out(tx, batch) for batch in batches])

    def set_embedder(self, model: Model | None, vectors: Iterable[tuple[str, str, NDArray[np.float32]]] = ()) -> None:
        if model is not None:
            checks.name(model.name, "the name of the embedding model")
            if not isinstance(model.dimension, int) or model.dimension < 0:
                raise InvalidInput(f"the dimension of {model.name!r} must be 0 or more, not {model.dimension!r}")
        given = list(vectors)  # before anything is locked: making them may read this or another store
        self._file.run(lambda tx: replace_vectors(tx, model, given))

    # --- reading ------------------------------------------------------------------------------

    def embedder(self) -> Model | None:
        with self._file.lock:
            self._refresh()
            return self._model

    def teams(self) -> list[str]:
        with self._file.lock:
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

    def task_ids(self, team: str, *, outcome: Outcome | None = None, learned: bool | None = None) -> list[str]:
        with self._file.lock:
            return self._team(team).task_ids(None if outcome is None else OUTCOMES[outcome], learned)

    def interaction(self, team: str, task_id: str) -> Interaction:
        body = self._file.get("trace", team, task_id)
        if body is not None:
            return codec.unpack_interaction(task_id, body)
        self.tasks(team, [task_id])  # raises if there is no such task
        return Interaction(task_id, ())

    def insights(
        self, team: str, ids: Sequence[str] | None = None, *, states: Sequence[InsightState] = ()
    ) -> list[Insight]:
        with self._file.lock:
            stored = self._team(team).insights
            if ids is not None and (missing := [i for i in ids if i not in stored]):
                raise UnknownId(f"team {team!r} has no insight {missing[0]!r}; `gmem insights` lists them")
            found = [stored[i] for i in (sorted(stored) if ids is None else ids)]
        return [i for i in found if not states or i.state in states]

    def candidates(self, team: str, terms: Mapping[str, int], vector: NDArray[np.float32] | None) -> Candidates:
        with self._file.lock:
            cache = self._team(team)
            if vector is not None and self._model is not None:
                check_vector(vector, self._model, "the vector of the query")
            return cache.candidates(terms, vector)

    def vectors(self, team: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._file.lock:
            cache = self._team(team)
            return {id: vector for id in ids if (vector := cache.vector(id)) is not None}

    def neighbours(self, team: str, task_id: str) -> list[Similar]:
        with self._file.lock:
            graph = self._team(team).query
            found = [(other, data["score"]) for other, data in graph[task_id].items()] if task_id in graph else []
        found.sort(key=lambda edge: (-edge[1], edge[0]))
        return [Similar(min(task_id, other), max(task_id, other), score) for other, score in found]

    def evidence(self, team: str, *, task_id: str = "", insight_id: str = "") -> list[Evidence]:
        with self._file.lock:
            return self._team(team).evidence(task_id, insight_id)

    def standing(self, team: str, insight_id: str) -> Standing:
        with self._file.lock:
            return self._team(team).standing(insight_id)

    def links(self, team: str, insight_id: str = "") -> list[InsightLink]:
        with self._file.lock:
            return self._team(team).links_at(insight_id)

    def recalls(self, team: str, task_id: str = "") -> list[RecallEvent]:
        with self._file.lock:
            return self._team(team).recalls_of(task_id)

    def tally(self, team: str, item_id: str) -> Tally:
        with self._file.lock:
            return self._team(team).tally(item_id)

    def stats(self, team: str) -> TeamStats:
        with self._file.lock:
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
        return check(self._file)

    def compact(self) -> None:
        self._file.compact()

    def close(self) -> None:
        self._file.close()
