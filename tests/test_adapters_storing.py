"""A store that does not answer holds up no team: what it could not take in time waits, and is stored once."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from gmem import Memory
from gmem.adapters._attachment import Attachment
from gmem.adapters._watch import Watch
from gmem.errors import StoreError
from gmem.flow import Flow, call
from gmem.graphs._neo4j import Neo4jStore
from gmem.learn import Contrast, Lessons, RulesDistiller
from gmem.spool import Spool

BOTH = pytest.mark.parametrize("how", ["sync", "async"])
SHORT = 0.05
"""Patience with what is made to hang."""
LONG = 60.0
"""Patience with what does not; far more than the slowest machine needs."""


class Hanging:
    """Stands before the `write` of a real store, and lets nothing through until it is told to."""

    def __init__(self, memory: Memory, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fails = False
        self._free = threading.Event()
        kind = type(memory.store)
        write = kind.write

        def hang(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            assert self._free.wait(LONG)
            if self.fails:
                raise StoreError("gave up")
            return write(*args, **kwargs)

        patch.setattr(kind, "write", hang)

    def let_go(self, *, fails: bool = False) -> None:
        self.fails = fails
        self._free.set()


@pytest.fixture
def hanging(words: Memory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    found = Hanging(words, monkeypatch)
    yield found
    found.let_go()
    settled(lambda: not any(t.name.startswith("gmem-") for t in threading.enumerate()))  # before the store is closed


def team_of(memory: Memory, patience: float = SHORT) -> Attachment:
    return Attachment(memory, source="test", judge=lambda result: True, patience=patience)


def begun(team: Attachment, query: str) -> Watch:
    watch = team.begin(query)
    watch.heard("a", "ann", f"I do it: {query}")
    return watch


def ended(watch: Watch, how: str) -> None:
    if how == "sync":
        watch.finish("completed")
    else:
        asyncio.run(watch.afinish("completed"))


def settled(is_so: Callable[[], bool]) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@BOTH
def test_a_late_success_takes_the_run_out_of_the_spool(
    words: Memory, hanging: Hanging, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    team = team_of(words)
    ended(begun(team, "make tea"), how)
    assert len(team.spool) == 1 and team.last is None
    settled(lambda: hanging.calls == 1)
    assert len(warned(caplog)) == 1 and "did not answer within 0.05 s" in warned(caplog)[0]
    ended(begun(team, "make coffee"), how)  # nobody waits for that store a second time
    assert hanging.calls == 1 and len(team.spool) == 2 and len(warned(caplog)) == 2
    hanging.let_go()
    settled(lambda: len(team.spool) == 0)
    assert {t.query: t.outcome for t in words.tasks()} == {"make tea": "resolved", "make coffee": "resolved"}
    assert team.last is not None and team.last.query == "make tea" and not team.resting()


@BOTH
def test_a_late_failure_leaves_it_there(
    words: Memory, hanging: Hanging, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmem.adapters._attachment.REST", 0.0)
    team = team_of(words)
    ended(begun(team, "make tea"), how)
    hanging.let_go(fails=True)
    settled(lambda: not any(t.name == "gmem-store" for t in threading.enumerate()))
    assert len(team.spool) == 1 and words.tasks() == []
    hanging.fails, team.patience = False, LONG
    ended(begun(team, "make coffee"), how)
    assert len(team.spool) == 0 and len(words.tasks(outcome="resolved")) == 2


def test_what_is_written_twice_is_stored_once(words: Memory, hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    team = team_of(words)
    ended(begun(team, "make tea"), "sync")
    aside = threading.Thread(target=team.flush)  # as another process would, once this one is gone
    aside.start()
    settled(lambda: hanging.calls == 2)
    hanging.let_go()
    aside.join()
    settled(lambda: len(team.spool) == 0 and team.last is not None)
    (task,) = words.tasks()
    assert [u.content for u in words.interaction(task.id).utterances] == ["I do it: make tea"]
    assert task.outcome == "resolved" and task.learned


def test_nobody_waits_for_the_spool_while_it_is_stored_from(words: Memory, hanging: Hanging) -> None:
    waiting = Spool(words)
    for query in ("make tea", "make coffee"):
        run = words.task(query)
        run.say("ann", "I do it")
        waiting.keep(run.recording())
    aside = threading.Thread(target=waiting.flush)
    aside.start()
    settled(lambda: hanging.calls == 1)
    assert waiting.flush() == 0
    run = words.task("make soup")
    waiting.keep(run.recording())
    waiting.drop(run.id)
    assert len(waiting) == 2
    hanging.let_go()
    aside.join()
    assert len(waiting) == 0 and len(words.tasks()) == 2


def test_a_run_that_is_cancelled_while_its_store_hangs_waits(
    words: Memory, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Event()
    monkeypatch.setattr("gmem.adapters._storing.over", lambda work, seconds: left.wait(LONG))

    async def go() -> None:
        work = asyncio.ensure_future(begun(team, "make tea").afinish("completed"))
        while not hanging.calls:
            await asyncio.sleep(0.001)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    team = team_of(words)
    asyncio.run(go())
    left.set()
    settled(lambda: len(team.spool) == 1)


def test_attaching_waits_for_no_store(words: Memory, hanging: Hanging) -> None:
    before = Spool(words)
    run = words.task("make tea")
    before.keep(run.recording())
    before.close()
    team = team_of(words)
    settled(lambda: hanging.calls == 1)
    assert words.tasks() == []
    hanging.let_go()
    settled(lambda: len(words.tasks()) == 1)
    team.detach()


@BOTH
def test_another_process_that_holds_the_file_holds_up_nobody(words: Memory, how: str) -> None:
    team = team_of(words)
    with FileLock(f"{words.location}.lock"):
        ended(begun(team, "make tea"), how)
        assert len(team.spool) == 1
    settled(lambda: len(team.spool) == 0)
    assert [t.query for t in words.tasks()] == ["make tea"]


def test_a_server_that_accepts_and_never_answers_holds_up_nobody(
    words: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of a Neo4j store, up to a port at which nobody speaks."""
    with ExitStack() as open_ones, socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"bolt://127.0.0.1:{silent.getsockname()[1]}"

        def write(*args: Any, **kwargs: Any) -> Any:
            with Neo4jStore(uri, auth=("neo4j", "secret"), timeout=1.0) as store:
                return store.write(*args, **kwargs)

        monkeypatch.setattr(type(words.store), "write", write)
        team = team_of(words)
        ended(begun(team, "make tea"), "sync")
        open_ones.enter_context(silent.accept()[0])  # somebody did call
        assert len(team.spool) == 1
    settled(lambda: not any(t.name == "gmem-store" for t in threading.enumerate()))
    monkeypatch.undo()
    assert team.flush() == 1 and len(words.tasks(outcome="resolved")) == 1


class Slow(RulesDistiller):
    """Like one that asks a model, which takes its time."""

    external = True

    def __init__(self, free: threading.Event) -> None:
        super().__init__()
        self.asked = 0
        self._free = free

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        self.asked += 1
        yield from call(self._free.wait, LONG)
        return (yield from super().distil(contrast))


def test_a_run_that_is_stored_may_be_learned_from_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = threading.Event()
    slow = Slow(free)
    monkeypatch.setattr("gmem.adapters._storing.over", lambda work, seconds: settled(lambda: slow.asked == 1))
    with Memory(tmp_path / "team.gmem", team="blue", embedder="none", distiller=slow) as memory:
        team = team_of(memory)
        ended(begun(team, "make tea"), "sync")
        (task,) = memory.tasks()
        assert not task.learned and len(team.spool) == 1 and not warned(caplog) and not team.hangs()
        assert team.flush() == 0 and slow.asked == 1  # it is being learned from
        free.set()
        settled(lambda: len(team.spool) == 0)
        assert memory.get(task.id).learned and slow.asked == 1


def test_what_a_process_was_still_learning_from_is_learned_by_the_next(words: Memory) -> None:
    run = words.task("make tea")
    run.say("ann", "I do it")
    run.resolve()
    left = Spool(words)
    left.keep(run.recording(), unfinished=True)
    words.store.write([_unlearned(run.recording())])
    left.close()
    assert Spool(words).flush() == 1
    assert words.get(run.id).learned


def _unlearned(recording: Any) -> Any:
    from gmem.graphs.base import Batch
    from gmem.model import Interaction

    found = Interaction(recording.task.id, recording.utterances)
    return Batch("blue", f"task {recording.task.id}", tasks=[recording.task], interactions=[found])


PROGRAM = """
import sys, threading
from gmem import Memory
from gmem.adapters._attachment import Attachment
memory = Memory(sys.argv[1], team="blue", embedder="none")
type(memory.store).write = lambda *args: threading.Event().wait()
team = Attachment(memory, source="test", patience=0.05)
team.begin("make tea").finish("completed")
team.pause("later", team.begin("make soup"))
print(len(team.spool), flush=True)
"""


def test_the_program_ends_though_the_store_hangs(words: Memory) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, words.location], capture_output=True, text=True, timeout=2 * LONG
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert done.stderr.count("gmem:") <= 2
    Attachment(words, source="test", patience=LONG)
    assert sorted(t.query for t in words.tasks()) == ["make soup", "make tea"]
