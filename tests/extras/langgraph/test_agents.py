"""Agents of LangChain, and teams of them as langgraph-supervisor and langgraph-swarm make them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from langgraph_teams import ask, call, scripted

from gmem import Memory
from gmem.adapters.langgraph import GMemMiddleware, attach, attachment, get_memory


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


def go(app: Any, how: str, given: Any, *config: Any) -> Any:
    return app.invoke(given, *config) if how == "sync" else asyncio.run(app.ainvoke(given, *config))


def told(memory: Memory) -> list[tuple[str, str, str, tuple[int, ...]]]:
    last = memory.tasks()[-1]
    return [(u.agent, u.kind, u.content, u.inspired_by) for u in memory.interaction(last.id).utterances]


BOTH = pytest.mark.parametrize("how", ["sync", "async"])
ADDED = [
    ("solver", "tool_call", 'add({"x": 1, "y": 2})', ()),
    ("add", "tool_result", "3", (0,)),
    ("solver", "message", "three", (1,)),
]


@BOTH
def test_an_agent_is_one_agent_with_its_tools(words: Memory, how: str) -> None:
    model = scripted(call("add", x=1, y=2), "three")
    app = attach(create_agent(model, [add], system_prompt="You add.", name="solver"), words, judge=lambda state: True)
    go(app, how, ask("1+2"))
    assert told(words) == ADDED
    assert words.tasks()[0].agents["solver"] == "solver"
    go(app, how, ask("1+2"))
    assert "<gmem-memory" in str(model.seen[-1][0].content) and model.seen[-1][0].type == "system"


@BOTH
def test_agents_in_nodes_and_in_functions(words: Memory, how: str) -> None:
    solver = create_agent(scripted(call("add", x=1, y=2), "three"), [add], name="solver")
    critic = create_agent(scripted("checked"), [])
    graph = StateGraph(MessagesState)
    graph.add_node("solver", solver)
    graph.add_node("critic", lambda state: {"messages": critic.invoke(state)["messages"][-1:]})
    graph.add_edge(START, "solver").add_edge("solver", "critic")
    go(attach(graph.compile(), words), how, ask("1+2"))
    assert told(words) == [*ADDED, ("critic", "message", "checked", (2,))]


@BOTH
def test_tools_that_are_called_at_once_stand_side_by_side(words: Memory, how: str) -> None:
    one, other = call("add", x=1, y=2), call("add", "call-2", x=3, y=4)
    calls = AIMessage("", tool_calls=[*one.tool_calls, *other.tool_calls])
    app = attach(create_agent(scripted(calls, "3 and 7"), [add], name="solver"), words)
    go(app, how, ask("1+2 and 3+4"))
    said = told(words)
    assert [s[1] for s in said] == ["tool_call", "tool_result", "tool_call", "tool_result", "message"]
    assert [s[3] for s in said] == [(), (0,), (), (2,), (1, 3)]


@pytest.mark.filterwarnings("ignore:create_react_agent")
@BOTH
def test_a_supervisor_hands_over_and_gets_it_back(words: Memory, how: str) -> None:
    math = create_agent(scripted("42"), [], name="math")
    boss = scripted(call("transfer_to_math"), "the answer is 42")
    app = attach(create_supervisor([math], model=boss, prompt="route", supervisor_name="boss").compile(), words)
    go(app, how, ask("6*7"))
    assert told(words) == [
        ("boss", "handoff", "transfer_to_math({}) hands over to math", ()),
        ("math", "message", "42", (0,)),
        ("boss", "message", "the answer is 42", (1,)),
    ]


@BOTH
def test_a_swarm_hands_over(words: Memory, how: str) -> None:
    alice = create_agent(scripted(call("transfer_to_bob")), [create_handoff_tool(agent_name="bob")], name="alice")
    bob = create_agent(scripted("bob is done"), [create_handoff_tool(agent_name="alice")], name="bob")
    app = attach(create_swarm([alice, bob], default_active_agent="alice").compile(), words)
    go(app, how, ask("do it"))
    assert told(words) == [
        ("alice", "handoff", "transfer_to_bob({}) hands over to bob", ()),
        ("bob", "message", "bob is done", (0,)),
    ]


@BOTH
def test_the_functional_api(words: Memory, how: str) -> None:
    @task
    def draft(topic: str) -> str:
        return f"a draft on {topic}"

    @task
    def merge(one: str, other: str) -> str:
        return f"{one}, and {other}"

    @entrypoint()
    def flow(topic: str) -> str:
        one, other = draft(topic), draft("the sea")
        return merge(one.result(), other.result()).result()

    assert attach(flow, words).invoke("the moon") == "a draft on the moon, and a draft on the sea"
    said = told(words)
    assert words.tasks()[0].query == "the moon"
    assert sorted(s[2] for s in said[:2]) == ["a draft on the moon", "a draft on the sea"]
    assert said[:2] == [("draft", "message", said[0][2], ()), ("draft", "message", said[1][2], ())]
    assert said[2:] == [("merge", "message", "a draft on the moon, and a draft on the sea", (0, 1))]


def test_a_node_may_ask_for_its_memory(words: Memory) -> None:
    asked: list[str] = []

    def node(state: MessagesState) -> dict[str, Any]:
        asked.append(get_memory())
        return {"messages": [("ai", "by heating it")]}

    app = attach(StateGraph(MessagesState).add_node("cook", node).add_edge(START, "cook").compile(), words,
                 judge=lambda state: True)  # fmt: skip
    app.invoke(ask("boil water"))
    app.invoke(ask("boil water"))
    assert asked[0] == "" and "by heating it" in asked[1] and get_memory() == ""


def test_a_user_says_what_a_node_said(words: Memory) -> None:
    def acts(state: dict[str, Any]) -> dict[str, Any]:
        return {"did": "open the door", "saw": "a garden", "score": 5}

    def utterances(node: str, update: Any) -> Any:
        yield "", update["did"], "action", None, ("world",)
        yield "world", update["saw"], "observation", update["score"]

    graph = StateGraph(dict).add_node("actor", acts).add_edge(START, "actor")
    attach(graph.compile(), words, utterances=utterances).invoke({"task": "get out"})
    said = words.interaction(words.tasks()[0].id).utterances
    assert words.tasks()[0].query == "get out"
    assert [(u.agent, u.kind, u.reward, u.to, u.inspired_by) for u in said] == [
        ("actor", "action", None, ("world",), ()),
        ("world", "observation", 5.0, (), (0,)),
    ]


@BOTH
def test_the_middleware_of_one_agent(words: Memory, how: str) -> None:
    model = scripted(call("add", x=1, y=2), "three")
    middleware = GMemMiddleware(words, "solver", judge=lambda state: True)
    agent = create_agent(
        model, [add], system_prompt="You add.", middleware=[middleware], checkpointer=InMemorySaver()
    )  # fmt: skip
    out = go(agent, how, ask("1+2"), {"configurable": {"thread_id": "1"}})
    assert told(words) == ADDED and words.tasks()[0].outcome == "resolved"
    out = go(agent, how, ask("1+2"), {"configurable": {"thread_id": "2"}})
    assert str(model.seen[-1][0].content).startswith("You add.\n\n<gmem-memory ")
    assert "gmem" not in repr(out) and "gmem" not in repr(agent.get_state({"configurable": {"thread_id": "2"}}).values)
    assert len(words.tasks()) == 2 and told(words) == ADDED


def test_the_middleware_leaves_it_to_an_attached_team(words: Memory) -> None:
    agent = create_agent(scripted("three"), [], middleware=[GMemMiddleware(words, "solver")], name="solver")
    with attach(agent, words) as app:
        app.invoke(ask("1+2"))
    assert [t.source for t in words.tasks()] == ["langgraph"] and attachment is not None
