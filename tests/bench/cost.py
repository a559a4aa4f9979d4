"""What memory costs: calls of a chat model and characters of prompt, and how learning grows with the memory.

Runs are real ones where the data folder has `traces/gmemory_alfworld.jsonl.gz` and `traces/masft_ag2.jsonl.gz`,
else made up.  The model is a stand-in that answers at once, in the form that it is asked for or, every
so often, in none; it counts by itself what it is sent.
"""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

import gmem
from gmem.importers import import_files
from gmem.recall.rank import relevance

from .made import Experience, record
from .recall import Prepared
from .report import Bench, Figure, Table

__all__ = ["Counting", "measure"]

OFFICIAL_RECALL = ("2 to 3.6", "6,000 to 12,000")
OFFICIAL_LEARNED = ("3.7 to 4", "25,000")
"""Calls and characters of the paper's own code, measured with a stand-in model on real runs (G-Memory @7b581c5)."""
GOAL_CHARACTERS = 6_000
RUNS = 60
MANGLED = 8
"""Every so manyth answer cannot be read and has to be asked for again."""


class Counting(BaseChatModel):
    """A chat model that answers from a script and counts what it is sent."""

    mangle: int = 0
    _calls: int = PrivateAttr(default=0)
    _characters: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "counting"

    @property
    def counted(self) -> tuple[int, int]:
        """Calls, and characters of prompt."""
        return self._calls, self._characters

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any,
    ) -> ChatResult:  # fmt: skip
        self._calls += 1
        self._characters += sum(len(str(m.content)) for m in messages)
        bad = self.mangle and self._calls % self.mangle == 0
        answer = "I would rather talk about it." if bad else json.dumps(_operations(self._calls))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=answer))])


def _operations(number: int) -> dict[str, Any]:
    """Give an answer as a model might: something new now and then, agreement otherwise."""
    things = ("plan", "list", "tool", "claim", "number", "answer", "step", "source")
    thing, other = things[number % 8], things[number // 8 % 8]
    if number % 3 == 0:
        text = f"Compare every {thing} with the {other} it came from before you hand it on."
        return {"operations": [{"op": "ADD", "text": text, "polarity": "do", "roles": []}]}
    return {"operations": [{"op": "AGREE", "n": 1 + number % 2}]}


def measure(bench: Bench) -> list[Table]:
    """Count calls and characters, and time learning in memories of growing size."""
    return [_calls(bench), _growth(bench)]


# --- calls ------------------------------------------------------------------------------------------


def _calls(bench: Bench) -> Table:
    rows: list[Sequence[Figure]] = [
        ("official code, a recall", *OFFICIAL_RECALL, None), ("official code, a learned task", *OFFICIAL_LEARNED, None),
    ]  # fmt: skip
    for title, mangle in (("", 0), (f", every {MANGLED}th answer of no use", MANGLED)):
        model = Counting(mangle=mangle)
        with gmem.Memory(bench.fresh(), embedder="none", model=model) as memory:
            learned = _learn(bench, memory)
            calls, characters = model.counted
            if calls != memory.usage.calls:
                raise RuntimeError(f"the model was asked {calls} times, the meter says {memory.usage.calls}")
            mean = characters / learned
            rows.append(
                (f"gmem with a model, a learned task{title}", calls / learned, mean, _said(mean <= GOAL_CHARACTERS))
            )
            before = model.counted
            queries = [task.query for task in memory.tasks(limit=20)]
            for query in queries:
                memory.recall(query, "solver")
            asked = model.counted[0] - before[0], model.counted[1] - before[1]
            rows.append((f"gmem with a model, a recall{title}", asked[0] / 20, asked[1] / 20, _said(asked == (0, 0))))
    rows.append(("gmem without a model, a recall or a learned task", 0, 0, _said(True)))
    notes = (
        f"goals: no call a recall, one call and at most {GOAL_CHARACTERS:,} characters a learned task on average",
        "the official figures are quoted, measured with its command-line and its method's settings",
        "the characters of the form of an answer count where the form is part of the prompt, as it is here",
    )
    head = ("what", "calls", "characters of prompt", "goal reached")
    return Table("Calls of the chat model", head, rows, notes)


def _said(reached: bool) -> str:
    return "yes" if reached else "no"


def _learn(bench: Bench, memory: gmem.Memory) -> int:
    """Record real runs if there are any, else made-up ones; gives how many were learned from."""
    for path in _traces(bench):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            part = [line for line, _ in zip(file, range(RUNS // 2), strict=False)]
        short = bench.fresh().with_suffix(".jsonl")
        short.write_text("".join(part), encoding="utf-8")
        import_files(memory, [short])
    if not memory.stats().tasks:
        for made in _verified(Experience(seed=3), RUNS):
            record(memory, made)
    stats = memory.stats()
    return stats.resolved + stats.failed


def _traces(bench: Bench) -> list[Path]:
    names = ("gmemory_alfworld", "masft_ag2")
    paths = [bench.data / "traces" / f"{name}.jsonl.gz" for name in names] if bench.data else []
    return [path for path in paths if path.exists()]


def _verified(source: Experience, count: int) -> Iterator[Any]:
    made = (m for m in source.tasks(4 * count) if m.task.outcome != "unknown")
    return (m for m, _ in zip(made, range(count), strict=False))


# --- growth -----------------------------------------------------------------------------------------


def _growth(bench: Bench) -> Table:
    rows: list[Sequence[Figure]] = []
    first: float | None = None
    for size in [size for size in bench.sizes if size <= 10_000]:
        source = Experience(seed=9)
        runs = list(_verified(source, bench.writes))
        vectors = source.vectors([run.kind for run in runs])
        prepared = Prepared({run.task.query: vector for run, vector in zip(runs, vectors, strict=True)})
        path = bench.fresh()
        shutil.copy(bench.memory(size), path)
        with gmem.Memory(path, team="bench", embedder=prepared.embedder()) as memory:
            took = []
            for run in runs:
                start = time.process_time()
                record(memory, run)
                took.append((time.process_time() - start) * 1000)
            scan = _scan(memory, prepared, runs[0].task.query)
        mean = float(np.mean(took[len(took) // 4 :]))
        first = first or mean
        rows.append((size, mean, mean / first, float(np.median(took)), float(np.max(took)), scan))
    notes = (
        f"{bench.writes} whole runs on top of so many tasks, processor time; rules, every outcome verified",
        "the mean leaves the first quarter out, in which a new process reads its neighbours and draws its panel",
        "comparing: the query with every task, by words and vector, which each learned run does once",
    )
    head = ("tasks before", "cpu ms a run", "times the first", "median", "most", "of which comparing")
    return Table("Learning as the memory grows", head, rows, notes, drawn=("cpu ms a run", "median"))


def _scan(memory: gmem.Memory, prepared: Prepared, query: str) -> float:
    from gmem.text import terms, words

    vector = np.array(prepared.embed_query(query), dtype=np.float32)
    start = time.process_time()
    for _ in range(20):
        relevance(memory.store.candidates("bench", terms(query), vector, words=words(query)))
    return (time.process_time() - start) * 50
