"""What teams go through in their lives, with a memory as without: pauses, states, resets, code, and a way back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ag_teams import Speaker, client, system
from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, AssistantAgent, CodeExecutorAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import ExternalTermination, MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult

from gmem import Memory
from gmem.adapters.autogen import GMemory, attach

CODE = "```python\nprint('from the memory')\n```"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """Give a memory that has something to say, code among it."""
    with Memory(tmp_path / "team.gmem", embedder="none") as opened:
        with opened.task("Refund order 16", agents={n: n for n in ("ann", "bob", "runner")}) as run:
            for name in ("ann", "bob", "runner"):
                run.say(name, f"{name}: order 16 was paid twice. {CODE}")
            run.resolve()
        yield opened


def texts(result: TaskResult) -> list[str]:
    return [m.to_text() for m in result.messages]


def pair() -> RoundRobinGroupChat:
    agents = [AssistantAgent(n, client(*(f"{n}{i}" for i in range(6)))) for n in ("ann", "bob")]
    return RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(3))


class Patient(Speaker):
    """Begins to speak, and goes on when it is resumed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[str] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
        self.begun.set()
        await self.go.wait()
        return await super().on_messages(messages, cancellation_token)

    async def on_pause(self, cancellation_token: CancellationToken) -> None:
        self.calls.append("pause")

    async def on_resume(self, cancellation_token: CancellationToken) -> None:
        self.calls.append("resume")
        self.go.set()


async def paused(memory: Memory | None) -> tuple[list[str], list[str], Any]:
    one = Patient("ann")
    team = RoundRobinGroupChat([one, Speaker("bob")], max_turns=2)
    attached = attach(team, memory, judge=lambda r: True) if memory is not None else None
    run = asyncio.ensure_future(team.run(task="Refund order 17"))
    await asyncio.wait_for(one.begun.wait(), 30)
    await team.pause()
    await team.resume()
    result = await run
    if attached is not None:
        attached.detach()
    return texts(result), one.calls, attached


def test_a_pause_is_no_end(memory: Memory) -> None:
    *plain, _ = asyncio.run(paused(None))
    *with_memory, attached = asyncio.run(paused(memory))
    assert with_memory == plain == [["Refund order 17", "ann1", "bob1"], ["pause", "resume"]]
    assert attached.last.outcome == "resolved" and len(memory.tasks()) == 2
    assert [u.content for u in memory.interaction(attached.last.id).utterances] == ["ann1", "bob1"]


def told(state: Any) -> str:
    """Write a team's state down, without ids and times, which are new each time, and the price of what was told."""
    made = r"'(id|created_at|team_id|message_id|full_message_id|prompt_tokens)': ('[^']*'|None|\d+)"
    return re.sub(made, "", str(state))


async def moved(memory: Memory | None) -> tuple[list[str], str, str, list[str], Any]:
    """Run a team, save it, load it into another one, and let that one go on."""
    first, second = pair(), pair()
    if memory is None:
        begun = texts(await first.run(task="Refund order 17"))
        saved = await first.save_state()
        await second.load_state(saved)
        return begun, told(saved), told(await second.save_state()), texts(await second.run()), None
    with attach(first, memory), attach(second, memory) as attached:
        begun = texts(await first.run(task="Refund order 17"))
        saved = await first.save_state()
        await second.load_state(saved)
        loaded = told(await second.save_state())
        return begun, told(saved), loaded, texts(await second.run()), attached


def test_the_state_that_is_saved_and_loaded_is_that_without_a_memory(memory: Memory) -> None:
    *plain, _ = asyncio.run(moved(None))
    *with_memory, attached = asyncio.run(moved(memory))
    assert with_memory == plain
    assert "gmem" not in with_memory[1] and "order 17" in with_memory[1]
    assert attached.last.query == "Refund order 17"  # read in the state that was loaded


async def reset(team: RoundRobinGroupChat) -> list[list[str]]:
    found = [texts(await team.run(task="Refund order 17"))]
    await team.reset()
    found.append(texts(await team.run(task="Refund order 18")))
    return found


def test_a_team_that_is_reset_begins_anew(memory: Memory) -> None:
    plain = asyncio.run(reset(pair()))
    team = pair()
    with attach(team, memory) as attached:
        assert asyncio.run(reset(team)) == plain
        assert attached.last is not None and attached.last.metadata == {}
    assert [t.query for t in memory.tasks()] == ["Refund order 18", "Refund order 17", "Refund order 16"]


def test_a_team_that_is_told_to_stop_has_completed(memory: Memory) -> None:
    async def stopped(team: Any, stop: ExternalTermination) -> list[str]:
        run = asyncio.ensure_future(team.run(task="Refund order 17"))
        await asyncio.wait_for(one.begun.wait(), 30)
        stop.set()
        one.go.set()
        return texts(await run)

    async def go() -> list[str]:
        nonlocal one
        one, stop = Patient("ann"), ExternalTermination()
        team = RoundRobinGroupChat([one, Speaker("bob")], termination_condition=stop)
        with attach(team, memory, judge=lambda r: True) as attached:
            said = await stopped(team, stop)
            assert attached.last is not None and attached.last.outcome == "resolved"
        return said

    one: Any = None
    assert asyncio.run(go()) == ["Refund order 17", "ann1"]


def test_a_run_whose_asyncio_task_is_cancelled_is_kept_and_not_learned_from(memory: Memory) -> None:
    async def go() -> None:
        one = Patient("ann")
        team = RoundRobinGroupChat([Speaker("bob"), one], max_turns=2)
        with attach(team, memory, judge=lambda r: True) as attached:
            run = asyncio.ensure_future(team.run(task="Refund order 17"))
            await asyncio.wait_for(one.begun.wait(), 30)
            run.cancel()
            await asyncio.sleep(0)
            one.go.set()  # the framework waits for who is speaking
            with pytest.raises(asyncio.CancelledError):
                await run
            assert attached.last is not None and not attached.scribes
            task = memory.get(attached.last.id)
            assert (task.outcome, task.learned, task.error) == ("unknown", False, "cancelled")
            assert [u.content for u in memory.interaction(task.id).utterances] == ["bob1", "ann1"]

    asyncio.run(go())


class Recorder(CodeExecutor):
    """Runs nothing, and keeps what it was to run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def execute_code_blocks(
        self, code_blocks: list[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:  # fmt: skip
        self.ran.extend(block.code for block in code_blocks)
        return CodeResult(exit_code=0, output="done")

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def restart(self) -> None:
        pass


def approved(request: ApprovalRequest) -> ApprovalResponse:
    return ApprovalResponse(approved=True, reason="")


def coders(executor: Recorder, thinks: bool) -> RoundRobinGroupChat:
    written = "```python\nprint('from the team')\n```"
    coder = AssistantAgent("ann", client(written, written))
    model = client(written, "It printed.", written, "It printed.") if thinks else None
    return RoundRobinGroupChat(
        [coder, CodeExecutorAgent("runner", executor, model_client=model, approval_func=approved)], max_turns=4
    )


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.parametrize("inject", ["system", "user"])
def test_what_is_recalled_is_never_run(inject: Any, thinks: bool, memory: Memory) -> None:
    plain, executor = Recorder(), Recorder()
    expected = texts(asyncio.run(coders(plain, thinks).run(task="Refund order 17")))
    team = coders(executor, thinks)
    with attach(team, memory, inject=inject):
        assert texts(asyncio.run(team.run(task="Refund order 17"))) == expected
    asked = str(team._participants[0]._model_client.create_calls)  # type: ignore[attr-defined]
    assert "from the memory" in asked  # it was told
    assert executor.ran == plain.ran and executor.ran and not any("memory" in code for code in executor.ran)


def test_an_attached_team_is_dumped_as_it_is(memory: Memory) -> None:
    team = pair()
    before = team.dump_component().model_dump_json()
    with attach(team, memory):
        assert team.dump_component().model_dump_json() == before
        asyncio.run(team.run(task="Refund order 17"))
        assert "gmem" not in team.dump_component().model_dump_json()
        again = RoundRobinGroupChat.load_component(team.dump_component())
        assert "run_stream" not in vars(again)


def own(*objects: Any) -> list[dict[str, Any]]:
    return [dict(vars(x)) for x in objects]


def test_the_memory_that_was_attached_first_is_detached_first(tmp_path: Path, memory: Memory) -> None:
    team = pair()
    before = own(team, *team._participants)
    with Memory(tmp_path / "other.gmem", embedder="none") as other:
        first = attach(team, memory)
        second = attach(team, other)
        first.detach()
        asyncio.run(team.run(task="Refund order 17"))
        assert [t.query for t in other.tasks()] == ["Refund order 17"] and len(memory.tasks()) == 1
        second.detach()
    assert "run_stream" not in vars(team)
    for now, was in zip(own(team, *team._participants), before, strict=True):
        assert {k: v for k, v in now.items() if k != "_initialized"} == {
            k: v for k, v in was.items() if k != "_initialized"
        }


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_team_within_another_is_detached_in_any_order(inner_first: bool, tmp_path: Path, memory: Memory) -> None:
    inner = RoundRobinGroupChat([Speaker("i"), Speaker("j")], name="inner", max_turns=2)
    outer = RoundRobinGroupChat([inner, Speaker("k")], max_turns=2)
    parts = (outer, inner, *inner._participants, outer._participants[1])
    before = own(*parts)
    with Memory(tmp_path / "other.gmem", embedder="none") as other:
        attached: list[Callable[[], None]] = [attach(inner, other).detach, attach(outer, memory).detach]
        for number, detach in enumerate(attached if inner_first else reversed(attached)):
            detach()
            if number == 0 and inner_first:
                assert len(texts(asyncio.run(outer.run(task="Refund order 17")))) == 4
                assert [t.query for t in memory.tasks(limit=1)] == ["Refund order 17"] and not other.tasks()
            elif number == 0:
                asyncio.run(inner.run(task="Refund order 18"))
                assert [t.query for t in other.tasks()] == ["Refund order 18"] and len(memory.tasks()) == 1
    for part, was in zip(parts, before, strict=True):
        assert set(vars(part)) == set(was), type(part)


def test_a_gmemory_that_hangs_holds_up_neither_the_agent_nor_the_end_of_the_program(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "recall", lambda *args, **kwargs: time.sleep(20))
    model = client("a1")
    agent = AssistantAgent("ann", model, memory=[GMemory(memory, role="ann", patience=0.1)])
    began = time.monotonic()
    assert texts(asyncio.run(agent.run(task="Refund order 17")))[-1] == "a1"  # which waits for its executor's threads
    assert time.monotonic() - began < 15
    assert len(system(model)[0]) == 1
