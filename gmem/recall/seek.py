"""The query graph: which tasks a recall starts from, and which it reaches from there.

Source: G-Memory (arXiv 2506.07398), section 4.2, with failures beside successes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Candidates, GraphStore
from gmem.recall.again import again
from gmem.recall.doubt import doubtful
from gmem.recall.found import Hit
from gmem.recall.rank import faded, relevance, top
from gmem.recall.settings import RecallSettings

__all__ = ["hits"]


def hits(
    store: GraphStore,
    team: str,
    candidates: Candidates,
    settings: RecallSettings,
    exclude: frozenset[str] = frozenset(),
) -> list[Hit]:
    """Find the seeds of each outcome and hop from them over the query graph; most relevant first."""
    scores = relevance(candidates, settings.min_trust)
    eligible = scores >= max(settings.min_relevance, 1e-9)
    for id in exclude:
        if (row := _row(candidates, id)) is not None:
            eligible[row] = False
    alone = scores
    scores = again(store, team, candidates, scores, eligible, settings)
    doubts = doubtful(store, team, candidates, np.where(eligible, scores, 0)) if settings.doubtful < 1 else {}
    kept = faded(candidates, settings.half_life)  # from here on only the order changes, not what is near enough
    scores = scores * kept
    first = {id for id, _ in _seeds(candidates, scores, eligible, settings)} if doubts else set()
    for row in [candidates.rows[id] for id in doubts]:
        scores[row] *= np.float32(settings.doubtful)
        kept[row] *= np.float32(settings.doubtful)
    seeds = _seeds(candidates, scores, eligible, settings)
    reached = dict(seeds)
    reached |= {
        id: float(scores[candidates.rows[id]]) for id in first - reached.keys()
    }  # they give way, and are told of
    paths = dict.fromkeys(reached, "seed")
    _hop(store, team, candidates, settings, exclude, dict(seeds), kept, reached, paths)
    found = []
    for id, carried in reached.items():
        row = _row(candidates, id)
        if row is not None and float(candidates.trust[row]) < settings.min_trust:
            continue
        direct = float(scores[row]) if row is not None else 0.0
        parts = {"relevance": max(direct, carried), "hop": 0.0 if paths[id] == "seed" else carried}
        if row is not None:
            parts |= _parts(candidates, row, float(alone[row]), bool(settings.half_life))
        if (doubt := doubts.get(id)) is not None:
            parts["doubt"] = doubt.odds
        found.append(Hit(id, max(direct, carried), paths[id], parts, doubt))
    found.sort(key=lambda hit: (-hit.relevance, hit.id))
    return found


def _hop(
    store: GraphStore, team: str, candidates: Candidates, settings: RecallSettings, exclude: frozenset[str],
    frontier: dict[str, float], kept: NDArray[np.float32], reached: dict[str, float], paths: dict[str, str],
) -> None:  # fmt: skip
    """Hop over the query graph, and add to what was reached by which path."""
    wanted = frozenset(reached)
    for _ in range(settings.hops):
        following: dict[str, float] = {}
        for id, score in sorted(frontier.items(), key=lambda pair: (-pair[1], pair[0])):
            for edge in store.neighbours(team, id)[: settings.neighbours]:
                other = edge.b if edge.a == id else edge.a
                row = _row(candidates, other)
                trust = float(candidates.trust[row] * kept[row]) if row is not None else 1.0
                carried = score * edge.score * settings.decay * trust
                if not carried or other in exclude or other in wanted or carried <= reached.get(other, 0.0):
                    continue
                reached[other] = carried
                paths[other] = f"hop from {id} over SIMILAR {edge.score:.2f}"
                following[other] = carried
        frontier = following


def _parts(candidates: Candidates, row: int, alone: float, aged: bool) -> dict[str, float]:
    """Say what the relevance of a task is made of."""
    parts = {
        "by the query alone": alone,
        "bm25": float(candidates.lexical[row]),
        "cosine": float(candidates.dense[row]),
        "same talk": float(candidates.talk[row]),
    }
    if candidates.work is not None:
        parts |= {"same work": float(candidates.work.alike[row]), "weight of work": candidates.work.share}
    if aged and candidates.age is not None:
        parts["age"] = float(candidates.age[row])
    return parts


def _seeds(
    candidates: Candidates, scores: NDArray[np.float32], eligible: NDArray[np.bool_], settings: RecallSettings
) -> list[tuple[str, float]]:
    seeds = top(candidates.ids, scores, settings.seeds, eligible & (candidates.outcomes >= 0))
    return seeds + top(candidates.ids, scores, settings.failures, eligible & (candidates.outcomes < 0))


def _row(candidates: Candidates, id: str) -> int | None:
    row = candidates.rows.get(id)
    return row if row is not None and row < len(candidates.ids) else None
