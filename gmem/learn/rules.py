"""The `rules` distiller: lessons mined from contrasts, without a model.

It compares a run with its neighbours in the query graph: which patterns do the resolved ones share
that the failed ones lack, and the other way round?  A lesson keeps the pair of runs whose contrast
taught it, and its evidence is every run that was compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gmem.flow import Flow
from gmem.ids import insight_id
from gmem.learn.advice import sentence
from gmem.learn.contrast import Contrast, Lessons, Neighbour
from gmem.learn.gates import USUAL, Gates
from gmem.learn.habits import review
from gmem.learn.panel import Member
from gmem.learn.patterns import Profile, audience, follows, pattern_order, patterns
from gmem.model import Evidence, Insight, Polarity
from gmem.stats import fisher

__all__ = ["RulesDistiller", "Taught", "evidence_of", "mine", "mine_habits", "with_habits"]

MAX_LESSONS = 3
"""New lessons from one run, best first."""
MAX_HABITS = 12
"""Lessons about habits in force at a time: advice that nobody can keep in mind helps nobody."""
MIN_RUNS = 2
"""Resolved runs that must show a pattern before it can be a lesson."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A lesson, and what the compared runs say about it."""

    insight: Insight
    evidence: tuple[Evidence, ...]
    p: float


class RulesDistiller:
    """Mines lessons without a model.

    Args:
        gates: What a finding needs to become a lesson, and a lesson to be recalled; the usual ones by default.
    """

    name = "rules"
    external = False
    samples = True

    def __init__(self, gates: Gates | None = None) -> None:
        self.gates = gates or USUAL

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Find lessons in the contrast of a run with its neighbours."""
        yield from ()
        known = {insight.id for insight, _ in contrast.known}
        taught = mine(contrast.task.team, contrast.run, contrast.others, known, contrast.now, self.gates)
        return with_habits(_lessons(taught), contrast, self.gates)


def _lessons(taught: Sequence[Taught]) -> Lessons:
    return Lessons(tuple(t.insight for t in taught), tuple(e for t in taught for e in t.evidence))


def with_habits(lessons: Lessons, contrast: Contrast, gates: Gates) -> Lessons:
    """Add to the lessons of a run what the panel says about the team's habits, if it was asked now."""
    taught, verdicts = mine_habits(contrast.task.team, contrast.panel, contrast.mined, contrast.now, gates)
    there = {insight.id for insight in lessons.insights}
    more = _lessons([t for t in taught if t.insight.id not in there])
    return replace(
        lessons,
        insights=(*lessons.insights, *more.insights),
        evidence=(*lessons.evidence, *more.evidence),
        verdicts={**lessons.verdicts, **verdicts},
    )


def mine(
    team: str, run: Neighbour, others: Sequence[Neighbour], known: set[str], now: float, gates: Gates = USUAL
) -> list[Taught]:
    """Find lessons in the contrast of one run with its neighbours.

    Args:
        team: Whose.
        run: The run that has just ended.
        others: Its neighbours with a verified outcome, nearest first.
        known: Ids of insights that exist; they are not taught again.
        now: Seconds since the epoch.
        gates: What a finding needs.

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
            shown = [follows(pattern, n.profile) for n in compared]
            followed = tuple(None if did is None else did == (polarity == "do") for did in shown)
            p = _chance(followed, compared) if _spread(shown, compared, gates.tasks) else None
            # Patterns that divide the runs in the same way are one finding; the simplest speaks for it.
            if p is not None and (followed not in findings or pattern_order(pattern) < findings[followed].order):
                findings[followed] = _Finding(pattern, polarity, followed, p)
    best = sorted(
        (f for f in findings.values() if f.p * len(findings) <= gates.chance and f.id not in known),
        key=lambda f: (f.p, f.order),
    )
    return [_teach(team, f, compared, (better.task_id, worse.task_id), now) for f in best[:MAX_LESSONS]]


def mine_habits(
    team: str, panel: Sequence[Member], mined: Sequence[Insight], now: float, gates: Gates = USUAL
) -> tuple[list[Taught], dict[str, bool]]:
    """Find lessons about ways of working in the runs of a whole team.

    Args:
        team: Whose.
        panel: The runs; none if it is not time to look.
        mined: Lessons about habits that are there.
        now: Seconds since the epoch.
        gates: What a finding needs.

    Returns:
        At most three new lessons, least likely by chance first, with what the runs of the panel say about each;
        and whether they and those that are there hold, by id.
    """
    room = min(MAX_LESSONS, MAX_HABITS - sum(i.state == "active" for i in mined))
    if not panel:
        return [], {}
    out: list[Taught] = []
    reviewed = review(panel, {i.pattern: i.polarity for i in mined}, max(0, room), gates)
    for habit in reviewed.found:
        showed = {m.run.task_id: (m, follows(habit.pattern, m.profile)) for m in panel}
        followed = {id: (m, did == (habit.polarity == "do")) for id, (m, did) in showed.items() if did is not None}
        insight = _insight(team, habit.pattern, habit.polarity, _example(list(followed.values())), now)
        evidence = tuple(Evidence(id, insight.id, did, m.run.resolved) for id, (m, did) in followed.items())
        out.append(Taught(insight, evidence, habit.p))
    verdicts = {i.id: reviewed.holds[i.pattern] for i in mined if i.pattern in reviewed.holds}
    return out, {**verdicts, **{t.insight.id: True for t in out}}


def _example(followed: Sequence[tuple[Member, bool]]) -> tuple[str, str]:
    """Give a success that followed and a failure that did not, of one question if there are such; by id."""
    good = sorted((m.run.question, m.run.task_id) for m, did in followed if did and m.run.resolved)
    bad = sorted((m.run.question, m.run.task_id) for m, did in followed if not did and not m.run.resolved)
    both = {q for q, _ in good} & {q for q, _ in bad}
    if both:
        good, bad = ([pair for pair in each if pair[0] == min(both)] for each in (good, bad))
    return good[0][1] if good else "", bad[0][1] if bad else ""


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


def _spread(shown: Sequence[bool | None], compared: Sequence[Neighbour], least: int) -> bool:
    """Say whether different tasks show a pattern: what only one does may name a thing of it."""
    tasks = {n.profile.asked for n, did in zip(compared, shown, strict=True) if did}
    return len(tasks) >= min(least, len({n.profile.asked for n in compared}))


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
    insight = _insight(team, finding.pattern, finding.polarity, pair, now)
    evidence = tuple(
        Evidence(n.task_id, finding.id, did, n.resolved)
        for did, n in zip(finding.followed, compared, strict=True)
        if did is not None
    )
    return Taught(insight, evidence, finding.p)


def _insight(team: str, pattern: str, polarity: Polarity, pair: tuple[str, str], now: float) -> Insight:
    return Insight(
        id=insight_id(polarity, pattern),
        team=team,
        text=sentence(pattern, polarity),
        polarity=polarity,
        audience=audience(pattern),
        state="active",
        origin="rules",
        pattern=pattern,
        taught_by=(pair,),
        created=now,
        updated=now,
    )


def evidence_of(task_id: str, resolved: bool, p: Profile, insights: Sequence[Insight]) -> list[Evidence]:
    """Say what one run says about lessons that are known already."""
    out = []
    for insight in insights:
        shown = follows(insight.pattern, p) if insight.pattern else None
        if shown is not None:
            out.append(Evidence(task_id, insight.id, shown == (insight.polarity == "do"), resolved))
    return out
