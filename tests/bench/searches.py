"""What is searched for, and among what: real traces as sets of stored runs and questions with known right answers.

The data folder must hold `traces/*.jsonl.gz`; each set is left out whose file is not there.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Question", "Search", "searches"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One thing that is searched for.

    Attributes:
        text: What is asked.
        right: Places of the stored runs that are right answers.
        out: Places of the stored runs that are left out of the memory for it.
        work: How alike the deeds of each stored run are to those of the question's own run, where it has one.
    """

    text: str
    right: frozenset[int]
    out: frozenset[int] = frozenset()
    work: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Search:
    """A set of stored runs and of questions.

    Attributes:
        name: What it is.
        rows: The stored runs in the trace format.
        texts: What other searches see of each.
        questions: What is searched for.
        deep: Whether several right answers are wanted (precision), not one (hit and reciprocal rank).
    """

    name: str
    rows: Sequence[Row]
    texts: Sequence[str]
    questions: Sequence[Question]
    deep: bool = True


def searches(data: Path) -> Iterator[Search | str]:
    """Give every set there are traces for, and a line for each that there are none for."""
    makers: Mapping[str, Callable[[list[Row]], list[Search]]] = {
        "gmemory_alfworld": _kinds_of_task, "scienceworld": _goals, "gmemory_pddl": _domains,
        "masft_hyperagent": _repositories, "whowhen": _other_team,
    }  # fmt: skip
    for name, make in makers.items():
        path = data / "traces" / f"{name}.jsonl.gz"
        if not path.exists():
            hint = "; `python -m tests.bench.gold FILE` makes it, in some minutes" if name == "scienceworld" else ""
            yield f"no traces/{name}.jsonl.gz{hint}"
            continue
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from make([json.loads(line) for line in lines])


def _leave_one_out(name: str, rows: list[Row], equal: bool) -> Search:
    """Ask for each run's kind by its text; the run itself is out, and unless `equal` all runs of that text."""
    texts = [row["task"] for row in rows]
    questions = []
    for place, row in enumerate(rows):
        out = {place} if equal else {i for i, text in enumerate(texts) if text == row["task"]}
        right = {i for i, other in enumerate(rows) if other["group"] == row["group"]} - out
        questions.append(Question(row["task"], frozenset(right), frozenset(out)))
    return Search(name, rows, texts, questions)


def _kinds_of_task(rows: list[Row]) -> list[Search]:
    return [
        _leave_one_out("ALFWorld, equal texts left out", rows, equal=False),
        _leave_one_out("ALFWorld, equal texts kept", rows, equal=True),
    ]


def _domains(rows: list[Row]) -> list[Search]:
    return [_leave_one_out("PDDL goals", rows, equal=False)]


def _repositories(rows: list[Row]) -> list[Search]:
    return [_leave_one_out("HyperAgent issues, same repository", rows, equal=False)]


def _goals(rows: list[Row]) -> list[Search]:
    stored = [row for row in rows if row["split"] == "train"]
    deeds = [_first_words(row) for row in rows]
    spread = Counter(kind for row, own in zip(rows, deeds, strict=True) if row["split"] == "train" for kind in own)
    of = {row["id"]: own for row, own in zip(rows, deeds, strict=True)}
    found = []
    for split in ("test", "dev"):
        questions = []
        for row in rows:
            if row["split"] == split:
                right = {i for i, other in enumerate(stored) if other["group"] == row["group"]}
                work = np.array([_cosine(of[row["id"]], of[s["id"]], spread, len(stored)) for s in stored])
                questions.append(Question(row["task"], frozenset(right), work=work))
        if questions:
            texts = [row["task"] for row in stored]
            found.append(Search(f"ScienceWorld goals, {split} variations", stored, texts, questions))
    return found


def _first_words(row: Row) -> set[str]:
    """Give the kinds of a run's actions in the plainest way there is, not gmem's: the first two words."""
    return {" ".join(step["action"].lower().split()[:2]) for step in row["steps"]}


def _cosine(a: set[str], b: set[str], spread: Mapping[str, int], n: int) -> float:
    def square(kinds: set[str]) -> float:
        return sum(math.log(n / spread[kind]) ** 2 for kind in kinds if spread.get(kind))

    lengths = math.sqrt(square(a) * square(b))
    return square(a & b) / lengths if lengths else 0.0


def _other_team(rows: list[Row]) -> list[Search]:
    """Find the run of the one team by the talk (messages 2 to 7) of the other on the same question."""
    stored = [row for row in rows if row["source"].endswith("captainagent")]
    places: dict[str, set[int]] = {}
    for place, row in enumerate(stored):
        places.setdefault(row["group"], set()).add(place)
    questions = [
        Question("\n".join(m["content"] for m in row["messages"][2:8])[:20_000], frozenset(places[row["group"]]))
        for row in rows
        if not row["source"].endswith("captainagent") and row["group"] in places
    ]
    talk = ["\n".join(m["content"] for m in row["messages"][1:]) for row in stored]
    whole = [f"{row['task']}\n{said}" for row, said in zip(stored, talk, strict=True)]
    mute = [
        {**row, "task": "A question.", "messages": _chained(row["messages"][1:]), "steps": []}
        for place, row in enumerate(stored)
    ]
    return [
        Search("Who&When, the other team's run by its question and talk", stored, whole, questions, deep=False),
        Search("Who&When, the other team's run by its talk alone", mute, talk, questions, deep=False),
    ]


def _chained(messages: Sequence[Row]) -> list[Row]:
    return [{**m, "upstream": [i - 1] if i else []} for i, m in enumerate(messages)]
