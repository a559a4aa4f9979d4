"""The measured team on LangGraph: agents in a ring, each a node that may call a tool before it speaks."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

import gmem
from gmem.adapters.langgraph import attach

from ..langgraph_teams import ask, scripted
from .adapters import AGENTS, Go

__all__ = ["build"]


async def look(place: str) -> str:
    """Look at a place."""
    return f"there is nothing new at {place}"


def build(turns: int, tools: int, memory: gmem.Memory | None) -> Go:
    """Make a team, attached to a memory if one is given."""
    graph = StateGraph(MessagesState)
    before = START
    for number, agent in enumerate(islice(cycle(AGENTS), turns)):
        place = f"{agent}_{number}"
        graph.add_node(place, _agent(agent, number, tools) if tools else _speaker(agent, number))
        graph.add_edge(before, place)
        before = place
    app: Any = graph.compile()
    if memory is not None:
        roles = {f"{agent}_{number}": agent for number, agent in enumerate(islice(cycle(AGENTS), turns))}
        attach(app, memory, roles=roles, judge=lambda state: True)

    async def go(query: str) -> object:
        return await app.ainvoke(ask(query))

    return go


def _speaker(agent: str, number: int) -> Any:
    model = scripted(f"{agent} says {number}: the work goes on as was planned")

    async def speak(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke([("system", f"You are {agent}."), *state["messages"]])]}

    return speak


def _agent(agent: str, number: int, tools: int) -> Any:
    calls = [{"name": "look", "args": {"place": f"shelf {n}"}, "id": f"{number}-{n}"} for n in range(tools)]
    model = scripted(AIMessage("", tool_calls=calls), f"{agent} says {number}: the work goes on as was planned")
    return create_agent(model, [look], system_prompt=f"You are {agent}.", name=agent)
