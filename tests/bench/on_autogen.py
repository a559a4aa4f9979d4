"""The measured team on AutoGen: agents in a round robin, each of which may call a tool before it speaks."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage

import gmem
from gmem.adapters.autogen import attach

from ..ag_teams import client
from .adapters import AGENTS, Go

__all__ = ["build"]


async def look(place: str) -> str:
    """Look at a place."""
    return f"there is nothing new at {place}"


def build(turns: int, tools: int, memory: gmem.Memory | None) -> Go:
    """Make a team, attached to a memory if one is given."""
    agents: list[Any] = [_agent(agent, turns, tools) for agent in AGENTS]
    team = RoundRobinGroupChat(agents, max_turns=turns)
    if memory is not None:
        attach(team, memory, judge=lambda result: True)

    async def go(query: str) -> object:
        return await team.run(task=query)

    return go


def _agent(agent: str, turns: int, tools: int) -> AssistantAgent:
    answers: list[Any] = []
    for number in range(turns):
        if tools:
            answers.append(_calls(number, tools))
        answers.append(f"{agent} says {number}: the work goes on as was planned")
    return AssistantAgent(
        agent, client(*answers), system_message=f"You are {agent}.", tools=[look] if tools else None,
        max_tool_iterations=2,
    )  # fmt: skip


def _calls(number: int, tools: int) -> CreateResult:
    calls = [FunctionCall(id=f"{number}-{n}", name="look", arguments=f'{{"place": "shelf {n}"}}') for n in range(tools)]
    usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
    return CreateResult(finish_reason="function_calls", content=calls, usage=usage, cached=False)
