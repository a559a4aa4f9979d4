"""Do lessons hold?  Mine them on one part of a team's runs, and see whether runs of the other part that follow them
succeed more often.

The data folder must hold `traces/masft_ag2.jsonl.gz` (teams on the same math questions again and again) or
`traces/gmemory_alfworld.jsonl.gz` (a pair in a household).  Parts share no question.  Mining is what the
product does: import into an empty memory, learning as it goes.  Unseen runs are compared within questions
where a question has several runs; those that are alone with theirs are compared with each other.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmem
from gmem.flow import Flow
from gmem.importers import import_files
from gmem.learn import Contrast, Lessons
from gmem.learn.patterns import Profile, follows, profile
from gmem.learn.strata import Comparison, compare
from gmem.learn.strata import Table as Counts
from gmem.model import Insight
from gmem.recall.lines import with_evidence
from gmem.text import clip

from .report import Bench, Figure, Table

__all__ = ["measure"]

SOURCES = {"masft_ag2": "AG2 math teams", "gmemory_alfworld": "ALFWorld pairs"}
SPLITS = 5
GOAL_P = 0.01


@dataclass(frozen=True)
class Unseen:
    """A run that no lesson was mined from."""

    question: str
    resolved: bool
    profile: Profile


@dataclass(frozen=True)
class Verdict:
    """What unseen runs say of a lesson."""

    insight: Insight
    mined: tuple[int, int, int, int]
    found: Comparison
    tables: Sequence[Counts]

    @property
    def holds(self) -> bool:
        """Whether runs that follow it succeed more often."""
        return self.found.odds > 1

    @property
    def turns(self) -> bool:
        """Whether unseen runs say, at p < .05, that runs that follow it succeed more seldom."""
        return not self.holds and self.found.p_other < 0.05

    @property
    def text(self) -> str:
        """The lesson with the evidence that it was mined with."""
        good, successes, bad, failures = self.mined
        return with_evidence(self.insight, (good, successes), (bad, failures))


class Silent:
    """Learns nothing: for a memory that only keeps runs."""

    name = "silent"
    external = False

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Give no lessons."""
        yield from ()
        return Lessons()


def measure(bench: Bench) -> list[Table]:
    """Mine on one part, test on the other, several times."""
    tables: list[Table] = []
    for name, title in SOURCES.items():
        path = bench.data / "traces" / f"{name}.jsonl.gz" if bench.data else None
        if path is None or not path.exists():
            note = f"no {name}.jsonl.gz: give the folder of real traces with --data or GMEM_BENCH_DATA"
            tables.append(Table(f"Lessons on unseen runs of {title}", ("split",), (), (note,)))
            continue
        tables += _source(bench, path, title)
    return tables


def _source(bench: Bench, path: Path, title: str) -> list[Table]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line for line in file if json.loads(line).get("outcome")]
    groups = [_group(json.loads(line)) for line in lines]
    runs = _runs(bench, lines)
    rows: list[Sequence[Figure]] = []
    seen: dict[str, list[Verdict]] = {}
    for seed in range(2 if bench.quick else SPLITS):
        questions = sorted(set(groups))
        random.Random(seed).shuffle(questions)
        mined_on = set(questions[: len(questions) // 2])
        part = [line for line, group in zip(lines, groups, strict=True) if group in mined_on]
        others = [run for run, group in zip(runs, groups, strict=True) if run is not None and group not in mined_on]
        verdicts = _mine(bench, part, others)
        for v in verdicts:
            seen.setdefault(v.insight.text, []).append(v)
        z, p = _together([v.insight for v in verdicts], others)
        failures = sum(not run.resolved for run in others)
        rows.append((
            f"{seed}", len(part), len(others), failures, len(verdicts), sum(v.holds for v in verdicts),
            sum(v.holds and v.found.p < 0.05 for v in verdicts), sum(v.turns for v in verdicts), z, p,
        ))  # fmt: skip
    total = [sum(int(str(row[at] or 0)) for row in rows) for at in (4, 5, 6, 7)]
    notes = (
        f"of {total[0]} lessons {total[1]} keep their sign (goal: all), {total[2]} at p < .05, one-sided (goal: half)",
        f"of the {total[0] - total[1]} that do not keep it, {total[3]} turn at p < .05, one-sided; which way "
        "the others go, the unseen runs do not say",
        f"overall: number of lessons that a run followed less those it did not; goal p < {GOAL_P}",
    )
    head = (
        "split",
        "runs mined",
        "unseen",
        "failures",
        "lessons",
        "keep sign",
        "p < .05",
        "turn, p < .05",
        "overall z",
        "overall p",
    )
    return [Table(f"Lessons on unseen runs of {title}", head, rows, notes, drawn=head[4:8]), _details(title, seen)]


def _group(found: dict[str, Any]) -> str:
    """Give what must not be torn apart: a question with its variants, or equal texts."""
    return str(found["group"]) if "instance_id" in found else str(found["task"])


def _runs(bench: Bench, lines: Sequence[str]) -> list[Unseen | None]:
    """Give each line's run as the product sees it; None where it was refused."""
    with gmem.Memory(bench.fresh(), embedder="none", distiller=Silent()) as memory:
        _import(memory, lines, bench)
        kept = {t.metadata["line"]: t for t in memory.tasks()}
        found: list[Unseen | None] = []
        for number in range(len(lines)):
            task = kept.get(str(number))
            if task is None:
                found.append(None)
                continue
            shape = profile(task, memory.interaction(task.id))
            found.append(Unseen(task.query, task.outcome == "resolved", shape))
    return found


def _import(memory: gmem.Memory, lines: Sequence[str], bench: Bench) -> None:
    path = bench.fresh().with_suffix(".jsonl")
    with path.open("w", encoding="utf-8") as out:
        for number, line in enumerate(lines):
            out.write(json.dumps({**json.loads(line), "line": str(number)}) + "\n")
    import_files(memory, [path])


def _mine(bench: Bench, lines: Sequence[str], others: Sequence[Unseen]) -> list[Verdict]:
    with gmem.Memory(bench.fresh(), embedder="none") as memory:
        _import(memory, lines, bench)
        memory.consolidate()
        verdicts = []
        for insight in memory.insights("active"):
            s = memory.store.standing(memory.team, insight.id)
            mined = (s.successes_followed, s.successes, s.failures_followed, s.failures)
            counts = _tables(insight, others)
            verdicts.append(Verdict(insight, mined, compare(counts), counts))
    return verdicts


def _followed(insight: Insight, run: Unseen) -> bool | None:
    shown = follows(insight.pattern, run.profile)
    return None if shown is None else shown == (insight.polarity == "do")


def _strata(runs: Sequence[Unseen]) -> list[str]:
    often = Counter(run.question for run in runs)
    return [run.question if often[run.question] > 1 else "" for run in runs]


def _tables(insight: Insight, runs: Sequence[Unseen]) -> list[Counts]:
    counts: dict[str, list[int]] = {}
    for run, stratum in zip(runs, _strata(runs), strict=True):
        if (did := _followed(insight, run)) is not None:
            counts.setdefault(stratum, [0] * 4)[(0 if run.resolved else 2) + (0 if did else 1)] += 1
    return [(a, b, c, d) for a, b, c, d in counts.values()]


def _together(lessons: Iterable[Insight], runs: Sequence[Unseen]) -> tuple[float, float]:
    """Test within questions whether runs that follow more lessons succeed more often (Mantel's test of a score)."""
    kept = list(lessons)
    by: dict[str, list[tuple[int, bool]]] = {}
    for run, stratum in zip(runs, _strata(runs), strict=True):
        said = [_followed(insight, run) for insight in kept]
        by.setdefault(stratum, []).append((said.count(True) - said.count(False), run.resolved))
    over = variance = 0.0
    for each in by.values():
        n, good = len(each), sum(resolved for _, resolved in each)
        if n < 2:
            continue
        mean = sum(score for score, _ in each) / n
        over += sum(score - mean for score, resolved in each if resolved)
        variance += good * (n - good) / (n * (n - 1)) * sum((score - mean) ** 2 for score, _ in each)
    if not variance:
        return 0.0, 1.0
    z = over / math.sqrt(variance)
    return z, 0.5 * math.erfc(z / math.sqrt(2))


def _details(title: str, seen: dict[str, list[Verdict]]) -> Table:
    rows: list[Sequence[Figure]] = []
    for verdicts in sorted(seen.values(), key=lambda each: (-len(each), each[0].insight.text)):
        every = compare([t for v in verdicts for t in v.tables]) if len(verdicts) == 1 else None
        shown = min(verdicts, key=lambda v: v.found.p)
        interval = f"{shown.found.low:.2f} to {shown.found.high:.2f}"
        unseen = sum(sum(t) for t in shown.tables)
        rows.append((
            clip(shown.text, 150), len(verdicts), unseen, shown.found.odds, interval, shown.found.p,
            f"{sum(v.holds for v in verdicts)} of {len(verdicts)}" if every is None else str(shown.holds),
        ))  # fmt: skip
    head = ("lesson, with the evidence it was mined with", "splits", "unseen runs", "odds ratio", "95 %", "p", "holds")
    notes = ("figures of the split in which it holds best; odds ratio of success, followed over not, within questions",)
    return Table(f"The lessons of {title}", head, rows, notes, drawn=("odds ratio",))
