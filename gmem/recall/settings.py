"""The settings of a recall."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gmem import checks
from gmem.errors import InvalidInput

__all__ = ["RecallSettings"]


@dataclass(frozen=True, slots=True)
class RecallSettings:
    """How far a recall looks, and how much it delivers.

    Attributes:
        seeds: Most similar resolved tasks to start from (the paper's k).
        failures: Most similar failed tasks to start from; they are never crowded out by successes.
        hops: Steps over SIMILAR edges from the seeds; the paper found 1 best.
        neighbours: Edges followed from one task, best first.
        decay: What a hop keeps of the relevance it started from, in [0, 1].
        cases: Tasks whose interaction graph is delivered (the paper's M), beside the failures. Where several of
            them are runs of the very same text, those are told that differ in what was done.
        insights: Lessons delivered.
        min_relevance: Tasks less like the query than this, in [0, 1], are left alone.
        min_trust: Tasks trusted less than this, in [0, 1], are left alone.
        doubtful: What a task keeps of its relevance whose outcome is in doubt, in [0, 1]; 1 asks no such question.
        half_life: Tasks of the team after which a task has lost half of what it loses of its relevance by growing old,
            which is half of it in the end; 0: nothing fades.  For worlds that change.
        budget: Price of the delivered text, in tokens, that is never exceeded.
        holdout: Share of the found items, in [0, 1], kept back from runs as a control group, so that
            the lift of the others can be measured against it.
    """

    seeds: int = 3
    failures: int = 1
    hops: int = 1
    neighbours: int = 8
    decay: float = 0.7
    cases: int = 3
    insights: int = 5
    min_relevance: float = 0.15
    min_trust: float = 0.0
    doubtful: float = 0.75
    half_life: int = 0
    budget: int = 2000
    holdout: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("decay", "min_relevance", "min_trust", "doubtful", "holdout"):
                checks.share(value, f.name)
            elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
                raise InvalidInput(f"{f.name} must be a whole number from 0 to 1,000,000, not {value!r}")
