"""Who speaks when: the same with a memory as without, however long each recall takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ag_teams import Speaker, calling, client
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow, RoundRobinGroupChat
from autogen_agentchat.tools import AgentTool

from gmem import Memory
from gmem.adapters.autogen import attach


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "team.gmem", embedder="none") as opened:
        yield opened


def slowly(memory: Memory, patch: pytest.MonkeyPatch, rng: random.Random) -> None:
    """Let each recall take a while of its own."""
    recall = memory.recall_each

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(rng.choice([0, 0.001, 0.005]))
        return recall(*args, **kwargs)

    patch.setattr(memory, "recall_each", slow)


async def look() -> str:
    """Look."""
    return "nothing"


def fan(rng: random.Random) -> GraphFlow:
    """Make a team whose members speak at once: with tools and without, agents of one's own, a person."""

    def member(number: int) -> Any:
        name = f"m{number}"
        kind = rng.randrange(4)
        if kind == 0:
            return Speaker(name)
        if kind == 1:
            return UserProxyAgent(name, input_func=agrees)  # awaited: a plain function would be called in a thread
        if kind == 2:
            return AssistantAgent(name, client(f"{name} answers"), model_client_stream=rng.random() < 0.5)
        return AssistantAgent(name, client(calling("1", "look"), f"{name} looked"), tools=[look],
                              reflect_on_tool_use=True)  # fmt: skip

    async def agrees(prompt: str, cancellation_token: Any = None) -> str:
        return "I agree"

    first, last = Speaker("first"), AssistantAgent("last", client("all is said"))
    members = [member(number) for number in range(rng.randint(2, 5))]
    plan = DiGraphBuilder().add_node(first).add_node(last)
    for one in members:
        plan.add_node(one).add_edge(first, one).add_edge(one, last)
    return GraphFlow([first, *members, last], graph=plan.build())


def tools_at_once(rng: random.Random) -> AssistantAgent:
    """Make an agent that calls several other agents at once."""
    names = [f"expert{number}" for number in range(rng.randint(2, 4))]
    experts = [AssistantAgent(n, client(calling("1", "look"), f"{n} looked"), tools=[look], reflect_on_tool_use=True)
               if rng.random() < 0.5 else AssistantAgent(n, client(f"{n} answers")) for n in names]  # fmt: skip
    calls = [calling(n, n, '{"task": "look"}') for n in names]
    calls[0].content = [call for c in calls for call in c.content if not isinstance(call, str)]
    return AssistantAgent(
        "chief", client(calls[0], "done"), tools=[AgentTool(e) for e in experts], max_tool_iterations=2
    )


async def said(team: Any) -> list[str]:
    """Give all that comes out of a team, in order."""
    return [str(getattr(item, "content", item)) for item in [i async for i in team.run_stream(task="Go")][:-1]]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("make", [fan, tools_at_once])
def test_the_order_is_that_without_a_memory(
    make: Any, seed: int, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = asyncio.run(said(make(random.Random(seed))))
    team = make(random.Random(seed))
    slowly(memory, monkeypatch, random.Random(seed))
    with attach(team, memory):
        assert asyncio.run(said(team)) == plain


@pytest.mark.parametrize("seed", range(5))
def test_of_two_runs_at_once_the_first_goes_on(seed: int, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(team: Any) -> list[str]:
        ended = await asyncio.gather(*(team.run(task=f"Go {n}") for n in range(3)), return_exceptions=True)
        return [repr(e) if isinstance(e, Exception) else e.messages[0].content for e in ended]

    plain = asyncio.run(both(RoundRobinGroupChat([AssistantAgent("ann", client("yes"))], max_turns=1)))
    slowly(memory, monkeypatch, random.Random(seed))
    team = RoundRobinGroupChat([AssistantAgent("ann", client("yes"))], max_turns=1)
    with attach(team, memory):
        assert asyncio.run(both(team)) == plain
    assert [t.query for t in memory.tasks()] == ["Go 0"]


def test_a_run_that_is_cancelled_while_it_recalls_is_kept(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        task = asyncio.ensure_future(team.run(task="Go"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    recall = memory.recall_each

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.3)
        return recall(*args, **kwargs)

    monkeypatch.setattr(memory, "recall_each", slow)
    team = RoundRobinGroupChat([AssistantAgent("ann", client("yes"))], max_turns=1)
    with attach(team, memory, judge=lambda result: True) as attached:
        asyncio.run(go())
        assert attached.last is not None
        assert (attached.last.query, attached.last.outcome, attached.last.error) == ("Go", "unknown", "cancelled")
        assert not attached.scribes
        assert len(asyncio.run(team.run(task="Go on")).messages) == 2
