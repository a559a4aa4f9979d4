"""However a run ends - interrupted, broken, left early, without a store - the team notices nothing of the memory."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from langgraph_teams import ask, every_kind_of_edge, scripted, speaker

from gmem import Memory
from gmem.adapters._attachment import Attachment
from gmem.adapters.langgraph import attach, attachment
from gmem.errors import StoreError

TOLD = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before, LangGraph does not tell awaited nodes where they are"
)
THREAD = {"configurable": {"thread_id": "7"}}


def asking() -> Any:
    """Make a graph that asks a person between two agents."""
    graph = StateGraph(MessagesState)
    graph.add_node("first", speaker(scripted("a plan")))
    graph.add_node("person", lambda state: {"messages": [AIMessage(f"the person says {interrupt('fine?')}")]})
    graph.add_node("last", speaker(scripted("done")))
    graph.add_edge(START, "first")
    graph.add_edge("first", "person")
    graph.add_edge("person", "last")
    return graph.compile(checkpointer=InMemorySaver())


def told(memory: Memory, app: Any) -> list[tuple[str, tuple[int, ...]]]:
    last = attachment(app).last
    assert last is not None
    return [(u.content, u.inspired_by) for u in memory.interaction(last.id).utterances]


@pytest.mark.parametrize("how", ["sync", pytest.param("async", marks=TOLD)])
def test_an_interrupted_run_is_one_run_when_it_is_resumed(words: Memory, how: str) -> None:
    app = attach(asking(), words, judge=lambda state: True)

    def go(given: Any) -> Any:
        return app.invoke(given, THREAD) if how == "sync" else asyncio.run(app.ainvoke(given, THREAD))

    assert "__interrupt__" in go(ask("do it"))
    assert words.tasks() == [] and len(attachment(app).spool) == 1
    with attach(every_kind_of_edge({}), words) as other:  # a run that ends meanwhile takes nothing with it
        other.invoke(ask("something else"))
    assert "__interrupt__" in app.invoke(ask("another thread"), {"configurable": {"thread_id": "8"}})
    go(Command(resume="yes"))
    assert {t.query: t.outcome for t in words.tasks()} == {"do it": "resolved", "something else": "unknown"}
    assert len(attachment(app).spool) == 1
    assert told(words, app) == [("a plan", ()), ("the person says yes", (0,)), ("done", (1,))]
    app.detach()  # else it waits for the other thread to be resumed for as long as this process lives


def test_a_breakpoint_is_an_interrupt_too(words: Memory) -> None:
    app = attach(asking(), words)
    app.invoke(ask("do it"), THREAD, interrupt_after=["first"])
    assert words.tasks() == []
    app.invoke(None, THREAD, interrupt_before=["last"])
    app.invoke(Command(resume="yes"), THREAD)
    assert len(words.tasks()) == 1 and len(told(words, app)) == 3


def test_what_nobody_resumes_is_kept_as_it_stands(words: Memory) -> None:
    app = attach(asking(), words, judge=lambda state: True)
    app.invoke(ask("do it"), THREAD)
    attachment(app).detach()
    (task,) = words.tasks()
    assert (task.outcome, task.error) == ("unknown", "interrupted")


def test_a_run_that_another_process_began_says_that_it_was_resumed(words: Memory) -> None:
    graph = asking()
    graph.invoke(ask("do it carefully"), THREAD)
    app = attach(graph, words)
    app.invoke(Command(resume="yes"), THREAD)
    (task,) = words.tasks()
    assert task.query == "do it carefully" and task.metadata == {"thread_id": "7", "resumed": "true"}


@pytest.mark.parametrize("how", ["sync", "async"])
def test_an_error_of_the_team_is_the_team_s(words: Memory, how: str) -> None:
    def broken(state: MessagesState) -> dict[str, Any]:
        raise ZeroDivisionError("of the team")

    graph = StateGraph(MessagesState).add_node("a", speaker(scripted("I try"))).add_node("b", broken)
    app = attach(graph.add_edge(START, "a").add_edge("a", "b").compile(), words, judge=lambda state: True)
    with pytest.raises(ZeroDivisionError, match="of the team"):
        app.invoke(ask("go")) if how == "sync" else asyncio.run(app.ainvoke(ask("go")))
    (task,) = words.tasks()
    assert task.outcome == "unknown" and "ZeroDivisionError" in task.error
    assert told(words, app) == [("I try", ())]


def test_errors_may_count_as_failures(words: Memory) -> None:
    graph = StateGraph(MessagesState).add_node("a", speaker(scripted("again"))).add_edge(START, "a").add_edge("a", "a")
    app = attach(graph.compile(), words, errors_fail=True)
    with pytest.raises(GraphRecursionError):
        app.invoke(ask("go"), {"recursion_limit": 4})
    (task,) = words.tasks()
    assert task.outcome == "failed" and "GraphRecursionError" in task.error
    assert [u for _, u in told(words, app)] == [(), (0,), (1,), (2,)]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_stream_may_be_left_early(words: Memory, how: str) -> None:
    app = attach(every_kind_of_edge({}), words, judge=lambda state: True)

    async def some() -> None:
        stream = app.astream(ask("go"), stream_mode="updates")
        async for _ in stream:
            break
        await stream.aclose()

    if how == "sync":
        stream = app.stream(ask("go"), stream_mode="updates")
        next(stream)
        stream.close()
    else:
        asyncio.run(some())
    (task,) = words.tasks()
    assert (task.outcome, task.error) == ("unknown", "cancelled")


def test_a_cancelled_run_is_kept_and_not_learned(words: Memory) -> None:
    async def slow(state: MessagesState) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    graph = StateGraph(MessagesState).add_node("a", speaker(scripted("hm"))).add_node("b", slow)
    app = attach(graph.add_edge(START, "a").add_edge("a", "b").compile(), words, judge=lambda state: True)
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(app.ainvoke(ask("go")), 0.5))
    (task,) = words.tasks()
    assert (task.outcome, task.error) == ("unknown", "cancelled")


def test_runs_side_by_side_do_not_mix(words: Memory) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("a", lambda state: {"messages": [AIMessage("a of " + state["messages"][0].text)]})
    graph.add_node("b", lambda state: {"messages": [AIMessage("b of " + state["messages"][0].text)]})
    app = attach(graph.add_edge(START, "a").add_edge("a", "b").compile(), words)

    async def many() -> None:
        await asyncio.gather(*(app.ainvoke(ask(f"run {i}")) for i in range(8)))

    asyncio.run(many())
    app.batch([ask(f"run {i}") for i in range(8, 12)])
    tasks = words.tasks()
    assert sorted(t.query for t in tasks) == sorted(f"run {i}" for i in range(12))
    for task in tasks:
        said = words.interaction(task.id).utterances
        assert [u.content for u in said] == [f"a of {task.query}", f"b of {task.query}"]


# --- nothing leaks ----------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Give what does not differ from run to run."""
    if isinstance(value, BaseMessage):
        return (value.type, value.content, value.name, dict(value.additional_kwargs))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("inject", ["system", "user"])
def test_state_and_checkpoints_are_those_of_a_team_without_a_memory(words: Memory, inject: Any) -> None:
    def played(memory: Memory | None) -> Any:
        models: dict[str, Any] = {}
        graph = every_kind_of_edge(models).builder.compile(checkpointer=InMemorySaver())
        app = graph if memory is None else attach(graph, memory, judge=lambda state: True, inject=inject)
        out = [app.invoke(ask(f"boil water {i}"), THREAD) for i in range(3)]
        history = [(plain(s.values), s.next, s.metadata["step"]) for s in app.get_state_history(THREAD)]
        told = any("<gmem-memory" in str(m.content) for model in models.values() for seen in model.seen for m in seen)
        return plain(out), history, told

    without, with_memory = played(None), played(words)
    assert with_memory[:2] == without[:2] and with_memory[2] and not without[2]
    assert "gmem" not in repr(with_memory[:2])


# --- a memory that fails ----------------------------------------------------------------------------


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "gmem" and r.levelno >= logging.WARNING]


def broken(*args: Any, **kwargs: Any) -> Any:
    raise StoreError("the disk is full")


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(
    "trouble", ["write", "hung write", "recall", "hung recall", "judge", "utterances", "query", "task"]
)
def test_whatever_fails_the_team_gives_the_same(
    words: Memory, how: str, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"judge": lambda state: True}
    expected = plain(every_kind_of_edge({}).invoke(ask("boil water")))
    seed = attach(every_kind_of_edge({}), words, **options)
    seed.invoke(ask("boil water"))
    if trouble == "write":
        monkeypatch.setattr(type(words.store), "write", broken)
    elif trouble == "hung write":
        write, free = type(words.store).write, threading.Event()
        monkeypatch.setattr(type(words.store), "write", lambda *args: write(*args) if free.wait(60) else None)
        options["patience"] = 2.0  # the recall gets through
    elif trouble == "recall":
        monkeypatch.setattr(words, "recall_each", broken)
    elif trouble == "hung recall":
        monkeypatch.setattr(words, "recall_each", lambda *args, **kwargs: time.sleep(2))
        options["patience"] = 0.05
    elif trouble == "task":
        monkeypatch.setattr(words, "task", broken)
    else:
        options[trouble] = broken
    app = attach(every_kind_of_edge({}), words, **options)
    got = app.invoke(ask("boil water")) if how == "sync" else asyncio.run(app.ainvoke(ask("boil water")))
    assert plain(got) == expected
    assert len(warned(caplog)) == 1, warned(caplog)
    if trouble == "hung write":
        free.set()
        for _ in range(600):
            if len(words.tasks(outcome="resolved")) == 2 and not len(attachment(app).spool):
                break
            time.sleep(0.1)
        else:
            pytest.fail("it was never stored")
    if trouble == "write":
        assert len(attachment(app).spool) == 1
        monkeypatch.undo()
        app.invoke(ask("boil milk"))
        assert len(attachment(app).spool) == 0 and len(words.tasks(outcome="resolved")) == 3


def test_a_full_disk_keeps_the_run_in_mind(
    words: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    app = attach(every_kind_of_edge({}), words, judge=lambda state: True)
    monkeypatch.setattr(type(words.store), "write", broken)
    monkeypatch.setattr(Path, "mkdir", full)
    app.invoke(ask("boil water"))
    assert len(attachment(app).spool) == 1 and warned(caplog)
    monkeypatch.undo()
    app.invoke(ask("boil milk"))
    assert len(words.tasks(outcome="resolved")) == 2 and isinstance(attachment(app), Attachment)


@TOLD
def test_the_event_loop_is_not_kept_waiting(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    recall, write = words.recall_each, type(words.store).write
    loops: list[bool] = []

    def on_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def watched(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            loops.append(on_loop())
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(words, "recall_each", watched(recall))
    monkeypatch.setattr(type(words.store), "write", watched(write))
    app = attach(asking(), words, judge=lambda state: True)
    asyncio.run(app.ainvoke(ask("do it"), THREAD))
    asyncio.run(app.ainvoke(Command(resume="yes"), THREAD))
    assert loops and not any(loops)
