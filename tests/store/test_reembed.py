"""Moving to another embedding model: what others store, judge and forget meanwhile is neither lost nor mixed up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from neo4j_fixture import Access
from stories import play
from test_at_once import meanwhile

import gmem
from gmem.errors import EmbedderMismatch, UnknownId
from gmem.graphs import Batch
from gmem.model import Model, Task
from gmem.reembed import _write
from gmem.testing.examples import EXAMPLE_MODEL, example_vector

WIDTH = 8


class Turned:
    """A model that gives each text a direction of its own; two of them give the same text other directions."""

    def __init__(self, model: str, width: int = WIDTH) -> None:
        self.model, self._width = model, width
        self.asked: Callable[[], object] = lambda: None

    def _vector(self, text: str) -> list[float]:
        seed = sum(ord(c) * (n + 1) for n, c in enumerate(self.model + text))
        return [float(x) for x in np.random.default_rng(seed).normal(size=self._width)]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked()
        return [self._vector(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)


Open = Callable[..., gmem.Memory]


@pytest.fixture(params=["file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Give what opens the same memory again and again, as other programs would."""
    neo4j: Access | None = request.getfixturevalue("neo4j") if request.param == "neo4j" else None
    memories: list[gmem.Memory] = []

    def open(**options: Any) -> gmem.Memory:
        place = tmp_path / "m.gmem" if neo4j is None else neo4j.uri
        memories.append(gmem.Memory(place, team="blue", auth=None if neo4j is None else neo4j.auth, **options))
        return memories[-1]

    yield open
    for memory in memories:
        assert memory.store.check() == []
        memory.close()


on_both = pytest.mark.parametrize("opened", ["file", pytest.param("neo4j", marks=pytest.mark.neo4j)], indirect=True)


def of_one_model(memory: gmem.Memory, model: Turned, but: tuple[str, ...] = ()) -> None:
    """Check that every task has the vector of that model, and no other."""
    tasks = memory.tasks()
    vectors = memory.store.vectors(memory.team, [task.id for task in tasks])
    assert vectors.keys() == {task.id for task in tasks} - set(but)
    recorded = memory.store.embedder()
    assert recorded is not None and recorded.name == f"langchain:Turned:{model.model}"
    for task in tasks:
        if task.id not in but:
            raw = np.array(model.embed_query(task.query))
            assert np.allclose(vectors[task.id], raw / np.linalg.norm(raw), atol=1e-5), task.id


@pytest.mark.parametrize("width", [WIDTH, 5])
@pytest.mark.parametrize("when", ["embedding", "moving", "moved"])
def test_a_run_that_ends_meanwhile_gets_its_vector(
    opened: Open, monkeypatch: pytest.MonkeyPatch, when: str, width: int
) -> None:
    old, new = Turned("old"), Turned("new", width)
    memory = opened(embedder=old)
    play(memory, "leek", run_id="first")

    def late() -> None:
        new.asked = lambda: None
        play(memory, "bean", run_id="late")

    if when == "embedding":
        new.asked = late
    else:
        set_embedder = memory.store.set_embedder

        def moving(*args: Any, **kwargs: Any) -> None:
            monkeypatch.undo()
            if when == "moving":
                late()
            set_embedder(*args, **kwargs)
            if when == "moved":
                late()

        monkeypatch.setattr(memory.store, "set_embedder", moving)
    assert memory.reembed(new) == 2
    of_one_model(memory, new)
    assert not memory.notices and memory.recall("Cook a bean in the pot")


@pytest.mark.parametrize("width", [WIDTH, 5])
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("call", ["candidates", "write"])
def test_a_run_that_was_embedded_before_the_move_and_is_stored_after_it(
    opened: Open, monkeypatch: pytest.MonkeyPatch, call: str, other: bool, width: int
) -> None:
    new = Turned("new", width)
    memory = opened(embedder=Turned("old"))
    play(memory, "leek", run_id="first")
    mover = opened(embedder=Turned("old")) if other else memory
    meanwhile(monkeypatch, memory.store, call, lambda: mover.reembed(new))
    play(memory, "bean", run_id="late")
    of_one_model(opened(embedder=new), new, but=("late",) if other else ())
    assert [n.code for n in memory.notices] == (["not-embedded"] if other else [])


def test_a_run_of_a_memory_without_a_model_that_gets_one(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Turned("new")
    memory, other = opened(embedder="none"), opened(embedder="none")
    play(memory, "leek", run_id="first")
    meanwhile(monkeypatch, memory.store, "write", lambda: memory.reembed(new))
    play(memory, "bean", run_id="late")
    of_one_model(memory, new)
    play(other, "kale", run_id="blind")
    of_one_model(memory, new, but=("blind",))
    assert [n.code for n in other.notices] == ["not-embedded"] and other.recall("Cook a bean in the pot")
    memory.reembed("none")
    assert play(memory, "swede").id and not memory.notices and memory.stats().vectors == 0


@on_both
def test_what_is_forgotten_and_judged_meanwhile(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Turned("new", 5)
    memory = opened(embedder=Turned("old"))
    for dish in ("leek", "bean", "kale"):
        play(memory, dish, run_id=dish)
    meanwhile(monkeypatch, memory.store, "set_embedder", lambda: memory.forget(task="bean"))
    assert memory.reembed(new) == 2
    of_one_model(memory, new)
    with pytest.raises(UnknownId):
        memory.get("bean")
    meanwhile(monkeypatch, memory.store, "candidates", lambda: memory.reembed(Turned("third")))
    assert memory.feedback("kale", outcome="failed").outcome == "failed"
    of_one_model(memory, Turned("third"))


@pytest.mark.parametrize("to", [Turned("new", 5), "none"])
def test_a_recall_that_was_begun_before_the_move(opened: Open, monkeypatch: pytest.MonkeyPatch, to: Any) -> None:
    memory = opened(embedder=Turned("old"))
    play(memory, "leek")
    meanwhile(monkeypatch, memory.store, "candidates", lambda: memory.reembed(to))
    assert memory.recall("Cook a leek in the pot").solved


@on_both
def test_threads_that_store_all_the_time(opened: Open) -> None:
    memory = opened(embedder=Turned("old"))
    play(memory, "leek")
    done, failed = threading.Event(), list[BaseException]()

    def write(who: int) -> None:
        try:
            for n in range(60):
                play(memory, f"dish {who}", run_id=f"run-{who}-{n}")
                if done.is_set():
                    break
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    last = Turned("old")
    for n in range(3):
        last = Turned(f"model {n}", (WIDTH, 5)[n % 2])
        memory.reembed(last)
    done.set()
    for thread in threads:
        thread.join()
    assert not failed and not memory.notices
    of_one_model(memory, last)


def test_late_vectors_go_to_their_own_team_and_to_no_other_model(words: gmem.Memory) -> None:
    store = words.store
    store.set_embedder(EXAMPLE_MODEL)
    for team in ("blue", "red"):
        store.write([Batch(team, "op", tasks=[Task("same", team, f"a task of {team}")])])
    late = {("blue", "same"): example_vector(1), ("red", "same"): example_vector(2), ("red", "gone"): example_vector(3)}
    with pytest.raises(EmbedderMismatch):
        _write(store, Model("third", EXAMPLE_MODEL.dimension), late)
    assert not store.vectors("blue", ["same"]) and not store.vectors("red", ["same"])
    _write(store, EXAMPLE_MODEL, late)
    for key in (("blue", "same"), ("red", "same")):
        assert np.array_equal(store.vectors(key[0], ["same"])["same"], late[key])
