"""The store behaves as LangGraph's own, keeps what it is given, and keeps teams apart."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph_teams import ask
from stories import play
from test_at_once import meanwhile

from gmem import Memory
from gmem.adapters.langgraph import GMemStore, attach
from gmem.errors import InvalidInput


def plain(items: Any) -> Any:
    return sorted((i.namespace, i.key, repr(i.value)) for i in items)


def test_it_answers_as_the_store_of_langgraph_does(words: Memory) -> None:
    dice = Random(7)
    both: list[BaseStore] = [GMemStore(words), InMemoryStore()]
    spaces = [("a",), ("a", "b"), ("a", "c"), ("d", "b"), ("ab", "c"), ("d",)]
    for _ in range(150):
        space, key = dice.choice(spaces), f"k{dice.randrange(4)}"
        kind, value = dice.random(), {"n": dice.randrange(5), "of": dice.choice(["x", "y"]), "in": {"z": [1, 2]}}
        for store in both:
            if kind < 0.6:
                store.put(space, key, value)
            elif kind < 0.8:
                store.delete(space, key)
        mine, theirs = (s.get(space, key) for s in both)
        assert (mine and mine.value) == (theirs and theirs.value)
        filters: Any = dice.choice([None, {"of": "x"}, {"n": {"$gte": 2}}, {"n": {"$ne": 1}, "in": {"z": [1, 2]}}])
        prefix = dice.choice([(), ("a",), ("d",), ("a", "b")])
        found, expected = (plain(s.search(prefix, filter=filters, limit=100)) for s in both)
        assert found == expected
    for store in both:
        for space in spaces:  # LangGraph's own remembers namespaces that are empty by now
            store.put(space, "k0", {"n": 1})
    for options in ({}, {"prefix": ("a",)}, {"suffix": ("b",)}, {"prefix": ("*", "c")}, {"max_depth": 1}, {"limit": 2}):
        assert both[0].list_namespaces(**options) == both[1].list_namespaces(**options)


def test_items_are_found_by_their_words(words: Memory) -> None:
    store = GMemStore(words)
    store.put(("notes",), "tea", {"text": "green tea wants water of eighty degrees", "n": 1})
    store.put(("notes",), "dog", {"text": "the dog sleeps on the sofa", "n": 2})
    store.put(("notes",), "secret", {"text": "green tea in secret"}, index=False)
    store.put(("notes",), "part", {"text": "green tea", "about": "coffee"}, index=["about"])
    found = store.search(("notes",), query="which water for green tea?", limit=10)
    assert found[0].key == "tea" and found[0].score and found[-1].key == "secret" and found[-1].score is None
    assert [i.key for i in store.search(("notes",), query="coffee", limit=1)] == ["part"]
    assert store.search(("other",), query="tea") == []


def test_what_is_put_survives_and_belongs_to_one_team(tmp_path: Path) -> None:
    place = tmp_path / "team.gmem"
    with Memory(place, team="blue", embedder="none") as blue, Memory(place, team="red", embedder="none") as red:
        GMemStore(blue).put(("users", "ann"), "likes", {"food": "pizza"})
        before = GMemStore(blue).get(("users", "ann"), "likes")
        GMemStore(blue).put(("users", "ann"), "likes", {"food": "pasta"})
        assert GMemStore(red).get(("users", "ann"), "likes") is None and GMemStore(red).search(()) == []
        assert blue.tasks() == [] and blue.recall("pasta").text == "" and blue.learn() == 0
    with Memory(place, team="blue", embedder="none") as again:
        item = GMemStore(again).get(("users", "ann"), "likes")
        assert item is not None and before is not None and item.value == {"food": "pasta"}
        assert item.created_at == before.created_at <= before.updated_at <= item.updated_at
        assert again.store.check() == []


def test_namespaces_cannot_be_mixed_up(words: Memory) -> None:
    store = GMemStore(words)
    store.put(("a", "b"), "c", {"n": 1})
    store.put(("a",), "b", {"n": 2})
    store.put(("a",), 'b"],"c', {"n": 3})
    assert [store.get(*w).value["n"] for w in ((("a", "b"), "c"), (("a",), "b"), (("a",), 'b"],"c'))] == [1, 2, 3]  # type: ignore[union-attr]


def test_what_cannot_be_kept_is_refused(words: Memory) -> None:
    store = GMemStore(words)
    with pytest.raises(InvalidInput, match="JSON"):
        store.put(("a",), "k", {"when": object()})
    with pytest.raises(InvalidInput, match="comparison"):
        store.put(("a",), "k", {"n": 1})
        store.search(("a",), filter={"n": {"$in": [1]}})
    with pytest.raises(InvalidInput, match="Memory"):
        GMemStore("team.gmem")  # type: ignore[arg-type]


def test_an_item_that_is_put_while_the_memory_moves_to_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (DeterministicFakeEmbedding(size=size) for size in (8, 4))
    with Memory(tmp_path / "m.gmem", embedder=old) as memory:
        play(memory, "leek")  # the first run records the model
        store = GMemStore(memory)
        store.put(("a",), "first", {"text": "a leek"})
        meanwhile(monkeypatch, memory.store, "write", lambda: memory.reembed(new))
        store.put(("a",), "late", {"text": "an onion"})
        ids = memory.store.task_ids(store.team)
        assert {len(v) for v in memory.store.vectors(store.team, ids).values()} == {4}
        assert memory.store.vectors(store.team, ids).keys() == set(ids) and len(ids) == 2
        assert store.get(("a",), "late").value == {"text": "an onion"}  # type: ignore[union-attr]


def test_a_batch_is_written_whole_and_the_last_write_counts(words: Memory) -> None:
    store = GMemStore(words)
    store.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "k", {"n": 2}), PutOp(("a",), "j", {"n": 3})])
    assert {i.key: i.value["n"] for i in store.search(("a",))} == {"k": 2, "j": 3}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, LangGraph does not tell awaited nodes of their store")
def test_awaited_and_in_a_graph_that_is_attached(words: Memory) -> None:
    async def node(state: MessagesState) -> dict[str, Any]:
        store = get_store()
        await store.aput(("seen",), "last", {"text": state["messages"][-1].text})
        found = await store.asearch(("seen",))
        assert await store.alist_namespaces() == [("seen",)]
        return {"messages": [AIMessage(f"I know {found[0].value['text']}")]}

    graph = StateGraph(MessagesState).add_node("a", node).add_edge(START, "a").compile(store=GMemStore(words))
    out = asyncio.run(attach(graph, words).ainvoke(ask("hello")))
    assert out["messages"][-1].text == "I know hello" and len(words.tasks()) == 1
