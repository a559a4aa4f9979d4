"""What another program does to a memory between the reading and the writing of a call is not lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from stories import play

import gmem
from gmem.graphs import Batch, GraphStore
from gmem.model import Evidence
from gmem.testing import example_insight


def meanwhile(monkeypatch: pytest.MonkeyPatch, store: GraphStore, name: str, work: Callable[[], Any]) -> None:
    """Do something right before a store's next call of a name."""
    call = getattr(store, name)

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(store, name, call)
        work()
        return call(*args, **kwargs)

    monkeypatch.setattr(store, name, late)


def lessons(memory: gmem.Memory, said: dict[str, list[str]]) -> None:
    """Write lessons in the same words, each with runs that support it."""
    memory.store.write([Batch(
        "blue", "by hand",
        insights=[
            example_insight(id, "blue", text="Wash it first.", pattern="", audience=(), state="candidate", created=n)
            for n, id in enumerate(said)
        ],
        evidence=[Evidence(task, id, True, True) for id, tasks in said.items() for task in tasks],
    )])  # fmt: skip


@pytest.mark.parametrize("which", ["i_a", "i_b"])
def test_a_merge_keeps_what_is_said_meanwhile(words: gmem.Memory, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    a, b, c, d = (play(words, dish).id for dish in ("leek", "onion", "kale", "swede"))
    lessons(words, {"i_a": [a], "i_b": [b, c]})
    said = Batch("blue", "meanwhile", evidence=[Evidence(d, which, True, True)])
    meanwhile(monkeypatch, words.store, "write", lambda: words.store.write([said]))
    assert words.consolidate() == ()  # the next round sees what is left
    assert words.consolidate() == ("i_b",)
    assert {e.task_id for e in words.store.evidence("blue", insight_id="i_a")} == {a, b, c, d}


def test_a_lesson_is_kept_that_gets_support_while_its_only_run_is_forgotten(
    words: gmem.Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (play(words, dish).id for dish in ("leek", "onion"))
    lessons(words, {"i_a": [a]})
    said = Batch("blue", "meanwhile", evidence=[Evidence(b, "i_a", True, True)])
    meanwhile(monkeypatch, words.store, "write", lambda: words.store.write([said]))
    receipt = words.forget(task=a)
    assert receipt.tasks == (a,) and "i_a" in receipt.rebuild and "i_a" not in receipt.insights
    assert [e.task_id for e in words.store.evidence("blue", insight_id="i_a")] == [b]


@pytest.mark.parametrize("dimension", [8, 4])
def test_two_programs_that_store_the_first_task_at_once_keep_its_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dimension: int
) -> None:
    place = tmp_path / "m.gmem"
    early = gmem.Memory(place, team="blue", embedder=DeterministicFakeEmbedding(size=8))
    late = gmem.Memory(place, team="blue", embedder=DeterministicFakeEmbedding(size=dimension))
    with early, late:
        meanwhile(monkeypatch, late.store, "set_embedder", lambda: play(early, "leek", run_id="early"))
        play(late, "onion", run_id="late")
        assert late.store.embedder() == early.store.embedder()
        same = dimension == 8
        assert sorted(late.store.vectors("blue", ["early", "late"])) == ["early", "late"][: 1 + same]
        assert [n.code for n in late.notices] == ([] if same else ["not-embedded"])
