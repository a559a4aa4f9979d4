"""What all stores share that answer from a `TeamCache`: the same reads, so the same answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from gmem.errors import UnknownId
from gmem.graphs._cache import OUTCOMES, TeamCache
from gmem.graphs._carrying import Portable
from gmem.graphs._writing import check_vector
from gmem.graphs.base import Candidates, Standing, Tally, TeamStats
from gmem.model import Evidence, Insight, InsightLink, InsightState, Model, Outcome, RecallEvent, Similar

__all__ = ["CachedStore"]


class CachedStore(Portable):
    """A store that keeps the query and insight tiers of a team in memory, beside its record."""

    @abstractmethod
    def _held(self, team: str) -> AbstractContextManager[tuple[TeamCache, Model | None]]:
        """Hold still a team's cache, up to date, and give it with the recorded embedding model."""

    @abstractmethod
    def _size(self) -> int:
        """Measure the whole store, in bytes."""

    def task_ids(self, team: str, *, outcome: Outcome | None = None, learned: bool | None = None) -> list[str]:
        with self._held(team) as (cache, _):
            return cache.task_ids(None if outcome is None else OUTCOMES[outcome], learned)

    def origins(self, team: str, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
        with self._held(team) as (cache, _):
            return cache.origins(ids)

    def wordings(self, team: str, ids: Sequence[str]) -> dict[str, list[str]]:
        with self._held(team) as (cache, _):
            return cache.wordings(ids)

    def done(self, team: str, ids: Sequence[str]) -> dict[str, NDArray[np.uint32]]:
        with self._held(team) as (cache, _):
            return cache.done(ids)

    def confirmed(self, team: str) -> list[str]:
        with self._held(team) as (cache, _):
            return cache.confirmed()

    def insights(
        self, team: str, ids: Sequence[str] | None = None, *, states: Sequence[InsightState] = ()
    ) -> list[Insight]:
        with self._held(team) as (cache, _):
            stored = cache.insights
            if ids is not None and (missing := [i for i in ids if i not in stored]):
                raise UnknownId(f"team {team!r} has no insight {missing[0]!r}; `gmem insights` lists them")
            found = [stored[i] for i in (sorted(stored) if ids is None else ids)]
        return [i for i in found if not states or i.state in states]

    def candidates(
        self,
        team: str,
        terms: Mapping[str, int],
        vector: NDArray[np.float32] | None,
        *,
        words: Sequence[str] = (),
        among: Sequence[str] | None = None,
    ) -> Candidates:
        with self._held(team) as (cache, model):
            if vector is not None and model is not None:
                check_vector(vector, model, "the vector of the query")
            return cache.candidates(terms, vector, words, among)

    def vectors(self, team: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._held(team) as (cache, _):
            return {id: vector for id in ids if (vector := cache.vector(id)) is not None}

    def neighbours(self, team: str, task_id: str) -> list[Similar]:
        with self._held(team) as (cache, _):
            graph = cache.query
            found = [(other, data["score"]) for other, data in graph[task_id].items()] if task_id in graph else []
        found.sort(key=lambda edge: (-edge[1], edge[0]))
        return [Similar(min(task_id, other), max(task_id, other), score) for other, score in found]

    def evidence(self, team: str, *, task_id: str = "", insight_id: str = "") -> list[Evidence]:
        with self._held(team) as (cache, _):
            return cache.evidence(task_id, insight_id)

    def standing(self, team: str, insight_id: str) -> Standing:
        with self._held(team) as (cache, _):
            return cache.standing(insight_id)

    def links(self, team: str, insight_id: str = "") -> list[InsightLink]:
        with self._held(team) as (cache, _):
            return cache.links_at(insight_id)

    def recalls(self, team: str, task_id: str = "") -> list[RecallEvent]:
        with self._held(team) as (cache, _):
            return cache.recalls_of(task_id)

    def tally(self, team: str, item_id: str) -> Tally:
        with self._held(team) as (cache, _):
            return cache.tally(item_id)

    def stats(self, team: str) -> TeamStats:
        size = self._size()
        with self._held(team) as (cache, _):
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
                bytes=size,
            )
