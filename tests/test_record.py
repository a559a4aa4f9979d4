"""Recording runs: what is kept, how a run ends, and what is refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import AGENTS, play

import gmem
from gmem.errors import InvalidInput, RunClosed, UnknownId


def test_a_run_keeps_who_said_what_to_whom_caused_by_what(words: gmem.Memory) -> None:
    with words.task("Order lunch", context="It is noon.", agents=AGENTS) as run:
        plan = run.say("ann", "We need soup.", to="bob")
        thought = run.think("bob", "Soup is on the menu.")
        done = run.act("bob", "order soup", "Soup ordered.", reward=1, inspired_by=[plan, thought])
        called = run.tool("bob", "clock", "now", "12:05", inspired_by=done)
        run.handoff("bob", "ann", inspired_by=(plan, called))
        run.resolve(0.9)
    task = words.get(run.id)
    assert (task.query, task.context, task.outcome, task.score) == ("Order lunch", "It is noon.", "resolved", 0.9)
    said = words.interaction(run.id).utterances
    assert [(u.agent, u.role, u.kind, u.to) for u in said] == [
        ("ann", "planner", "message", ("bob",)),
        ("bob", "cook", "thought", ("bob",)),
        ("bob", "cook", "action", ("environment",)),
        ("environment", "", "observation", ("bob",)),
        ("bob", "cook", "tool_call", ("clock",)),
        ("clock", "", "tool_result", ("bob",)),
        ("bob", "cook", "handoff", ("ann",)),
    ]
    assert [u.inspired_by for u in said] == [(), (0,), (0, 1), (2,), (3,), (4,), (0, 5)]
    assert said[2].reward == 1.0
    assert said[4].content == "clock(now)"


def test_without_a_verdict_the_outcome_is_unknown_and_nothing_is_learned(words: gmem.Memory) -> None:
    task = play(words, "leek", resolved=None)
    assert task.outcome == "unknown" and not task.learned
    assert words.stats().unlearned == 1


def test_an_exception_ends_the_run_as_an_error_and_goes_on(words: gmem.Memory) -> None:
    with pytest.raises(ZeroDivisionError), words.task("Divide") as run:
        run.say("ann", "Dividing.")
        _ = 1 / 0
    task = words.get(run.id)
    assert task.error == "ZeroDivisionError: division by zero"
    assert task.outcome == "unknown" and task.length == 1


def test_async_with_does_the_same(words: gmem.Memory) -> None:
    async def go() -> str:
        async with words.task("Await") as run:
            run.say("ann", "Awaiting.")
            run.resolve()
        with pytest.raises(KeyError, match="gone"):
            async with words.task("Await and break") as broken:
                broken.say("ann", "Breaking.")
                raise KeyError("gone")
        assert words.get(broken.id).error == "KeyError: 'gone'"
        return run.id

    assert words.get(asyncio.run(go())).outcome == "resolved"


def test_cancelled_runs_are_stored_and_not_learned(words: gmem.Memory) -> None:
    ids: list[str] = []

    async def team() -> None:
        async with words.task("Wait for ever") as run:
            ids.append(run.id)
            run.say("ann", "Waiting.")
            await asyncio.sleep(60)

    async def go() -> None:
        task = asyncio.create_task(team())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    task = words.get(ids[0])
    assert task.error.startswith("CancelledError") and not task.learned


def test_a_run_ends_once(words: gmem.Memory) -> None:
    with words.task("Once") as run:
        run.say("ann", "Once.")
        run.resolve()
        with pytest.raises(RunClosed, match="already marked resolved"):
            run.fail("no")
        with pytest.raises(RunClosed, match="already marked resolved"):
            run.say("ann", "more")
    for late in (lambda: run.say("ann", "late"), run.resolve, run.close, lambda: run.recall()):
        with pytest.raises(RunClosed):
            late()
    assert words.get(run.id).length == 1


BAD_CALLS: list[tuple[str, Any]] = [
    ("what ann said is empty", lambda r: r.say("ann", "")),
    ("what ann said is empty", lambda r: r.say("ann", " \n ")),
    ("at most 262,144", lambda r: r.say("ann", "x" * 10_000_000)),
    ("NUL character at position 1", lambda r: r.say("ann", "a\0b")),
    ("half a surrogate pair at position 2", lambda r: r.say("ann", "ab\ud800")),
    ("must be a str, not int", lambda r: r.say("ann", 7)),
    ("agent is empty", lambda r: r.say("", "x")),
    ("must be a str, not NoneType", lambda r: r.say(None, "x")),
    ("kind must be one of", lambda r: r.say("ann", "x", kind="shout")),
    ("inspired_by names utterance 1", lambda r: r.say("ann", "x", inspired_by=1)),
    ("inspired_by names utterance -1", lambda r: r.say("ann", "x", inspired_by=[-1])),
    ("inspired_by names utterance True", lambda r: r.say("ann", "x", inspired_by=[True])),
    ("inspired_by names utterance 'a'", lambda r: r.say("ann", "x", inspired_by=["a"])),
    ("reward must be a number, not str", lambda r: r.act("ann", "x", "y", "much")),
    ("reward must be a finite number", lambda r: r.act("ann", "x", "y", float("nan"))),
    ("reward must be a finite number", lambda r: r.act("ann", "x", "y", 10**400)),
    ("reward must be a number, not bool", lambda r: r.act("ann", "x", "y", True)),
    ("answer to ann must be a str", lambda r: r.act("ann", "x", 3)),
    ("answer to ann holds a NUL", lambda r: r.act("ann", "x", "\0")),
    ("score must be a finite number", lambda r: r.resolve(float("inf"))),
    ("score must be a number", lambda r: r.fail("x", score="low")),
    ("reason must be a str", lambda r: r.fail(3)),
    ("to must be a name or a list", lambda r: r.say("ann", "x", to=3)),
    ("tokens must be a number", lambda r: r.spent(tokens="many")),
]


@pytest.mark.parametrize(("message", "call"), BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_bad_input_is_named_and_changes_nothing(words: gmem.Memory, message: str, call: Any) -> None:
    with words.task("Check") as run:
        run.say("ann", "first")
        with pytest.raises(InvalidInput, match=message):
            call(run)
        run.say("ann", "second")
    said = words.interaction(run.id).utterances
    assert [u.content for u in said] == ["first", "second"]
    assert words.get(run.id).outcome == "unknown"


@pytest.mark.parametrize(
    ("message", "kwargs"),
    [
        ("the query is empty", {"query": " "}),
        ("the query is 10,000,000 bytes", {"query": "q" * 10_000_000}),
        ("run_id must be 1 to 128", {"query": "q", "run_id": "a b"}),
        ("run_id must be 1 to 128", {"query": "q", "run_id": ""}),
        ("trust must lie between 0 and 1", {"query": "q", "trust": 2}),
        ("agents must map names to texts", {"query": "q", "agents": ["ann"]}),
        (r"agents\['ann'\] must be a str", {"query": "q", "agents": {"ann": 1}}),
        ("context must be a str", {"query": "q", "context": None}),
    ],
    ids=range(8),
)
def test_a_run_that_cannot_begin(words: gmem.Memory, message: str, kwargs: Any) -> None:
    with pytest.raises(InvalidInput, match=message):
        words.task(**kwargs)
    assert words.stats().tasks == 0


def test_the_same_run_is_stored_once_and_another_under_its_id_is_refused(words: gmem.Memory) -> None:
    first = play(words, "leek", run_id="import:1")
    assert play(words, "leek", run_id="import:1") == first
    with pytest.raises(InvalidInput, match="another task import:1"):
        play(words, "onion", run_id="import:1")
    assert words.stats().tasks == 1
    assert words.get("import:1") == first


def test_many_threads_may_record_one_run(words: gmem.Memory) -> None:
    with words.task("Together") as run:
        threads = [
            threading.Thread(target=lambda n=n: [run.say(f"a{n}", f"{n} {i}") for i in range(50)]) for n in range(4)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    said = words.interaction(run.id).utterances
    assert [u.seq for u in said] == list(range(200))
    for n in range(4):
        assert [u.content for u in said if u.agent == f"a{n}"] == [f"{n} {i}" for i in range(50)]


def test_feedback_turns_the_outcome_and_what_was_learned(words: gmem.Memory, do: Any) -> None:
    task = play(words, "leek", resolved=None)
    judged = do(
        words, "feedback", task.id, outcome="failed", text="too salty", reason="salt", blame=("bob", 3, "salted")
    )
    assert (judged.outcome, judged.feedback, judged.reason, judged.learned) == ("failed", "too salty", "salt", True)
    assert [(s.agent, s.seq, s.reason, s.score) for s in judged.blame] == [("bob", 3, "salted", 1.0)]
    assert do(words, "feedback", task.id, text="too salty") == judged
    with pytest.raises(UnknownId, match="no task 't_none'"):
        do(words, "feedback", "t_none", outcome="failed")
    with pytest.raises(InvalidInput, match="outcome must be"):
        do(words, "feedback", task.id, outcome="good")
    with pytest.raises(InvalidInput, match="blame names step 99"):
        do(words, "feedback", task.id, blame=("bob", 99, "x"))
    assert words.get(task.id) == judged


def test_what_the_memory_delivered_is_not_learned_as_new(words: gmem.Memory) -> None:
    play(words, "leek")
    with words.task("Cook an onion in the pot", agents=AGENTS) as run:
        recall = run.recall()
        assert recall.text
        run.say("ann", "My notes:\n" + recall.text)
        run.say("ann", "As before: bob: take leek from shelf => You take leek from shelf.")
        run.say("ann", "Something quite different, which nobody had said before at all.")
        run.act("bob", "take leek from shelf", "You take it.")
    said = words.interaction(run.id).utterances
    assert said[0].content == f"My notes:\n[memory {recall.id}]"
    assert [u.echo for u in said] == [False, True, False, False, False]
    assert 1 not in words.get(run.id).key_steps


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=8))
def test_any_text_is_kept_exactly_or_refused(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.gmem"
    with gmem.Memory(path, embedder="none") as memory:
        kept = []
        with memory.task("Any text") as run:
            for agent, text in said:
                try:
                    run.say(agent, text)
                except InvalidInput:
                    continue
                kept.append((agent, text))
        assert [(u.agent, u.content) for u in memory.interaction(run.id).utterances] == kept
    with gmem.Memory(path) as again:
        assert [(u.agent, u.content) for u in again.interaction(run.id).utterances] == kept
