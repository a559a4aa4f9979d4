"""The `rules` distiller: lessons mined from contrasts, without a model.

It compares a run with its neighbours in the query graph: which patterns do the resolved ones share
that the failed ones lack, and the other way round?  A lesson keeps the pair of runs whose contrast
taught it, and its evidence is every run that was compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmem.flow import Flow
from gmem.ids import insight_id
from gmem.learn.contrast import Contrast, Lessons, Neighbour
from gmem.learn.patterns import Profile, audience, follows, pattern_order, patterns, sentence
from gmem.model import Evidence, Insight, Polarity
from gmem.stats import fisher

__all__ = ["RulesDistiller", "Taught", "evidence_of", "mine"]

MAX_P = 0.1
"""A contrast that chance gives more often than this, given how many were tried, teaches nothing."""
MAX_LESSONS = 3
"""New lessons from one run, best first."""
MIN_RUNS = 2
"""Resolved runs that must show a pattern before it can be a lesson."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A lesson, and what the compared runs say about it."""

    insight: Insight
    evidence: tuple[Evidence, ...]
    p: float


class RulesDistiller:
    """Mines lessons without a model."""

    name = "rules"
    external = False

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Find lessons in the contrast of a run with its neighbours."""
        yield from ()
        known = {insight.id for insight, _ in contrast.known}
        taught = mine(contrast.task.team, contrast.run, contrast.others, known, contrast.now)
        return Lessons(tuple(t.insight for t in taught), tuple(e for t in taught for e in t.evidence))


def mine(team: str, run: Neighbour, others: Sequence[Neighbour], known: set[str], now: float) -> list[Taught]:
    """Find lessons in the contrast of one run with its neighbours.

    Args:
        team: Whose.
        run: The run that has just ended.
        others: Its neighbours with a verified outcome, nearest first.
        known: Ids of insights that exist; they are not taught again.
        now: Seconds since the epoch.

    Returns:
        At most three lessons, best first: least likely by chance (Fisher's exact test, times the
        number of different findings tried), then the simpler pattern, then more runs, then id.
    """
    rival = next((o for o in others if o.resolved != run.resolved), None)
    if rival is None:
        return []
    compared = [run, *others]
    better, worse = (run, rival) if run.resolved else (rival, run)
    findings: dict[tuple[bool | None, ...], _Finding] = {}
    for polarity, contrast in _contrasts(better.profile, worse.profile):
        for pattern in contrast:
            followed = tuple(
                None if (shown := follows(pattern, n.profile)) is None else shown == (polarity == "do")
                for n in compared
            )
            p = _chance(followed, compared)
            # Patterns that divide the runs in the same way are one finding; the simplest speaks for it.
            if p is not None and (followed not in findings or pattern_order(pattern) < findings[followed].order):
                findings[followed] = _Finding(pattern, polarity, followed, p)
    best = sorted(
        (f for f in findings.values() if f.p * len(findings) <= MAX_P and f.id not in known),
        key=lambda f: (f.p, f.order),
    )
    return [_teach(team, f, compared, (better.task_id, worse.task_id), now) for f in best[:MAX_LESSONS]]


def _contrasts(better: Profile, worse: Profile) -> list[tuple[Polarity, set[str]]]:
    good, bad = patterns(better), patterns(worse)
    return [("do", good - bad), ("avoid", bad - good)]


@dataclass(frozen=True, slots=True)
class _Finding:
    """A pattern that divides the compared runs: who followed the advice, by place; None if it did not apply."""

    pattern: str
    polarity: Polarity
    followed: tuple[bool | None, ...]
    p: float

    @property
    def id(self) -> str:
        return insight_id(self.polarity, self.pattern)

    @property
    def order(self) -> tuple[int, str]:
        return pattern_order(self.pattern)


def _chance(followed: Sequence[bool | None], compared: Sequence[Neighbour]) -> float | None:
    """Say how likely chance divides the runs at least so well; None where too few runs could tell."""
    good = bad = successes = failures = 0
    for did, n in zip(followed, compared, strict=True):
        if did is None:
            continue
        if n.resolved:
            successes += 1
            good += did
        else:
            failures += 1
            bad += did
    if good < MIN_RUNS or not failures:
        return None
    return fisher(good, successes - good, bad, failures - bad)


def _teach(team: str, finding: _Finding, compared: Sequence[Neighbour], pair: tuple[str, str], now: float) -> Taught:
    insight = Insight(
        id=finding.id,
        team=team,
        text=sentence(finding.pattern, finding.polarity),
        polarity=finding.polarity,
        audience=audience(finding.pattern),
        state="active",
        origin="rules",
        pattern=finding.pattern,
        taught_by=(pair,),
        created=now,
        updated=now,
    )
    evidence = tuple(
        Evidence(n.task_id, finding.id, did, n.resolved)
        for did, n in zip(finding.followed, compared, strict=True)
        if did is not None
    )
    return Taught(insight, evidence, finding.p)


def evidence_of(task_id: str, resolved: bool, p: Profile, insights: Sequence[Insight]) -> list[Evidence]:
    """Say what one run says about lessons that are known already."""
    out = []
    for insight in insights:
        shown = follows(insight.pattern, p) if insight.pattern else None
        if shown is not None:
            out.append(Evidence(task_id, insight.id, shown == (insight.polarity == "do"), resolved))
    return out
