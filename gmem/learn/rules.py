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
from gmem.learn.patterns import Profile, audience, follows, patterns, sentence
from gmem.model import Evidence, Insight, Polarity
from gmem.stats import fisher

__all__ = ["RulesDistiller", "Taught", "evidence_of", "mine"]

MAX_P = 0.1
"""A contrast that chance gives more often than this teaches nothing."""
MAX_LESSONS = 3
"""New lessons from one run, best first."""
MIN_RUNS = 2
"""Resolved runs that must show a pattern, and failed runs that must be there to compare with."""


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
        At most three lessons, best first: smallest p-value, then most runs, then id.
    """
    compared = [run, *others]
    rival = next((o for o in others if o.resolved != run.resolved), None)
    if rival is None or sum(n.resolved for n in compared) < MIN_RUNS:
        return []
    better, worse = (run, rival) if run.resolved else (rival, run)
    shown_by_better, shown_by_worse = patterns(better.profile), patterns(worse.profile)
    found: list[Taught] = []
    for polarity, contrast in (
        ("do", shown_by_better - shown_by_worse),
        ("avoid", shown_by_worse - shown_by_better),
    ):
        for pattern in contrast:
            taught = _judge(team, pattern, polarity, better, worse, compared, now)  # type: ignore[arg-type]
            if taught is not None and taught.insight.id not in known:
                found.append(taught)
    found.sort(key=lambda t: (t.p, _rank(t.insight.pattern), -len(t.evidence), t.insight.id))
    return _distinct(found)[:MAX_LESSONS]


def _rank(pattern: str) -> int:
    """Between equally good patterns the simpler one, which applies more often, is the better advice."""
    return ("act", "talk", "last", "before").index(pattern.partition("|")[0])


def _judge(
    team: str, pattern: str, polarity: Polarity, better: Neighbour, worse: Neighbour,
    compared: Sequence[Neighbour], now: float,
) -> Taught | None:  # fmt: skip
    evidence = []
    id = insight_id(polarity, pattern)
    good = bad = successes = failures = 0
    for n in compared:
        shown = follows(pattern, n.profile)
        if shown is None:
            continue
        followed = shown == (polarity == "do")
        evidence.append(Evidence(n.task_id, id, followed, n.resolved))
        successes += n.resolved
        failures += not n.resolved
        good += n.resolved and followed
        bad += (not n.resolved) and followed
    if good < MIN_RUNS or not failures:
        return None
    p = fisher(good, successes - good, bad, failures - bad)
    if p > MAX_P:
        return None
    insight = Insight(
        id=id, team=team, text=sentence(pattern, polarity), polarity=polarity,
        audience=audience(pattern, [n.profile for n in compared]), state="active",
        origin="rules", pattern=pattern, taught_by=((better.task_id, worse.task_id),),
        created=now, updated=now,
    )  # fmt: skip
    return Taught(insight, tuple(evidence), p)


def _distinct(found: Sequence[Taught]) -> list[Taught]:
    """Leave out lessons that say of exactly the same runs the same as a better one."""
    seen: set[frozenset[tuple[str, bool]]] = set()
    out: list[Taught] = []
    for taught in found:
        key = frozenset((e.task_id, e.followed) for e in taught.evidence)
        if key not in seen:
            seen.add(key)
            out.append(taught)
    return out


def evidence_of(task_id: str, resolved: bool, p: Profile, insights: Sequence[Insight]) -> list[Evidence]:
    """Say what one run says about lessons that are known already."""
    out = []
    for insight in insights:
        shown = follows(insight.pattern, p) if insight.pattern else None
        if shown is not None:
            out.append(Evidence(task_id, insight.id, shown == (insight.polarity == "do"), resolved))
    return out
