"""A second look: what is found first is asked with in turn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gmem
from gmem.graphs import Batch
from gmem.graphs.base import Candidates
from gmem.model import Deeds, Task
from gmem.recall import RecallSettings
from gmem.recall.again import FIRST, NEAR, SHARE, WORTH, again
from gmem.recall.found import Hit
from gmem.recall.rank import relevance, top
from gmem.recall.seek import hits
from gmem.testing._reading import household
from gmem.testing.examples import EXAMPLE_MODEL, example_vector
from gmem.text import terms
from gmem.text import words as split

ASKED = "mend the leaking roof"
#: The first three name all that is asked for; of the last two each has one word of it, but the one is of their kind.
TEXTS = {
    "r1": "mend the leaking roof with tar and felt",
    "r2": "mend the leaking roof with tar and a ladder",
    "r3": "mend the leaking roof with felt and a ladder",
    "kin": "cover a roof with tar and felt from a ladder",
    "stray": "sing about a roof under stars and moonlight",
}


def stored(store: gmem.graphs.GraphStore, texts: Sequence[tuple[str, str]], failed: Sequence[str] = ()) -> None:
    tasks = [
        Task(id, "blue", text, outcome="failed" if id in failed else "resolved", score=float(id not in failed))
        for id, text in texts
    ]
    store.write([Batch("blue", f"op {task.id}", tasks=[task]) for task in tasks])


def compared(memory: gmem.Memory, asked: str = ASKED) -> Candidates:
    vector = None if memory.embedder is None else memory.embedder.query(asked)
    return memory.store.candidates("blue", terms(asked), vector, words=split(asked))


def looked(memory: gmem.Memory, out: str = "", **changes: float) -> tuple[dict[str, float], dict[str, float]]:
    """Give the relevance of each task by the query alone, and after the second look."""
    found = compared(memory)
    scores = relevance(found)
    eligible = np.array([id != out for id in found.ids])
    refined = again(memory.store, "blue", found, scores, eligible, RecallSettings(**changes))  # type: ignore[arg-type]
    return dict(zip(found.ids, scores.tolist(), strict=True)), dict(zip(found.ids, refined.tolist(), strict=True))


def reached(memory: gmem.Memory, exclude: frozenset[str] = frozenset()) -> list[Hit]:
    return hits(memory.store, "blue", compared(memory), RecallSettings(seeds=9, min_relevance=0.0), exclude)


def test_what_only_the_first_are_like_comes_before_a_stray_word(words: gmem.Memory) -> None:
    stored(words.store, list(TEXTS.items()))
    alone, refined = looked(words)
    assert alone["kin"] <= alone["stray"] < alone["r3"]
    assert refined["stray"] < refined["kin"] < refined["r3"]
    by_id = {hit.id: hit for hit in reached(words)}
    assert [hit.id for hit in reached(words)][-2:] == ["kin", "stray"]
    assert by_id["kin"].parts["by the query alone"] == pytest.approx(alone["kin"])
    assert by_id["kin"].relevance == pytest.approx(refined["kin"])


def test_the_query_counts_alone_where_nothing_is_near(words: gmem.Memory) -> None:
    stored(words.store, list(TEXTS.items()))
    alone, refined = looked(words)
    share = SHARE * max(alone.values()) ** 2
    assert 0 < share < 0.5
    for id, score in alone.items():
        assert (1 - share) * score <= refined[id] <= (1 - share) * score + share + 1e-6
    found = compared(words, "xylophone")
    nothing = relevance(found)
    assert not nothing.any()
    assert again(words.store, "blue", found, nothing, nothing > 0, RecallSettings()) is nothing


def test_nothing_is_asked_with_what_is_hardly_like_the_query(words: gmem.Memory) -> None:
    stored(words.store, list(TEXTS.items()))
    found = compared(words, "a ladder among many other things that nobody here has ever met")
    scores = relevance(found)
    assert 0 < scores.max() < WORTH
    assert again(words.store, "blue", found, scores, scores > 0, RecallSettings()) is scores


def test_the_order_of_writing_and_other_teams_make_no_difference(memory: gmem.Memory, tmp_path: Path) -> None:
    stored(memory.store, list(TEXTS.items()))
    expected = [(hit.id, hit.relevance) for hit in reached(memory)]
    shuffled = random.Random(3).sample(list(TEXTS.items()), len(TEXTS))
    spec = "none" if memory.embedder is None else memory.embedder
    with gmem.Memory(tmp_path / "other.gmem", team="blue", embedder=spec) as other:
        other.store.write([Batch("red", "op", tasks=[Task("r0", "red", ASKED, outcome="resolved", score=1.0)])])
        stored(other.store, shuffled)
        assert [(hit.id, pytest.approx(hit.relevance, abs=1e-6)) for hit in reached(other)] == expected


def test_what_is_left_out_is_not_asked_with(words: gmem.Memory) -> None:
    stored(words.store, [("twin", "mend the leaking roof under stars"), *TEXTS.items()])
    _, refined = looked(words)
    _, without = looked(words, out="twin")
    assert refined["stray"] > without["stray"]
    assert "twin" not in {hit.id for hit in reached(words, frozenset({"twin"}))}


def test_what_was_forgotten_meanwhile_is_passed_over(words: gmem.Memory) -> None:
    stored(words.store, list(TEXTS.items()))
    found = compared(words)
    scores = relevance(found)
    (best, _), *_ = top(found.ids, scores, FIRST)
    words.store.write([Batch("blue", "forget", forget_tasks=[best])])
    refined = again(words.store, "blue", found, scores, scores > 0, RecallSettings())
    assert refined[found.rows[best]] < scores[found.rows[best]]
    assert refined[found.rows["kin"]] > refined[found.rows["stray"]]
    words.store.write([Batch("blue", "forget all", forget_tasks=[id for id in TEXTS if id != best])])
    assert again(words.store, "blue", found, scores, scores > 0, RecallSettings()) is scores


@pytest.mark.parametrize("dense", [False, True])
def test_what_is_first_is_asked_with_as_whole_as_the_query(words: gmem.Memory, dense: bool) -> None:
    store = words.store
    if dense:
        words.reembed("none")
        store.set_embedder(EXAMPLE_MODEL)
    tasks = [replace(household(number), trust=0.4 if number % 5 == 2 else 1 - number / 100) for number in range(30)]
    if dense:  # where it is learned what words say of the work, vectors count for unknown words only
        tasks = [replace(task, deeds=Deeds()) for task in tasks]
    vectors = {task.id: example_vector(number % 6) for number, task in enumerate(tasks)} if dense else {}
    store.write([Batch("team", "all", tasks=tasks, vectors=vectors)])
    asked, settings = "put a hot mug in the safe", RecallSettings(min_trust=0.5)
    found = store.candidates("team", terms(asked), example_vector(0) if dense else None, words=split(asked))
    scores = relevance(found, settings.min_trust)
    eligible = scores >= 0
    first = dict(top(found.ids, scores, FIRST, eligible))
    assert WORTH < max(first.values()) < 0.95 and len(set(first.values())) > 1
    assert (found.work is None) == dense == found.has_dense
    said = np.zeros(len(scores))
    for id, score in first.items():
        (task,) = store.tasks("team", [id])
        vector = store.vectors("team", [id]).get(id)
        more = store.candidates("team", terms(task.query), vector, words=split(task.query))
        said += score * relevance(more, settings.min_trust)
    near = {id for id, _ in top(found.ids, scores, NEAR, eligible & (found.outcomes >= 0))}
    near |= {id for id, _ in top(found.ids, scores, NEAR, eligible & (found.outcomes < 0))}
    said *= [id in near for id in found.ids]
    share = SHARE * max(first.values()) ** 2
    expected = (1 - share) * scores + share * said / sum(first.values())
    assert again(store, "team", found, scores, eligible, settings) == pytest.approx(expected, abs=1e-5)


def test_only_the_nearest_are_compared_again_and_failures_beside_them(words: gmem.Memory) -> None:
    many = [(f"m{number:03}", f"mend the leaking roof number{number}") for number in range(3 * NEAR)]
    stored(words.store, [*many, ("lost", TEXTS["kin"])], failed=["lost"])
    alone, refined = looked(words)
    share = SHARE * max(alone.values()) ** 2
    asked = [id for id, score in refined.items() if score > (1 - share) * alone[id] + 1e-6]
    assert "lost" in asked and len(asked) == NEAR + 1
    _, wider = looked(words, seeds=NEAR)
    assert sum(wider[id] > (1 - share) * alone[id] + 1e-6 for id in wider) == 2 * NEAR + 1
