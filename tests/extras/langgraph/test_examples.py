"""Teams as the frameworks' own pages build them give the same, with an empty memory and without one.

The programs use what those pages use, in the same way; the words are ours, and the models answer from a list.
"""

from __future__ import annotations

import asyncio
import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from langgraph_teams import Scripted, call, scripted

from gmem import Memory
from gmem.adapters.langgraph import attach

RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
THREAD: Any = {"configurable": {"thread_id": "1"}}


def add(a: float, b: float) -> float:
    """Give the sum."""
    return a + b


def look_up(query: str) -> str:
    """Look something up."""
    return "North has 12 people, South has 30."


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]
    llm_calls: int


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def hello() -> tuple[Any, list[Any], list[Scripted]]:
    """The smallest graph: one node that says something."""

    def mock_llm(state: MessagesState) -> dict[str, Any]:
        return {"messages": [{"role": "ai", "content": "good morning"}]}

    graph = StateGraph(MessagesState)
    graph.add_node(mock_llm)
    graph.add_edge(START, "mock_llm")
    graph.add_edge("mock_llm", END)
    return graph.compile(), [user("morning!")], []


def calculator() -> tuple[Any, list[Any], list[Scripted]]:
    """The quickstart of the graph API: a model, a node for its tools, and a condition between them."""
    model = scripted(call("plus", a=3, b=4), "seven")

    @tool
    def plus(a: int, b: int) -> int:
        """Give the sum."""
        return a + b

    tools = {plus.name: plus}
    bound = model.bind_tools([plus])

    def llm_call(state: dict[str, Any]) -> dict[str, Any]:
        asked = [SystemMessage("You do sums."), *state["messages"]]
        return {"messages": [bound.invoke(asked)], "llm_calls": state.get("llm_calls", 0) + 1}

    def tool_node(state: dict[str, Any]) -> dict[str, Any]:
        calls = state["messages"][-1].tool_calls
        return {"messages": [ToolMessage(tools[c["name"]].invoke(c["args"]), tool_call_id=c["id"]) for c in calls]}

    def should_continue(state: State) -> Literal["tool_node", "__end__"]:
        return "tool_node" if state["messages"][-1].tool_calls else END

    graph = StateGraph(State)
    graph.add_node("llm_call", llm_call)
    graph.add_node("tool_node", tool_node)
    graph.add_edge(START, "llm_call")
    graph.add_conditional_edges("llm_call", should_continue, ["tool_node", END])
    graph.add_edge("tool_node", "llm_call")
    return graph.compile(), [{"messages": [HumanMessage("3 and 4?")]}], [model]


def agent() -> tuple[Any, list[Any], list[Scripted]]:
    """The quickstart of LangChain: an agent with a tool and a system prompt, that remembers a conversation."""
    model = scripted(call("look_up", query="people"), "forty-two people", "you are welcome")
    app = create_agent(model, tools=[look_up], system_prompt="You help.", checkpointer=InMemorySaver())
    return app, [user("how many people?"), user("thank you")], [model]


def supervisor() -> tuple[Any, list[Any], list[Scripted]]:
    """A supervisor with an expert on sums and one who looks things up."""
    sums, looks = scripted(call("add", a=12, b=30), "42"), scripted(call("look_up", query="people"), "12 and 30")
    boss = scripted(call("transfer_to_research_expert", "h1"), call("transfer_to_math_expert", "h2"), "42 in all")
    math = create_react_agent(model=sums, tools=[add], name="math_expert", prompt="You do sums.")
    research = create_react_agent(model=looks, tools=[look_up], name="research_expert", prompt="You look up.")
    team = create_supervisor([research, math], model=boss, prompt="You lead an expert on sums and one who looks up.")
    return team.compile(), [user("how many people do North and South have?")], [sums, looks, boss]


def swarm() -> tuple[Any, list[Any], list[Scripted]]:
    """Two agents who hand a conversation over to each other, in a thread that goes on."""
    first = scripted(call("transfer_to_bob", "h1"), call("add", "a1", a=5, b=7), "12")
    second = scripted("ahoy", call("transfer_to_alice", "h2"))
    to_bob = create_handoff_tool(agent_name="Bob", description="Hand over to Bob")
    to_alice = create_handoff_tool(agent_name="Alice", description="Hand over to Alice, who does sums")
    alice = create_agent(first, tools=[add, to_bob], system_prompt="You are Alice.", name="Alice")
    bob = create_agent(second, tools=[to_alice], system_prompt="You are Bob.", name="Bob")
    app = create_swarm([alice, bob], default_active_agent="Alice").compile(checkpointer=InMemorySaver())
    return app, [user("let me talk to Bob"), user("what is 5 + 7?")], [first, second]


EXAMPLES: list[Callable[[], tuple[Any, list[Any], list[Scripted]]]] = [hello, calculator, agent, supervisor, swarm]


def plain(found: Any) -> Any:
    """Give a state without the ids of messages and calls, which LangGraph draws anew in every run."""
    if isinstance(found, BaseMessage):
        return type(found).__name__, found.model_dump(exclude={"id"})
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return [plain(one) for one in found] if isinstance(found, (list, tuple)) else found


def played(
    example: Callable[[], tuple[Any, list[Any], list[Scripted]]], how: str, memory: Memory | None
) -> tuple[str, int]:  # fmt: skip
    """Run an example; gives what came out and what the models were asked, and how many tasks it had."""
    app, given, models = example()
    if memory is not None:
        attach(app, memory)  # nobody judges, and what nobody judged is told to nobody

    async def collected(one: Any) -> list[Any]:
        return [step async for step in app.astream(one, THREAD)]

    ways: dict[str, Callable[[Any], Any]] = {
        "invoke": lambda one: app.invoke(one, THREAD),
        "ainvoke": lambda one: asyncio.run(app.ainvoke(one, THREAD)),
        "stream": lambda one: list(app.stream(one, THREAD)),
        "astream": lambda one: asyncio.run(collected(one)),
    }
    out = plain([ways[how](one) for one in given])
    asked = plain([model.seen for model in models])
    if memory is not None:
        app.detach()
    return _numbered(out, asked), len(given)


def _numbered(*found: Any) -> str:
    """Write it out, with a number for each id that is drawn at random, such as those of calls that hand back."""
    text = repr(found)
    for number, id in enumerate(dict.fromkeys(RANDOM.findall(text))):
        text = text.replace(id, f"id {number}")
    return text


@pytest.mark.filterwarnings("ignore:create_react_agent")
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_a_published_team_gives_the_same_with_an_empty_memory(
    words: Memory, example: Callable[[], tuple[Any, list[Any], list[Scripted]]], how: str
) -> None:
    without, _ = played(example, how, None)
    attached, tasks = played(example, how, words)
    assert attached == without
    assert len(words.tasks()) == tasks and all(words.interaction(t.id).utterances for t in words.tasks())
