"""Nodes that run side by side come in the same order as without a memory, however long each recall takes."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from langgraph_teams import ask, speaker

from gmem import Memory
from gmem.adapters.langgraph import attach, attachment

MODES = ["values", "updates", "messages", "tasks", "debug", "custom"]
KINDS = ["model", "plain", "graph", "agent"]
PASSING = ("id", "timestamp", "run_id", "ns", "checkpoint_ns", "langgraph_checkpoint_ns", "__pregel_task_id", "run_ids",
           "parent_ids", "trigger_call_id")  # fmt: skip
"""Fields that differ from run to run."""


class Late(FakeMessagesListChatModel):
    """Answers after a number of rounds of the event loop, and in no thread."""

    hops: int = 0

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        for _ in range(self.hops):
            await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(self.responses[0].content)))])


def team_of(seed: int, *, blocking: bool = False) -> Any:
    """Make a graph of nodes that all run side by side: with a model, without one, a graph, or an agent."""
    rng = random.Random(seed)
    graph = StateGraph(MessagesState)
    for number in range(6):
        name = f"n{number}"
        graph.add_node(name, _node(name, rng.choice(KINDS), rng.randrange(6), blocking=blocking))
        graph.add_edge(START, name)
    return graph.compile()


def _node(name: str, kind: str, hops: int, *, blocking: bool = False) -> Any:
    model = Late(responses=[AIMessage(name)], hops=hops)

    async def aspeak(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def aplain(state: MessagesState) -> dict[str, Any]:
        for _ in range(hops):
            await asyncio.sleep(0)
        return {"messages": [AIMessage(name)]}

    speak: Any = speaker(model) if blocking else aspeak
    plain: Any = (lambda state: {"messages": [AIMessage(name)]}) if blocking else aplain

    if kind == "graph":
        inner = StateGraph(MessagesState).add_node(f"{name}-a", speak).add_node(f"{name}-b", plain)
        return inner.add_edge(START, f"{name}-a").add_edge(f"{name}-a", f"{name}-b").compile()
    if kind == "agent":
        return create_agent(model, [], name=f"agent of {name}")
    return {"model": speak, "plain": plain}[kind]


def told(value: Any) -> Any:
    """Give what does not differ from run to run."""
    if isinstance(value, BaseMessage):
        return (value.type, value.content, value.name)
    if isinstance(value, dict):
        return {k: told(v) for k, v in value.items() if k not in PASSING}
    if isinstance(value, Command):
        return told(value.update)
    if isinstance(value, (list, tuple)):
        return [told(v) for v in value]
    return value.partition(":")[0] if isinstance(value, str) else value


def streamed(app: Any) -> list[Any]:
    async def go() -> list[Any]:
        stream = app.astream(ask("boil water"), stream_mode=MODES, subgraphs=True)
        return [told(chunk) async for chunk in stream]

    return asyncio.run(go())


def slowly(memory: Memory, seed: int, patch: pytest.MonkeyPatch) -> None:
    rng, recall = random.Random(seed), memory.recall_each

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(rng.choice([0, 0.001, 0.004]))
        return recall(*args, **kwargs)

    patch.setattr(memory, "recall_each", slow)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_streamed_comes_in_the_same_order(words: Memory, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    without = streamed(team_of(seed))
    slowly(words, seed, monkeypatch)
    app = attach(team_of(seed), words)
    assert streamed(app) == without
    assert streamed(app) == without  # now that it is known who calls a model


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental")
@pytest.mark.parametrize("version", ["v2", "v3"])  # those of v1 come in any order, without a memory too
@pytest.mark.parametrize("seed", range(4))
def test_so_do_events(words: Memory, seed: int, version: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def events(app: Any) -> list[Any]:
        stream = app.astream_events(ask("boil water"), version=version)
        return [told(event) async for event in (await stream if version == "v3" else stream)]

    without = asyncio.run(events(team_of(seed)))
    slowly(words, seed, monkeypatch)
    assert asyncio.run(events(attach(team_of(seed), words))) == without
    assert len(words.tasks()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_called_in_threads_one_at_a_time_they_are_in_order_too(
    words: Memory, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_ways(app: Any) -> list[Any]:
        one: Any = {"max_concurrency": 1}
        streams = [app.stream(ask("boil water"), one, stream_mode=mode) for mode in ("values", "updates", "debug")]
        return [told(list(stream)) for stream in streams] + [told(app.invoke(ask("boil water"), one))]

    without = all_ways(team_of(seed, blocking=True))
    slowly(words, seed, monkeypatch)
    assert all_ways(attach(team_of(seed, blocking=True), words)) == without


def test_only_who_calls_a_model_is_recalled_for(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    recall, asked = words.recall_each, []

    def counted(query: str, roles: Any, **settings: Any) -> Any:
        asked.append([*roles])
        return recall(query, roles, **settings)

    monkeypatch.setattr(words, "recall_each", counted)
    graph = StateGraph(MessagesState).add_node("a", _node("a", "model", 0)).add_node("b", _node("b", "plain", 0))
    app = attach(graph.add_edge(START, "a").add_edge("a", "b").compile(), words, roles={"a": "cook"})
    for _ in range(3):
        asyncio.run(app.ainvoke(ask("boil water")))
    assert asked == [["cook", "b"], ["cook"], ["cook"]]
    assert attachment(app).last is not None
