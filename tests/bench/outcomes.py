"""Runs whose outcome was told wrongly: how many of them recalls pass on, with the question of doubt and without.

Of real runs and of made-up ones one in twenty is turned over: what failed is called solved, and the other way round.
Each is stored without lessons; then the tasks of some runs are asked for once more, each without its own run.  Beside
that stands the same memory with every outcome told rightly, where a doubt is always a false alarm.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gmem
from gmem.flow import Flow
from gmem.importers import jsonl
from gmem.importers.trace import Said, Trace
from gmem.learn import Contrast, Lessons
from gmem.model import Outcome
from gmem.recall import RecallSettings

from .made import AGENTS, Experience
from .report import Bench, Figure, Table

__all__ = ["measure"]

SETS = ("gmemory_alfworld", "masft_ag2", "gmemory_fever")
MOST, QUICK = 1_500, 300
"""Runs of a set that are stored, at most, drawn with a fixed seed; and in a quick run."""
ASKED = 200
TURNED = 0.05
USUAL: float = RecallSettings().doubtful


class Mute:
    """Teaches nothing: here only cases count."""

    name = "mute"
    external = False
    samples = True

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Learn nothing."""
        yield from ()
        return Lessons()


@dataclass(frozen=True)
class Told:
    """A run to be stored, and of what kind it is, as people sorted it."""

    trace: Trace
    kind: str


def measure(bench: Bench) -> list[Table]:
    """Measure every set that there are traces for, and made-up runs."""
    most = min(QUICK if bench.quick else MOST, max(bench.sizes))
    rows: list[Sequence[Figure]] = []
    missing: list[str] = []
    for name in ("made up", *SETS):
        told = _made(most) if name == "made up" else _real(bench.data, name, most)
        if not told:
            missing.append(name)
            continue
        for turned in (TURNED, 0.0):
            rows += _rows(bench, name, told, turned)
    notes = [
        f"doubtful {USUAL:g}: what a doubted run keeps of its relevance (`RecallSettings.doubtful`); 1: nobody doubts",
        "wrong: share of what was told as solved, or as failed, that was not; unsaid: nor said to be in doubt",
        "of the kind: share of all that was told; alarms: share of what was told rightly that was said to be in doubt",
    ]
    notes += [f"not measured: {name} needs traces/{name}.jsonl.gz in the folder of --data" for name in missing]
    head = (
        "runs", "turned over", "doubtful", "wrong as solved", "unsaid of solved", "wrong as failed", "unsaid of failed",
        "of the kind", "alarms",
    )  # fmt: skip
    return [Table("Wrong outcomes that recalls pass on", head, rows, notes)]


def _rows(bench: Bench, name: str, told: Sequence[Told], turned: float) -> Iterator[Sequence[Figure]]:
    rng = random.Random(5)
    wrong: set[str] = set()
    kinds: dict[str, str] = {}
    with gmem.Memory(bench.fresh(), embedder="none", distiller=Mute()) as memory:
        for place, run in enumerate(told):
            id = f"t_{place:06d}"
            kinds[id], outcome = run.kind, run.trace.outcome
            if rng.random() < turned:
                wrong.add(id)
                outcome = "failed" if outcome == "resolved" else "resolved"
            _record(memory, id, run.trace, outcome)
        asked = rng.sample(sorted(kinds), min(ASKED, len(kinds)))
        for doubtful in (1.0, USUAL):
            yield (f"{len(told)} {name}", turned, doubtful, *_ask(memory, asked, kinds, wrong, doubtful))


def _record(memory: gmem.Memory, id: str, trace: Trace, outcome: Outcome) -> None:
    with memory.task(trace.query, agents=trace.agents, run_id=id) as run:
        for said in trace.said:
            run.say(said.agent, said.text, kind=said.kind, to=said.to or None, reward=said.reward)
        run.judge(outcome)


def _ask(
    memory: gmem.Memory, asked: Sequence[str], kinds: dict[str, str], wrong: set[str], doubtful: float
) -> list[Figure]:
    told: Counter[str] = Counter()
    for id in asked:
        (task,) = memory.store.tasks(memory.team, [id])
        found = memory.recall(task.query, run_id=id, doubtful=doubtful)
        for name, cases in (("solved", found.solved), ("failed", found.failed)):
            for case in cases:
                told[name] += 1
                told["alike"] += kinds[case.task.id] == kinds[id]
                told[f"{'wrong' if case.task.id in wrong else 'right'} {name}"] += 1
                told[f"{'wrong' if case.task.id in wrong else 'right'} {name} marked"] += bool(case.doubt)
    right = told["right solved"] + told["right failed"]
    return [
        told["wrong solved"] / max(1, told["solved"]),
        (told["wrong solved"] - told["wrong solved marked"]) / max(1, told["solved"]),
        told["wrong failed"] / max(1, told["failed"]),
        (told["wrong failed"] - told["wrong failed marked"]) / max(1, told["failed"]),
        told["alike"] / max(1, told["solved"] + told["failed"]),
        (told["right solved marked"] + told["right failed marked"]) / max(1, right),
    ]


# --- runs -------------------------------------------------------------------------------------------


def _made(most: int) -> list[Told]:
    found = []
    for made in Experience(seed=11, sentences=1).tasks(2 * most):
        if made.task.outcome != "unknown" and len(found) < most:
            said = tuple(Said(u.agent, u.content, kind=u.kind) for u in made.interaction.utterances)
            trace = Trace("", "", "", made.task.query, said, outcome=made.task.outcome, agents=AGENTS)
            found.append(Told(trace, str(made.kind)))
    return found


def _real(data: Path | None, name: str, most: int) -> list[Told]:
    path = data / "traces" / f"{name}.jsonl.gz" if data else None
    if path is None or not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row.get("outcome")]
    random.Random(7).shuffle(rows)
    found = [Told(jsonl.trace(row, name), str(row.get("group"))) for row in rows[:most]]
    return [told for told in found if told.trace.outcome != "unknown"]
