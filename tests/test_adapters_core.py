"""What all adapters share, without a framework: a run watched from outside, and a team that notices nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from gmem import Memory
from gmem.adapters._attachment import Attachment
from gmem.adapters._patches import Patches
from gmem.adapters._said import Said
from gmem.adapters._texts import named, storable, text_of
from gmem.adapters._verdict import Verdict, verdict
from gmem.adapters._watch import Watch, current
from gmem.errors import InvalidInput, StoreError


def attached(memory: Memory, **options: Any) -> Attachment:
    return Attachment(memory, source="test", **options)


def ended(watch: Watch, how: str, *args: Any, **kwargs: Any) -> None:
    if how == "sync":
        watch.finish(*args, **kwargs)
    else:
        asyncio.run(watch.afinish(*args, **kwargs))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def broken(*args: Any, **kwargs: Any) -> Any:
    raise StoreError("the disk is full")


BOTH = pytest.mark.parametrize("how", ["sync", "async"])


@BOTH
def test_a_run_is_recorded_judged_and_stored(words: Memory, how: str) -> None:
    team = attached(words, judge=lambda result: 0.8 if result == "tea" else False, roles={"ann": "cook"})
    watch = team.begin("make tea", {"ann": ""})
    watch.heard("a", "ann", "I heat water")
    watch.heard("a", "ann", "I heat water")
    watch.heard("b", "bob", "it boils", upstream=["a", "never seen"], to=["ann"])
    watch.used("c", "ann", "pour", "{}", "done", upstream=["a", "b"])
    watch.alias("d", "c")
    watch.heard("e", "world", "tea", kind="observation", reward=1.0, upstream=["d"])
    watch.spent(tokens=7, calls=1)
    ended(watch, how, "completed", "tea")
    watch.heard("f", "ann", "too late")
    task = team.last
    assert task is not None and (task.outcome, task.score, task.source) == ("resolved", 0.8, "test")
    assert task.agents["ann"] == "cook" and (task.cost.tokens, task.cost.calls) == (7, 1)
    said = words.interaction(task.id).utterances
    assert [(u.agent, u.kind, u.inspired_by) for u in said] == [
        ("ann", "message", ()),
        ("bob", "message", (0,)),
        ("ann", "tool_call", (0, 1)),
        ("pour", "tool_result", (2,)),
        ("world", "observation", (3,)),
    ]


def test_a_judge_may_be_awaited(words: Memory, caplog: pytest.LogCaptureFixture) -> None:
    async def judge(result: Any) -> bool:
        return True

    team = attached(words, judge=judge)
    ended(team.begin("one"), "async", "completed")
    ended(team.begin("two"), "sync", "completed")
    assert {t.query: t.outcome for t in words.tasks()} == {"one": "resolved", "two": "unknown"}
    assert len(warned(caplog)) == 1


def test_a_judge_that_takes_its_time_holds_up_nobody_else(words: Memory) -> None:
    mine: ContextVar[str] = ContextVar("mine", default="")
    ticked = threading.Event()

    def judge(result: Any) -> bool:
        return ticked.wait(20) and mine.get() == "seen"

    async def go() -> None:
        mine.set("seen")
        work = asyncio.ensure_future(attached(words, judge=judge).begin("one").afinish("completed"))
        await asyncio.sleep(0.01)
        ticked.set()  # the event loop was not kept
        await work

    asyncio.run(go())
    assert [t.outcome for t in words.tasks()] == ["resolved"]


@BOTH
@pytest.mark.parametrize("error", [StopIteration, ValueError("no"), asyncio.TimeoutError])
def test_a_judge_that_breaks_leaves_the_outcome_open(
    words: Memory, how: str, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def judge(result: Any) -> bool:
        raise error

    async def awaitable(result: Any) -> bool:
        raise ValueError("no")

    ended(attached(words, judge=judge).begin("one"), how, "completed")
    asyncio.run(attached(words, judge=awaitable).begin("two").afinish("completed"))
    assert [t.outcome for t in words.tasks()] == ["unknown"] * 2 and len(warned(caplog)) == 2


@BOTH
@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted"])
def test_what_did_not_complete_is_not_judged(words: Memory, how: str, status: Any) -> None:
    ended(attached(words, judge=lambda result: True).begin("go"), how, status, error=ValueError("no"))
    ended(attached(words, errors_fail=True).begin("go on"), how, status, error=ValueError("no"))
    found = {t.query: t for t in words.tasks()}
    assert found["go"].outcome == "unknown" and "ValueError: no" in found["go"].error
    assert found["go on"].outcome == ("failed" if status == "failed" else "unknown")


@BOTH
def test_a_recall_is_made_once_for_a_role(words: Memory, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team = attached(words, judge=lambda result: True, roles={"ann": "cook", "bob": "cook"})
    first = team.begin("make green tea")
    first.heard("a", "ann", "eighty degrees is enough")
    first.finish("completed")
    recall, asked = words.recall_each, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        asked.extend(args[1])
        return recall(*args, **kwargs)

    monkeypatch.setattr(words, "recall_each", counted)
    watch = team.begin("make black tea")
    for agent in ("ann", "bob", "ann"):
        note = watch.help(agent) if how == "sync" else asyncio.run(watch.ahelp(agent))
        assert "eighty degrees" in note
    assert asked == ["cook"]


@BOTH
@pytest.mark.parametrize("trouble", ["broken", "hung"])
def test_a_recall_that_fails_holds_up_nobody(
    words: Memory, how: str, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = threading.Event()
    monkeypatch.setattr(words, "recall_each", broken if trouble == "broken" else lambda *a, **k: free.wait(20))
    team = attached(words, patience=0.05)
    began = time.monotonic()
    for _ in range(2):  # and it is left alone for a while
        watch = team.begin("go")
        assert (watch.help("ann") if how == "sync" else asyncio.run(watch.ahelp("ann"))) == ""
        assert watch.help("bob") == ""
    free.set()
    assert time.monotonic() - began < 10 and len(warned(caplog)) == 1 and team.resting()


@BOTH
def test_a_run_that_cannot_be_stored_waits_and_is_learned_later(
    words: Memory, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    team = attached(words, judge=lambda result: True)
    monkeypatch.setattr(type(words.store), "write", broken)
    watch = team.begin("make tea")
    watch.heard("a", "ann", "done")
    ended(watch, how, "completed")
    assert len(team.spool) == 1 and team.last is None and len(warned(caplog)) == 1
    monkeypatch.undo()
    team.begin("make coffee").finish("completed")
    assert len(team.spool) == 0
    assert {t.query: t.outcome for t in words.tasks()} == {"make tea": "resolved", "make coffee": "resolved"}


def test_a_run_that_is_cancelled_while_it_is_stored_is_stored(words: Memory) -> None:
    async def go() -> None:
        team = attached(words)
        work = asyncio.ensure_future(team.begin("make tea").afinish("completed"))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        for _ in range(200):
            if words.tasks():
                return
            await asyncio.sleep(0.05)

    asyncio.run(go())
    assert [t.query for t in words.tasks()] == ["make tea"]


def test_interrupted_runs_are_resumed_or_kept(words: Memory) -> None:
    team = attached(words)
    one, two = team.begin("one"), team.begin("two")
    team.pause("a", one)
    team.pause("b", two)
    assert len(team.spool) == 2 and team.resume("c") is None and team.resume("a") is one
    one.finish("completed")
    assert [t.query for t in words.tasks()] == ["one"]
    team.detach()
    team.detach()
    assert {t.query: t.error for t in words.tasks()} == {"one": "", "two": "interrupted"}


def test_nothing_that_fails_inside_reaches_the_team(words: Memory, caplog: pytest.LogCaptureFixture) -> None:
    team = attached(words, judge=broken, utterances=broken)
    watch = team.begin("go")
    watch.heard("a", "", "\0 \ud800", kind="nonsense", reward=float("nan"))  # type: ignore[arg-type]
    assert watch.put("b", object()) is False
    watch.finish("completed")
    assert len(words.tasks()) == 1 and len(warned(caplog)) == 1


def test_a_user_may_tell_what_a_message_is(words: Memory) -> None:
    team = attached(
        words, utterances=lambda m: None if m == "plain" else [Said("x", m), ("y", "seen", "observation", 2)]
    )
    watch = team.begin("go")
    assert watch.put("a", "plain") is False and watch.put("b", "looks", []) is True
    watch.heard("c", "z", "so", upstream=["b"])
    watch.finish("completed")
    said = words.interaction(words.tasks()[0].id).utterances
    assert [(u.agent, u.inspired_by) for u in said] == [("x", ()), ("y", (0,)), ("z", (1,))]


def test_the_open_run_is_found_only_where_it_belongs(words: Memory) -> None:
    team, other = attached(words), attached(words)
    watch = team.begin("go")
    token = current.set(watch)
    try:
        assert team.watch is watch and other.watch is None
        watch.finish("completed")
        assert team.watch is None
    finally:
        current.reset(token)


@pytest.mark.parametrize(
    "options",
    [{"judge": 5}, {"inject": "prompt"}, {"budget": -1}, {"budget": True}, {"roles": {"a": 1}}, {"patience": "long"},
     {"utterances": []}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(words: Memory, options: Any) -> None:
    with pytest.raises(InvalidInput):
        attached(words, **options)
    with pytest.raises(InvalidInput):
        Attachment("team.gmem", source="test")  # type: ignore[arg-type]


def test_patches_are_put_back_unless_somebody_came_between(caplog: pytest.LogCaptureFixture) -> None:
    class Agent:
        def __init__(self) -> None:
            self.name = "ann"

    agent, patches = Agent(), Patches()
    before = dict(vars(agent))
    patches.set(agent, "name", "bob")
    patches.set(agent, "name", "cid")
    patches.set(agent, "run", print)
    assert len(patches) == 3
    patches.undo()
    assert vars(agent) == before and len(patches) == 0
    patches.set(agent, "name", "bob")
    agent.name = "somebody else's"
    patches.undo()
    assert agent.name == "somebody else's" and len(warned(caplog)) == 1


def test_verdicts() -> None:
    assert verdict(None) == Verdict() and verdict("failed") == Verdict("failed")
    assert verdict(1) == Verdict("resolved", 1.0) and verdict(0.49).outcome == "failed"
    assert verdict(Verdict("failed", reason="late")).reason == "late"
    for wrong in ("yes", 1.5, -1, [], float("nan")):
        with pytest.raises(InvalidInput):
            verdict(wrong)


def test_texts() -> None:
    assert storable(None) == storable(" \n") == "(nothing)" and named("") == "unnamed"
    assert storable("\ud800a\0") == "?a\ufffd" and len(storable("ü" * 100, 50).encode()) <= 50
    assert text_of([{"type": "text", "text": "a"}, {"type": "image_url", "url": "x"}, "b"]) == "a\n[image_url]\nb"
    assert text_of({"n": 1}) == '{"n": 1}' and text_of(5) == "5" and text_of(Path("a")) == "a"
