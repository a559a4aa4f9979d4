"""Servers that die, lines that break: what was acknowledged is there once, and nothing is there in part.

GMEM_TEST_RESTARTS says how often the server is killed.  Without it, the tests that take minutes are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asked import asked
from bad_line import BadLine, Fate
from neo4j import GraphDatabase
from neo4j_fixture import Access
from stubborn import WRITERS, memory_of, tell, told

from gmem.errors import GmemError, StoreCorrupt, StoreUnreachable
from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.graphs._carrying import fingerprint
from gmem.graphs._neo4j import Neo4jStore
from gmem.migrate import migrate
from gmem.testing import EXAMPLE_MODEL, example_batch, example_vector, neo4j_server, read_everything
from gmem.testing.crash import CRASH_TEAM, find_torn, replay

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.timeout(900)]

RESTARTS = asked("RESTARTS")
takes_minutes = pytest.mark.skipif(not RESTARTS, reason="takes minutes: set GMEM_TEST_RESTARTS=1, or 20 for a release")
PROGRAMS = ("a", "b")
PATIENCE = 300.0
"""Seconds for which something is waited for: a busy machine takes ten times as long as an idle one."""
TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine its time: only what hangs is given up."""
    monkeypatch.setitem(Neo4jStore.__init__.__kwdefaults__, "timeout", PATIENCE)


class Programs:
    """Programs that write to a server until they are told to stop, whatever happens meanwhile."""

    def __init__(self, uri: str, auth: tuple[str, str], folder: Path) -> None:
        self.folder = folder
        self.acks = [folder / f"{name}{number}.acks" for name in PROGRAMS for number in range(WRITERS)]
        environment = {**os.environ, "NEO4J_USERNAME": auth[0], "NEO4J_PASSWORD": auth[1]}
        self._running: list[subprocess.Popen[bytes]] = []
        for name in PROGRAMS:
            with (folder / f"{name}.err").open("wb") as errors:
                command = [sys.executable, TESTS / "stubborn.py", uri, folder, name]
                self._running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors))

    def counts(self) -> list[int]:
        """Give how many writes each writer got acknowledged."""
        notes = [file.read_text(encoding="utf-8") if file.exists() else "" for file in self.acks]
        writes = [text.count("+") + text.count("-") for text in notes]
        return [*writes, *(told(self.folder, f"team {name}") for name in PROGRAMS)]

    def wait_for(self, more: int) -> None:
        """Wait until every writer has so many more writes acknowledged."""
        goals, deadline = [count + more for count in self.counts()], time.monotonic() + PATIENCE
        while any(count < goal for count, goal in zip(self.counts(), goals, strict=True)):
            assert all(program.poll() is None for program in self._running), self._errors()
            assert time.monotonic() < deadline, f"of {goals} only {self.counts()} were acknowledged"
            time.sleep(0.02)

    def stop(self) -> int:
        """End them; returns how many writes were refused at first."""
        (self.folder / "stop").touch()
        said = [program.communicate(timeout=PATIENCE)[0] for program in self._running]
        assert [program.returncode for program in self._running] == [0, 0], self._errors()
        return sum(json.loads(line)["refused"] for line in said)

    def kill(self) -> None:
        """End them whatever they do."""
        for program in self._running:
            program.kill()
            program.communicate()

    def _errors(self) -> str:
        return "\n".join(file.read_text(errors="replace") for file in self.folder.glob("*.err"))


@contextlib.contextmanager
def _programs(uri: str, auth: tuple[str, str], folder: Path) -> Iterator[Programs]:
    running = Programs(uri, auth, folder)
    try:
        yield running
    finally:
        running.kill()


def _hold_against(store: GraphStore, programs: Programs) -> None:
    """Compare what is stored with what was acknowledged, and with a twin to which just that was done."""
    assert find_torn(store, programs.acks) == []
    with contextlib.closing(EmbeddedStore(programs.folder / "twin.gmem")) as twin, contextlib.ExitStack() as opened:
        for team in store.teams():
            opened.enter_context(store.reading(team))
        twin.set_embedder(EXAMPLE_MODEL)
        done = twin.write(list(replay(programs.acks, store.task_ids(CRASH_TEAM))))
        assert all(done) and len(done) == sum(programs.counts()[: len(programs.acks)])
        teams = [f"team {name}" for name in PROGRAMS]
        assert store.teams() == [CRASH_TEAM, *teams]
        for team in teams:
            for number in range(told(programs.folder, team)):
                tell(twin, team, number)
            learned = _learned(store, team)
            assert learned["evidence"] and learned == _learned(twin, team)
        ours, theirs = (read_everything(s)[CRASH_TEAM] for s in (store, twin))
        assert ours == theirs


def _learned(store: GraphStore, team: str) -> dict[str, Any]:
    """Read a team's runs and lessons, without the times, and what is recalled of them."""
    memory = memory_of(store, team)
    ids = store.task_ids(team)
    return {
        "tasks": [(t.id, t.query, t.outcome, t.learned, t.length, len(i.utterances), t.key_steps, t.blame)
                  for t, i in store.cases(team, ids).values()],
        "insights": [(i.id, i.text, i.state, i.version, i.taught_by) for i in store.insights(team)],
        "evidence": store.evidence(team),
        "neighbours": [store.neighbours(team, id) for id in ids],
        "recall": memory.recall("Cook a swede in the pot", "cook").text.partition("\n")[2],  # without its id
    }  # fmt: skip


# --- a server that dies -----------------------------------------------------------------------


@takes_minutes
@pytest.mark.timeout(900 + 300 * RESTARTS)
def test_a_server_that_is_killed_in_mid_write_loses_and_doubles_nothing(neo4j: Access, tmp_path: Path) -> None:
    server = neo4j_server.running(name="test")
    if server is None or server.uri != neo4j.uri:
        pytest.skip("a server is killed only where `make test-neo4j` has started one of its own")
    chance = random.Random(1)
    with _programs(neo4j.uri, neo4j.auth, tmp_path) as programs:
        for _ in range(RESTARTS):
            programs.wait_for(3)
            time.sleep(chance.random() * 0.3)
            neo4j_server.stop(name="test", force=True)
            _start_again(server)
        programs.wait_for(3)
        refused = programs.stop()
        neo4j.reconnect()
        with contextlib.closing(neo4j.open(create=False)) as store:
            _hold_against(store, programs)
        runs, writes = sum(programs.counts()[-len(PROGRAMS) :]), sum(programs.counts())
    print(f"{RESTARTS} restarts, {writes} writes acknowledged ({runs} of them runs), {refused} refused at first")


def _start_again(server: neo4j_server.Server) -> None:
    """Start the killed server where it was, as a child of nobody here."""
    ports = [str(urlsplit(uri).port) for uri in (server.uri, server.browser)]
    command = [sys.executable, "-m", "gmem.testing.neo4j_server", "start", "--name", "test",
               "--version", server.version, "--ports", *ports]  # fmt: skip
    quick = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1", **os.environ}  # half the processor time of a start
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quick)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a server that is gone after a second; one that is slow gets all the time that it usually does."""
    driver = GraphDatabase.driver
    short = {"max_transaction_retry_time": 1.0}
    monkeypatch.setattr(GraphDatabase, "driver", lambda uri, **options: driver(uri, **{**options, **short}))


@pytest.mark.usefixtures("impatient")
def test_all_who_wait_for_a_dead_server_hear_of_it_at_once(line: BadLine, neo4j: Access) -> None:
    heard: list[BaseException] = []
    with contextlib.closing(Neo4jStore(line.uri, auth=neo4j.auth)) as store:
        store.write([example_batch("before")])
        line.close()

        def write(number: int) -> None:
            try:
                store.write([example_batch(f"after {number}")])
            except GmemError as error:
                heard.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(error) for error in heard] == [StoreUnreachable] * 12
        assert len({id(error) for error in heard}) == 12
        with pytest.raises(StoreUnreachable, match="does not answer"):
            store.task_ids("team")


# --- a line that breaks -----------------------------------------------------------------------


@pytest.fixture
def line(neo4j: Access) -> Iterator[BadLine]:
    with contextlib.closing(BadLine(neo4j.uri)) as line:
        yield line


@takes_minutes
def test_a_line_that_breaks_anywhere_loses_and_doubles_nothing(line: BadLine, neo4j: Access, tmp_path: Path) -> None:
    line.share, line.rest = 0.08, 0.005
    with _programs(line.uri, neo4j.auth, tmp_path) as programs:
        programs.wait_for(6)
        while line.unanswered < 3 or line.cut < 10:
            programs.wait_for(1)
        line.share = line.rest = 0.0
        refused = programs.stop()
        with contextlib.closing(neo4j.open(create=False)) as store:
            _hold_against(store, programs)
    print(f"{line.cut} cut, {line.unanswered} unanswered, {sum(programs.counts())} acknowledged, {refused} refused")


def test_a_write_whose_commit_is_lost_or_unanswered_is_done_once(line: BadLine, neo4j: Access) -> None:
    with contextlib.closing(Neo4jStore(line.uri, auth=neo4j.auth)) as store:
        line.fates.extend(("lost", "unanswered", "unanswered"))
        store.set_embedder(EXAMPLE_MODEL)
        assert not line.fates
        for number, fates in enumerate((["unanswered"], ["lost", "unanswered", "passed"])):
            batch = example_batch(f"t{number}", vector=number)
            store.task_ids("team")
            line.fates.extend(fates)  # type: ignore[arg-type]
            assert store.write([batch]) == [True]
            assert store.write([batch]) == [False]
            line.fates.clear()
        line.fates.append("unanswered")
        store.set_embedder(EXAMPLE_MODEL, [("team", "t0", example_vector(7))])
        line.fates.append("unanswered")
        assert store.write([Batch("team", "forget", forget_tasks=["t1"])]) == [True]
        assert store.task_ids("team") == ["t0"]
        assert store.vectors("team", ["t0"])["t0"].tobytes() == example_vector(7).tobytes()
        assert store.check() == []
        assert line.unanswered == 6
    counts = neo4j.ask("MATCH (w:GmemWrite) RETURN count(w) AS writes, count(DISTINCT w.uid) AS different")
    assert counts == [{"writes": 5, "different": 5}]


# --- a copy over such a line ------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with contextlib.closing(EmbeddedStore(tmp_path / "m.gmem")) as store:
        store.set_embedder(EXAMPLE_MODEL)
        store.write([example_batch(f"t{number}", vector=number) for number in range(500)])
        yield store


def test_a_copy_whose_commits_are_lost_or_unanswered_is_whole(
    line: BadLine, neo4j: Access, source: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", neo4j.auth[0])
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j.auth[1])
    neo4j.open().close()
    # Nothing happens while it is opened; then no commit is answered before it is repeated, and one is lost.
    again: tuple[Fate, Fate] = ("unanswered", "passed")
    line.fates.extend((*["passed"] * 3, *again * 3, "lost", *again * 4))  # type: ignore[arg-type]
    migrate(source.location, line.uri)
    assert not line.fates and line.unanswered == 7
    with contextlib.closing(neo4j.open(create=False)) as copied:
        assert fingerprint(copied.records()) == fingerprint(source.records())
        assert copied.check() == []


@pytest.mark.usefixtures("impatient")
def test_a_copy_over_a_line_that_dies_is_named_and_can_be_done_again(
    line: BadLine, neo4j: Access, source: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", neo4j.auth[0])
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j.auth[1])

    with pytest.raises(StoreUnreachable, match="does not answer"):
        migrate(source.location, line.uri, lambda done, of: line.close())
    with pytest.raises(StoreCorrupt, match="a part of a memory"):
        neo4j.open()
    neo4j.empty()
    migrate(source.location, neo4j.uri)
    with contextlib.closing(neo4j.open(create=False)) as copied:
        assert fingerprint(copied.records()) == fingerprint(source.records())
