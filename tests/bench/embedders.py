"""Embedders side by side on one small retrieval set: how well they find, and how fast they are.

    python tests/bench/embedders.py
    python tests/bench/embedders.py --model sentence-transformers/all-MiniLM-L6-v2 --json

The set is made here: eight kinds of tasks, each stored with five of the same ten objects.  A query asks
for one kind in one of three settings: in the words of the stored tasks and on an object that none of
them has; in other words, on such an object; and in the same words, but on an object that only tasks of
other kinds have, so that matching the object leads astray.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gmem import Memory
from gmem.embed import Embedder, resolve

OBJECTS = (
    "the coffee machine",
    "the payroll program",
    "the delivery drone",
    "the kitchen scales",
    "the garden pump",
    "the door sensor",
    "the office printer",
    "the bicycle lamp",
    "the weather station",
    "the ticket counter",
)
NEW_OBJECTS = ("the fish tank", "the radio", "the tax form", "the lift", "the piano")
SETTINGS = ("same words", "other words", "misleading object")

#: Of each kind: how two stored tasks put it, a query in the same words, and a query in others.
KINDS = {
    "refund": (
        "Refund a customer who returned {}",
        "A customer is unhappy with {}: issue a refund",
        "Issue a customer's refund for {}",
        "The buyer sent back {}, pay the money back",
    ),
    "meeting": (
        "Schedule a meeting about {} with the whole team",
        "Put a team meeting on the calendar to discuss {}",
        "Schedule a team meeting on {}",
        "Find an hour next week when everybody can talk through {}",
    ),
    "summary": (
        "Summarise the long report on {}",
        "Write a summary of the report concerning {}",
        "Give a summary of the report that covers {}",
        "Condense the study of {} into five short sentences",
    ),
    "bug": (
        "Fix the bug that makes {} crash at start",
        "The software of {} has a bug: find and fix it",
        "Fix a bug in the code of {}",
        "Debug why {} stops with an error and repair the program",
    ),
    "translate": (
        "Translate the manual of {} into German",
        "Translate into French what the manual says on {}",
        "Translate the German manual for {}",
        "Render the user guide of {} in Spanish",
    ),
    "price": (
        "Compare the prices of shops that sell {}",
        "Find the lowest price for {}",
        "Compare prices and find the lowest for {}",
        "Which store offers {} cheapest?",
    ),
    "clean": (
        "Clean {} after use",
        "Clean the dirt off {} with water and soap",
        "Clean {} with soap",
        "Wash and wipe {} until no stain is left",
    ),
    "password": (
        "Reset the forgotten password for {}",
        "A user forgot the password of {}: reset it",
        "Reset a user's password on {}",
        "Somebody is locked out of {} and needs new login credentials",
    ),
}


#: Of each kind: what was done in its runs.
DEEDS = {
    "refund": ("open order of {}", "pay back money for {}"),
    "meeting": ("list calendars for {}", "invite team to {}"),
    "summary": ("read report on {}", "write summary of {}"),
    "bug": ("run tests of {}", "edit code of {}"),
    "translate": ("read manual of {}", "translate text of {}"),
    "price": ("search shops for {}", "sort offers of {}"),
    "clean": ("take soap for {}", "wipe {} with sponge"),
    "password": ("verify user of {}", "reset password of {}"),
}


@dataclass(frozen=True)
class Row:
    """A stored task or a query.

    Args:
        text: What it says.
        kind: Which of `KINDS` it is.
        setting: For a query, which of `SETTINGS` it belongs to.
        thing: The object that it is about.
    """

    text: str
    kind: str
    setting: str = ""
    thing: str = ""


def stored() -> list[Row]:
    """Five stored tasks of each kind, 40 in all; a kind has every other of `OBJECTS`."""
    rows = []
    for number, (kind, (first, second, *_)) in enumerate(KINDS.items()):
        for step in range(5):
            template = second if step % 2 else first
            thing = OBJECTS[(number + 2 * step) % 10]
            rows.append(Row(template.format(thing), kind, thing=thing))
    return rows


def queries() -> list[Row]:
    """Five queries of each kind in each of `SETTINGS`, 120 in all."""
    rows: list[Row] = []
    for number, (kind, (*_, same, other)) in enumerate(KINDS.items()):
        for step, new in enumerate(NEW_OBJECTS):
            elsewhere = OBJECTS[(number + 2 * step + 1) % 10]
            texts = (same.format(new), other.format(new), same.format(elsewhere))
            rows.extend(Row(text, kind, setting) for text, setting in zip(texts, SETTINGS, strict=True))
    return rows


@dataclass(frozen=True)
class Quality:
    """How well queries find stored tasks of their kind.

    Args:
        same_words: Part of the queries of this setting whose best match is of their kind, 0 to 1.
        other_words: The same for this setting.
        misleading_object: The same for this setting.
        top5: Mean over all queries of the part of the five best matches that are of the query's kind;
            1 is possible, as there are five of each.
    """

    same_words: float
    other_words: float
    misleading_object: float
    top5: float


def quality(rankings: Sequence[Sequence[str]]) -> Quality:
    """Score what was found.

    Args:
        rankings: For each of `queries`, in order, the kinds of what was found, best first.

    Returns:
        The quality; a query that found nothing, or too little, counts as wrong.
    """
    pairs = list(zip(queries(), rankings, strict=True))
    same, other, misleading = (
        float(np.mean([query.kind in found[:1] for query, found in pairs if query.setting == setting]))
        for setting in SETTINGS
    )
    top5 = float(np.mean([sum(kind == query.kind for kind in found[:5]) / 5 for query, found in pairs]))
    return Quality(same, other, misleading, top5)


def dense_rankings(embedder: Embedder) -> list[list[str]]:
    """Rank the stored tasks for each query by cosine similarity alone.

    Args:
        embedder: Makes the vectors.

    Returns:
        For each of `queries`, the kinds of all stored tasks, best first; ties in order of storing.
    """
    tasks = stored()
    matrix = embedder.documents([task.text for task in tasks])
    return [
        [tasks[index].kind for index in np.argsort(-(matrix @ embedder.query(query.text)), kind="stable")]
        for query in queries()
    ]


def recall_rankings(embedder: Embedder | None, folder: Path, *, acted: bool) -> list[list[str]]:
    """Rank the stored tasks for each query as `Memory.recall` does, with words and, if given, vectors.

    Args:
        embedder: Makes the vectors; None for words only.
        folder: Where to put the memory.
        acted: Whether things are done in the stored runs, or only said.

    Returns:
        For each of `queries`, the kinds of the recalled tasks, best first.
    """
    rankings = []
    with Memory(folder / f"{'acted' if acted else 'said'}.gmem", embedder=embedder or "none") as memory:
        for number, row in enumerate(stored()):
            with memory.task(row.text, run_id=f"task-{number}", metadata={"kind": row.kind}) as run:
                for deed in DEEDS[row.kind] if acted else ():
                    run.act("agent", deed.format(row.thing), "It is done.")
                run.say("agent", f"Done: {row.text}")
                run.resolve()
        for query in queries():
            recall = memory.recall(query.text, seeds=5, cases=5, min_relevance=0.0, budget=10_000)
            rankings.append([case.task.metadata["kind"] for case in recall.solved])
    return rankings


@dataclass(frozen=True)
class Speed:
    """How fast an embedder is.

    Args:
        first_vector_s: Seconds from `resolve` to the first vector, imports and loading included.
        texts_per_s: Short texts embedded per second, many at once.
        query_ms: Milliseconds for one query, median.
    """

    first_vector_s: float
    texts_per_s: float
    query_ms: float


def measure(spec: str, texts: int = 2000) -> tuple[Embedder, Speed]:
    """Load an embedder and time it.

    Args:
        spec: As for `gmem.embed.resolve`; not words only.
        texts: How many different texts to embed at once.

    Returns:
        The embedder and its speed.
    """
    start = time.perf_counter()
    embedder = resolve(spec)
    if embedder is None:
        raise SystemExit(f"{spec!r} is words only: nothing to embed with")
    embedder.query("warm up")
    loaded = time.perf_counter() - start
    rows = stored()
    many = [f"{rows[number % len(rows)].text}, order {number}" for number in range(texts)]
    start = time.perf_counter()
    embedder.documents(many)
    per_second = texts / (time.perf_counter() - start)
    times = []
    for query in queries():
        start = time.perf_counter()
        embedder.query(query.text)
        times.append(time.perf_counter() - start)
    return embedder, Speed(loaded, per_second, float(np.median(times)) * 1000)


def main() -> None:
    """Measure the embedders named on the command line and print a table, or JSON."""
    parser = argparse.ArgumentParser(description="Embedders side by side on one retrieval set.")
    parser.add_argument("--model", action="append", default=[], help="one more embedder, as `gmem` takes it")
    parser.add_argument("--texts", type=int, default=2000, help="how many texts to time (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    lines = []
    for spec in ["static:64", "static:128", "static:256", *options.model]:
        embedder, speed = measure(spec, options.texts)
        found = quality(dense_rankings(embedder))
        lines.append({"embedder": embedder.name, "dimension": embedder.dimension, **asdict(found), **asdict(speed)})
    if options.json:
        print(json.dumps(lines, indent=2))
        return
    print(f"{len(stored())} stored tasks, {len(queries())} queries, best match by cosine alone")
    heads = ("same w.", "other w.", "misled", "top 5", "load s", "texts/s", "query ms")
    print(f"{'embedder':<38}" + "".join(f"{head:>10}" for head in heads))
    for line in lines:
        name, _, *figures = line.values()
        shown = "".join(f"{figure:>10.{0 if figure >= 100 else 2}f}" for figure in figures)
        print(f"{str(name)[-37:]:<38}{shown}")


if __name__ == "__main__":
    main()
