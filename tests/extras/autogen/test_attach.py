"""Attaching to AutoGen teams: what agents are given, what is kept, what comes back, and what may go wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from ag_teams import Speaker, calling, client, edges, system
from autogen_agentchat.agents import AssistantAgent, SocietyOfMindAgent, UserProxyAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.tools import AgentTool
from autogen_core import CancellationToken

from gmem import Memory
from gmem.adapters.autogen import GMemory, attach
from gmem.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "team.gmem", embedder="none") as opened:
        with opened.task("Refund order 16", agents={"ann": "ann", "bob": "bob"}) as run:
            run.say("ann", "Order 16 was paid twice; one payment is given back.")
            run.resolve()
        yield opened


def pair(*models: Any, turns: int = 4) -> RoundRobinGroupChat:
    return RoundRobinGroupChat(
        [AssistantAgent(n, m) for n, m in zip(("ann", "bob"), models, strict=False)], max_turns=turns
    )


def test_each_agent_is_told_once_a_turn_and_its_history_says_nothing_of_it(memory: Memory) -> None:
    first, second = client("a1", "a2"), client("b1", "b2")
    team = pair(first, second)
    before = [dict(vars(x)) for x in (team, *team._participants)]
    with attach(team, memory, judge=lambda r: True) as attached:
        assert attach(team, memory, judge=attached.judge) is attached
        asyncio.run(team.run(task="Refund order 17"))
        assert "gmem-memory" not in str(asyncio.run(team.save_state()))
    for told in (*system(first), *system(second)):
        assert len(told) == 1 and told[0].count("<gmem-memory") == 1
    for x, was in zip((team, *team._participants), before, strict=True):
        assert {k: v for k, v in vars(x).items() if k not in ("_initialized",)} == {
            k: v for k, v in was.items() if k not in ("_initialized",)
        }
    assert attached.last is not None and attached.last.outcome == "resolved"


def test_a_team_left_early_or_failing_is_kept_and_not_learned_from(memory: Memory) -> None:
    async def leave() -> None:
        stream = team.run_stream(task="Refund order 17")
        async for message in stream:
            if getattr(message, "source", "") == "ann":
                break
        await stream.aclose()

    team = pair(client("a1", "a2"), client("b1", "b2"))
    with attach(team, memory, judge=lambda r: True) as attached:
        asyncio.run(leave())
        assert attached.last is not None
        assert (attached.last.outcome, attached.last.error) == ("unknown", "cancelled")
    broken = pair(client("a1"), client())
    with attach(broken, memory, judge=lambda r: True) as attached:
        with pytest.raises(RuntimeError):
            asyncio.run(broken.run(task="Refund order 18"))
        assert attached.last is not None and attached.last.outcome == "unknown" and attached.last.error


def test_a_cancelled_run_is_kept(memory: Memory) -> None:
    class Slow(Speaker):
        async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
            await asyncio.sleep(0.2)
            return await super().on_messages(messages, cancellation_token)

    async def go(team: Any) -> None:
        token = CancellationToken()
        task = asyncio.create_task(team.run(task="Refund order 17", cancellation_token=token))
        await asyncio.sleep(0.1)
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    team = RoundRobinGroupChat([Slow("ann")], max_turns=3)
    with attach(team, memory) as attached:
        asyncio.run(go(team))
        assert attached.last is not None and attached.last.error == "cancelled"


def test_a_broken_memory_changes_nothing_and_the_run_is_learned_from_later(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the disk is full")

    plain = asyncio.run(pair(client("a1", "a2"), client("b1", "b2")).run(task="Refund order 17"))
    team = pair(client("a1", "a2"), client("b1", "b2"))
    with attach(team, memory, judge=lambda r: True) as attached, caplog.at_level(logging.WARNING, "gmem"):
        with monkeypatch.context() as patch:
            patch.setattr(memory, "recall_each", broken)
            patch.setattr(memory.store, "write", broken)
            result = asyncio.run(team.run(task="Refund order 17"))
        assert [m.to_text() for m in result.messages] == [m.to_text() for m in plain.messages]  # type: ignore[union-attr]
        assert sum("gmem" in r.getMessage() for r in caplog.records) == 1
        attached.flush()
        assert [t.query for t in memory.tasks(limit=1)] == ["Refund order 17"]


def test_an_agent_as_a_tool_builds_on_the_call(memory: Memory) -> None:
    inner = AssistantAgent("inner", client("found it"))
    outer = AssistantAgent("outer", client(calling("1", "inner", '{"task": "look"}'), "done"), tools=[AgentTool(inner)],
                           max_tool_iterations=2)  # fmt: skip
    with attach(outer, memory) as attached:
        asyncio.run(outer.run(task="Find it"))
        assert attached.last is not None
        assert edges(memory, attached.last.id) == {
            'inner({"task": "look"})': set(),
            "found it": {'inner({"task": "look"})'},
            "inner: found it": {'inner({"task": "look"})', "found it"},
            "done": {"inner: found it"},
        }


def test_a_society_of_mind_builds_on_what_its_team_said(memory: Memory) -> None:
    team = RoundRobinGroupChat([Speaker("i"), Speaker("j")], max_turns=2)
    mind = SocietyOfMindAgent("mind", team=team, model_client=client("summed up"))
    with attach(mind, memory) as attached:
        asyncio.run(mind.run(task="Think"))
        assert attached.last is not None
        assert edges(memory, attached.last.id) == {"i1": set(), "j1": {"i1"}, "summed up": {"i1", "j1"}}


def test_two_teams_at_once_do_not_mix(memory: Memory, tmp_path: Path) -> None:
    async def both() -> list[TaskResult]:
        return list(await asyncio.gather(one.run(task="First"), two.run(task="Second")))

    one = RoundRobinGroupChat([Speaker("a"), Speaker("b")], max_turns=6)
    two = RoundRobinGroupChat([Speaker("c"), Speaker("d")], max_turns=6)
    with attach(one, memory) as first, attach(two, memory) as second:
        asyncio.run(both())
        assert first.last is not None and second.last is not None
        assert {u.agent for u in memory.interaction(first.last.id).utterances} == {"a", "b"}
        assert {u.agent for u in memory.interaction(second.last.id).utterances} == {"c", "d"}


def test_gmemory_does_not_grow_and_can_be_made_again(memory: Memory) -> None:
    model = client("x1", "x2", "x3")
    part = GMemory(memory, role="ann")
    agent = AssistantAgent("ann", model, memory=[part])
    for number in (17, 18, 19):
        result = asyncio.run(agent.run(task=f"Refund order {number}"))
        assert [type(m).__name__ for m in result.messages] == ["TextMessage", "TextMessage"]
    assert [len(told) for told in system(model)] == [2, 2, 2]
    assert "gmem-memory" not in str(asyncio.run(agent.save_state()))
    again = GMemory.load_component(part.dump_component())
    assert asyncio.run(again.query("Refund order 17")).results
    asyncio.run(again.close())


def test_the_page_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/autogen.md").read_text("utf-8"), re.M | re.S)
    names: dict[str, Any] = {"__name__": "docs"}
    exec(code, names)  # noqa: S102  # our own text
    names["memory"].close()
    assert "Refund order 17" in capsys.readouterr().out


def test_the_block_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    (code,) = [block for block in found if "gmem.adapters.autogen" in block]
    names: dict[str, Any] = {"__name__": "readme"}
    exec(code, names)  # noqa: S102  # our own text
    (task,) = names["memory"].tasks()
    names["memory"].close()
    assert (task.query, task.outcome) == ("Refund order 17", "resolved")


def test_a_recall_that_hangs_is_not_waited_for(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(memory, "recall_each", lambda *args, **kwargs: waiting.wait(30))
    team = pair(client("a1", "a2"), client("b1", "b2"))
    with attach(team, memory, patience=0.05):
        result = asyncio.run(team.run(task="Refund order 17"))
    waiting.set()
    assert [m.to_text() for m in result.messages[1:]] == ["a1", "b1", "a2", "b2"]  # type: ignore[union-attr]


def test_a_note_as_a_user_message_and_an_agent_with_only_a_model(memory: Memory) -> None:
    class Own(Speaker):
        def __init__(self, model: Any) -> None:
            super().__init__("bob")
            self.model = model

        async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
            await self.model.create([m.to_model_message() for m in messages])
            return await super().on_messages(messages, cancellation_token)

    first, second = client("a1"), client("b1")
    team = RoundRobinGroupChat([AssistantAgent("ann", first), Own(second)], max_turns=2)
    with attach(team, memory, inject="user"):
        asyncio.run(team.run(task="Refund order 17"))
    assert [m.source for m in first.create_calls[0]["messages"][1:]] == ["gmem", "user"]
    assert [m.source for m in second.create_calls[0]["messages"]] == ["gmem", "user", "ann"]
    assert "create" not in vars(second)


def test_messages_as_the_user_says(memory: Memory) -> None:
    def acted(message: Any) -> list[tuple[Any, ...]] | None:
        return (
            [("ann", "go north", "action"), ("world", "a room", "observation", 0.5)] if message.source == "a" else None
        )

    team = RoundRobinGroupChat([Speaker("a"), Speaker("b")], max_turns=2)
    with attach(team, memory, utterances=acted) as attached:
        asyncio.run(team.run(task="Play"))
        assert attached.last is not None
        said = memory.interaction(attached.last.id).utterances
    assert [(u.agent, u.kind, u.reward, u.inspired_by) for u in said] == [
        ("ann", "action", None, ()), ("world", "observation", 0.5, (0,)), ("b", "message", None, (1,)),
    ]  # fmt: skip


def test_a_role_of_nobody_is_refused(memory: Memory) -> None:
    team = pair(client("a1"), client("b1"))
    with pytest.raises(InvalidInput, match=r"'bobb'.*ann, bob"):
        attach(team, memory, roles={"ann": "clerk", "bobb": "clerk"})
    assert "run_stream" not in vars(team)
    with attach(team, memory, roles={"bob": "clerk"}) as attached:
        assert attached.agents == {"ann": "", "bob": "clerk"}
    attach(team, memory, roles={"world": "game"}, utterances=lambda message: None).detach()


def test_a_person_and_a_reused_team(memory: Memory) -> None:
    async def twice(attached: Any) -> tuple[Any, TaskResult]:
        await team.run(task="Ask me")
        return attached.last, await team.run()

    person = UserProxyAgent("user_proxy", input_func=lambda prompt: "yes")
    team = RoundRobinGroupChat([Speaker("a"), person], max_turns=2)
    with attach(team, memory) as attached:
        first, _ = asyncio.run(twice(attached))
        assert first is not None and attached.last is not None
        assert (attached.last.query, attached.last.metadata) == ("Ask me", {"continues": first.id})
        assert edges(memory, attached.last.id) == {"a2": set(), "yes": {"a2"}}


@pytest.mark.parametrize("package", ["autogen-agentchat", "autogen-core"])
def test_no_file_of_the_framework_was_touched(package: str) -> None:
    checked = 0
    for file in distribution(package).files or ():
        if file.hash is not None and file.suffix == ".py":
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == file.hash.value, file
            checked += 1
    assert checked > 20
