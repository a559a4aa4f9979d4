"""What happens to a memory that grows among junk: recalls, lessons and how much of the junk comes back.

Ten thousand tasks, real ones where the data folder has some, the rest made up; one in twenty is junk, of
three sorts.  Wrong outcomes: failed runs that were called solved, and the other way round.  Copied recalls:
runs that only say again what the memory had told them.  One talkative source: many runs with queries of
every kind, that all do the same useless thing and call it solved.  Twice the same stream, once with
everything that stands against junk, once without; then made-up queries are asked that no run has asked.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import gmem
from gmem.errors import InvalidInput
from gmem.importers import jsonl
from gmem.importers.trace import Trace
from gmem.learn import Gates, RulesDistiller
from gmem.model import Outcome

from .made import AGENTS, Experience, Made
from .report import Bench, Figure, Table

__all__ = ["measure"]

TASKS = 10_000
JUNK = 0.05
QUERIES = 200
REAL = ("masft_ag2", "gmemory_alfworld", "gmemory_fever", "gmemory_pddl")
SORTS = ("wrong outcome", "copied recall", "talkative source")
LOUD = "shout"
"""What the talkative source does in all its runs."""
DOUBTED = 0.3
"""How far somebody who minds the source would trust it."""


@dataclass
class Grown:
    """A memory that has grown, and what is what in it."""

    memory: gmem.Memory
    kinds: dict[str, str] = field(default_factory=dict)
    junk: dict[str, str] = field(default_factory=dict)


def measure(bench: Bench) -> list[Table]:
    """Grow a memory with the gates on and off, and ask it."""
    count = min(TASKS, max(bench.sizes)) if not bench.quick else 2_000
    rows: list[Sequence[Figure]] = []
    shares: list[Sequence[Figure]] = []
    for title, gates in (("gates on", Gates()), ("gates off", Gates.off())):
        with gmem.Memory(bench.fresh(), embedder="none", distiller=RulesDistiller(gates)) as memory:
            grown = Grown(memory)
            _grow(bench, grown, count, guarded=title == "gates on")
            memory.consolidate()
            row, junk = _ask(grown, guarded=title == "gates on")
            rows.append((title, *row))
            shares.append((title, *junk))
    sizes = f"{count:,} tasks, {JUNK:.0%} junk; {QUERIES} queries"
    notes = (
        "precision: share of the delivered solved cases that are of the query's kind and no junk",
        "junk lessons: active ones about what only junk does",
        "gates: runs of a doubted source count less, what repeats a recall is no experience, a source is heard in turn "
        "with others, outcomes that deeds speak against are doubted, lessons need several tasks and to be unlikely by "
        "chance, corrected for how many were compared",
    )
    head = (
        "memory",
        "precision",
        "recalls with junk",
        "and do not say so",
        "active insights",
        "junk lessons",
        "recalls with a junk lesson",
    )
    sorts = ("recalls that carry", *SORTS)
    return [
        Table(f"A memory among junk: {sizes}", head, rows, notes),
        Table("Share of recalls that carry junk, by sort", sorts, shares),
    ]


# --- growing ----------------------------------------------------------------------------------------


def _grow(bench: Bench, grown: Grown, count: int, *, guarded: bool) -> None:
    rng = random.Random(11)
    source = Experience(seed=11, sentences=2)
    junk = int(count * JUNK)
    real = _real(bench, count // 3)
    plan = ["made"] * (count - junk - len(real)) + ["real"] * len(real)
    plan += [SORTS[i % len(SORTS)] for i in range(junk)]
    rng.shuffle(plan)
    coming = source.tasks(3 * count)
    for place, sort in enumerate(plan):
        if sort == "real":
            _record_real(grown, real.pop(), place)
            continue
        made = next(m for m in coming if m.task.outcome != "unknown")
        id = f"t_{place:08x}"
        grown.kinds[id] = str(made.kind)
        if sort != "made":
            grown.junk[id] = sort
        if sort == "wrong outcome":
            flipped: Outcome = "failed" if made.task.outcome == "resolved" else "resolved"
            made = replace(made, task=replace(made.task, outcome=flipped))
        if sort in ("made", "wrong outcome"):
            _record(grown, id, made)
        elif sort == "copied recall":
            _copy(grown, id, made, guarded=guarded)
        else:
            _shout(grown, id, made, rng, guarded=guarded)


def _record(grown: Grown, id: str, made: Made) -> None:
    with grown.memory.task(made.task.query, agents=AGENTS, run_id=id) as run:
        for u in made.interaction.utterances:
            run.say(u.agent, u.content, kind=u.kind, inspired_by=u.inspired_by)
        run.judge(made.task.outcome)


def _copy(grown: Grown, id: str, made: Made, *, guarded: bool) -> None:
    """Say again what the memory told, and call it solved."""
    with grown.memory.task(made.task.query, agents=AGENTS, run_id=id) as run:
        told = run.recall().text
        lines = [line for line in told.splitlines() if len(line) > 40 and not line.startswith("<")] or [
            "There is nothing to tell about it."
        ]
        for place, line in enumerate(lines[:6]):
            run.say(list(AGENTS)[place % 3], line[:2000], echo=None if guarded else False)
        run.resolve()


def _shout(grown: Grown, id: str, made: Made, rng: random.Random, *, guarded: bool) -> None:
    trust = DOUBTED if guarded else 1.0
    with grown.memory.task(made.task.query, agents=AGENTS, run_id=id, source="loud", trust=trust) as run:
        for _ in range(rng.randint(2, 4)):
            run.act("bo", f"{LOUD} it {rng.randrange(9)} at wall", "It echoes.")
        run.say("cy", "The final answer is a great success, well done, we agree.")
        run.resolve()


def _real(bench: Bench, most: int) -> list[Trace]:
    found: list[Trace] = []
    for name in REAL:
        path = bench.data / "traces" / f"{name}.jsonl.gz" if bench.data else None
        if path is None or not path.exists():
            continue
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                if json.loads(line).get("outcome"):
                    found.append(jsonl.trace(json.loads(line), name))
    random.Random(7).shuffle(found)
    return found[:most]


def _record_real(grown: Grown, trace: Trace, place: int) -> None:
    id = f"t_{place:08x}"
    grown.kinds[id] = f"real {trace.where}"
    with (
        suppress(InvalidInput),
        grown.memory.task(trace.query, agents=trace.agents, run_id=id, source=trace.source) as run,
    ):
        for said in trace.said:
            run.say(said.agent, said.text, kind=said.kind, to=said.to or None, reward=said.reward)
        run.judge(trace.outcome)


# --- asking -----------------------------------------------------------------------------------------


def _ask(grown: Grown, *, guarded: bool) -> tuple[list[Figure], list[Figure]]:
    source = Experience(seed=99)
    carried: Counter[str] = Counter()
    right = delivered = with_junk = unsaid = with_lesson = 0
    bad = {i.id for i in grown.memory.insights("active") if LOUD in i.pattern}
    for kind, query in _queries(source):
        recall = grown.memory.recall(query, **({} if guarded else {"doubtful": 1.0}))
        junk = {grown.junk[id] for id in recall.shown if id in grown.junk}
        unsaid += any(case.task.id in grown.junk and not case.doubt for case in (*recall.solved, *recall.failed))
        carried.update(junk)
        with_junk += bool(junk)
        with_lesson += any(lesson.insight.id in bad for lesson in recall.lessons)
        for case in recall.solved:
            delivered += 1
            right += grown.kinds.get(case.task.id) == str(kind) and case.task.id not in grown.junk
    active = grown.memory.stats().active_insights
    figures: list[Figure] = [
        right / max(1, delivered), with_junk / QUERIES, unsaid / QUERIES, active, len(bad), with_lesson / QUERIES,
    ]  # fmt: skip
    return figures, [carried[sort] / QUERIES for sort in SORTS]


def _queries(source: Experience) -> Iterator[tuple[int, str]]:
    for _ in range(QUERIES):
        kind = source.kind()
        yield kind, source.query(kind)
