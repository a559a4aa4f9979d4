"""The kinds of team that AutoGen's own pages show, with a memory and without: nobody can tell the difference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ag_teams import calling, client
from autogen_agentchat.agents import AssistantAgent, MessageFilterAgent, MessageFilterConfig, PerSourceFilter
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import (
    HandoffTermination,
    MaxMessageTermination,
    SourceMatchTermination,
    TextMentionTermination,
)
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_agentchat.ui import Console

from gmem import Memory
from gmem.adapters.autogen import attach


async def tide(port: str) -> str:
    """Look up when the tide is high."""
    return f"High tide in {port} is at 14:10."


def one_with_a_tool() -> Any:
    model = client(calling("1", "tide", '{"port": "Emden"}'), "At 14:10.")
    return AssistantAgent("pilot", model, tools=[tide], system_message="You know the tides.", reflect_on_tool_use=True)


def streamed() -> Any:
    model = client("Four words for you.")
    return AssistantAgent("pilot", model, model_client_stream=True)


def writer_and_critic() -> Any:
    writer = AssistantAgent("writer", client("Grey sea.", "Grey sea, one gull."), system_message="You write.")
    critic = AssistantAgent("critic", client("Add a bird.", "APPROVE"), system_message="Say APPROVE when it is good.")
    return RoundRobinGroupChat([writer, critic], termination_condition=TextMentionTermination("APPROVE"))


def selected() -> Any:
    planner = AssistantAgent("planner", client("Look it up, then add.", "TERMINATE"), description="plans")
    searcher = AssistantAgent("searcher", client(calling("1", "tide", '{"port": "Emden"}')), tools=[tide],
                              description="looks up")  # fmt: skip
    stop = TextMentionTermination("TERMINATE") | MaxMessageTermination(10)
    return SelectorGroupChat([planner, searcher], client("planner", "searcher", "planner"), termination_condition=stop)


def handed_over() -> Any:
    clerk = AssistantAgent("clerk", client(calling("1", "transfer_to_refunder")), handoffs=["refunder", "user"])
    refunder = AssistantAgent("refunder", client(calling("2", "transfer_to_user")), handoffs=["clerk", "user"])
    stop = HandoffTermination(target="user") | TextMentionTermination("TERMINATE")
    return Swarm([clerk, refunder], termination_condition=stop)


def graph() -> Any:
    writer, a, b, end = (AssistantAgent(n, client(f"{n} did it")) for n in ("writer", "grammar", "style", "reviewer"))
    seen = MessageFilterAgent(
        "reviewer", end, MessageFilterConfig(per_source=[PerSourceFilter(source="style", position="last", count=1)])
    )
    plan = DiGraphBuilder()
    for node in (writer, a, b, seen):
        plan.add_node(node)
    plan.add_edge(writer, a).add_edge(writer, b).add_edge(a, seen).add_edge(b, seen)
    return GraphFlow([writer, a, b, seen], graph=plan.build())


def agents_as_tools() -> Any:
    expert = AssistantAgent("expert", client("It is 42."), description="knows figures")
    tool = AgentTool(expert, return_value_as_last_message=True)
    return AssistantAgent("chief", client(calling("1", "expert", '{"task": "What is it?"}'), "So, 42."), tools=[tool],
                          max_tool_iterations=5)  # fmt: skip


def team_as_tool() -> Any:
    inner = RoundRobinGroupChat(
        [AssistantAgent("drafter", client("Grey sea.")), AssistantAgent("reader", client("Good."))],
        termination_condition=SourceMatchTermination(["reader"]),
    )
    tool = TeamTool(inner, name="desk", description="writes", return_value_as_last_message=True)
    return AssistantAgent("chief", client(calling("1", "desk", '{"task": "Write"}'), "Done."), tools=[tool],
                          reflect_on_tool_use=True)  # fmt: skip


def ledger(satisfied: bool, instruction: str) -> str:
    said = {
        "is_request_satisfied": satisfied, "is_in_loop": False, "is_progress_being_made": True,
        "next_speaker": "searcher", "instruction_or_question": instruction,
    }  # fmt: skip
    return json.dumps({name: {"reason": "so", "answer": answer} for name, answer in said.items()})


def magentic() -> Any:
    chief = client(
        "Known: little.", "Ask the searcher.", ledger(False, "Look it up."), ledger(True, "-"), "It is 14:10."
    )
    return MagenticOneGroupChat([AssistantAgent("searcher", client("14:10"))], model_client=chief)


TEAMS: list[Callable[[], Any]] = [
    one_with_a_tool, streamed, writer_and_critic, selected, handed_over, graph, agents_as_tools, team_as_tool, magentic,
]  # fmt: skip


def shown(items: list[Any]) -> list[Any]:
    """Give all that a team gives, but for ids, times and the ids that are made anew each time."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, TaskResult):
            found.append((shown(list(item.messages)), item.stop_reason))
        else:
            kept = item.model_dump(exclude={"id", "created_at", "full_message_id"})
            found.append((type(item).__name__, kept))
    return found


async def streaming(team: Any) -> list[Any]:
    return [item async for item in team.run_stream(task="When is the tide high?")]


async def running(team: Any) -> list[Any]:
    return [await team.run(task="When is the tide high?")]


async def printing(team: Any) -> list[Any]:
    return [await Console(team.run_stream(task="When is the tide high?"))]


@pytest.mark.parametrize("how", [streaming, running, printing])
@pytest.mark.parametrize("make", TEAMS)
def test_an_empty_memory_changes_nothing(make: Callable[[], Any], how: Callable[[Any], Any], tmp_path: Path) -> None:
    plain = shown(asyncio.run(how(make())))
    with Memory(tmp_path / "team.gmem", embedder="none") as memory:
        team = make()
        with attach(team, memory, judge=lambda result: True) as attached:
            assert shown(asyncio.run(how(team))) == plain
        assert attached.last is not None and attached.last.outcome == "resolved"
        assert memory.interaction(attached.last.id).utterances
