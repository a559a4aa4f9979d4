"""Several processes, threads and copies of a process use one memory at once."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from gmem.errors import GmemError, InvalidInput, StoreBusy, StoreError, StoreFull
from gmem.graphs import Batch, EmbeddedStore
from gmem.graphs._transaction import Transaction
from gmem.graphs._writing import carry_out
from gmem.model import Evidence
from gmem.testing import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_recall,
    example_vector,
    read_everything,
    similar,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork, so nothing to survive")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.gmem"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    with contextlib.closing(EmbeddedStore(path)) as store:
        yield store


def _in_child(work: Callable[[], None]) -> int:
    """Run something in a copy of this process; give the copy's id."""
    with warnings.catch_warnings():  # newer Pythons warn of threads, such as those of numpy
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    return pid


def _join(*pids: int, seconds: float = 60) -> None:
    """Wait until copies have ended well; a copy that hangs is a failure, not a wait for ever."""
    end = time.monotonic() + seconds
    for pid in pids:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f"a child failed with status {status}"
                break
            if time.monotonic() > end:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                raise AssertionError("a child hangs")
            time.sleep(0.005)


@needs_fork
def test_parent_and_children_all_write_after_a_fork(store: EmbeddedStore) -> None:
    store.set_embedder(EXAMPLE_MODEL)
    store.write([example_batch("before", vector=0)])

    def write(name: str) -> None:
        for i in range(15):
            store.write([example_batch(f"{name}.{i}", vector=i)])
            assert store.tasks("team", [f"{name}.{i}"])

    children = [_in_child(lambda n=n: write(f"child {n}")) for n in range(4)]  # type: ignore[misc]
    write("parent")
    _join(*children)
    assert len(store.task_ids("team")) == 1 + 5 * 15
    assert len(store.vectors("team", store.task_ids("team"))) == 1 + 5 * 15
    assert store.check() == []


@needs_fork
def test_a_fork_amid_the_writes_and_reads_of_other_threads(store: EmbeddedStore) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            number = 0
            while not stop.is_set():
                store.write([example_batch(f"{name}.{number}")])
                assert store.candidates("team", {"boil": 1}, None).ids
                number += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()

    def child(number: int) -> None:
        store.write([example_batch(f"child {number}")])
        assert f"child {number}" in store.task_ids("team")

    try:
        for number in range(12):
            _join(_in_child(lambda n=number: child(n)), seconds=30)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert {f"child {n}" for n in range(12)} <= set(store.task_ids("team"))
    assert store.check() == []


@needs_fork
def test_threads_may_fork_at_once(store: EmbeddedStore) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(4):
                _join(_in_child(lambda: store.write([example_batch(f"{number}.{i}")]) and None))  # noqa: B023
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.task_ids("team")) == 16


@needs_fork
def test_a_closed_store_does_not_mind_a_fork(path: Path) -> None:
    store = EmbeddedStore(path)
    store.close()
    _join(_in_child(lambda: None))


@needs_fork
def test_no_connection_crosses_a_fork(store: EmbeddedStore) -> None:
    store.write([example_batch("a")])
    assert store.task_ids("team") == ["a"]
    file = store._file
    mine = file._reader, file._writer
    assert None not in mine

    def child() -> None:
        assert file._reader is None
        assert file._writer is None
        assert store.task_ids("team") == ["a"]
        store.close()

    _join(_in_child(child))
    assert store.write([example_batch("b")]) == [True]
    assert store.task_ids("team") == ["a", "b"]


def test_two_stores_on_one_file_see_each_other(store: EmbeddedStore, path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path)) as other:
        store.set_embedder(EXAMPLE_MODEL)
        assert other.embedder() == EXAMPLE_MODEL
        store.write([example_batch("a", vector=1), example_batch("b", vector=2)])
        assert other.task_ids("team") == ["a", "b"]
        other.write([Batch("team", "edge", similar=[similar("a", "b")], insights=[example_insight("i")])])
        assert store.neighbours("team", "a") == [similar("a", "b")]
        assert read_everything(store) == read_everything(other)
        assert not store.write([Batch("team", "edge")])[0]
        other.write([Batch("team", "forget", forget_tasks=["a"])])
        assert store.task_ids("team") == ["b"]
        assert store.neighbours("team", "b") == []
        assert "a" not in store.candidates("team", {"boil": 1}, example_vector(1)).ids
        assert read_everything(store) == read_everything(other)
        store.compact()
        assert read_everything(store) == read_everything(other)
        assert store.check() == other.check() == []


def test_forgetting_reaches_edges_that_another_process_has_just_tied(store: EmbeddedStore, path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path)) as other:
        store.write([example_batch("a"), example_batch("b"), Batch("team", "i", insights=[example_insight("i")])])
        assert store.task_ids("team") == ["a", "b"]
        other.write(
            [
                Batch(
                    "team", "edges", similar=[similar("a", "b")], evidence=[Evidence("a", "i", True, True)],
                    recalls=[example_recall("r", "b", ("a",))],
                )
            ]
        )  # fmt: skip
        store.write([Batch("team", "forget", forget_tasks=["a"])])  # without having read in between
        assert store.check() == other.check() == []
        assert other.recalls("team")[0].shown == ()
        assert other.evidence("team") == other.neighbours("team", "b") == []


def test_a_new_embedder_reaches_teams_that_another_process_has_just_made(store: EmbeddedStore, path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path)) as other:
        store.set_embedder(EXAMPLE_MODEL)
        other.write([example_batch("a", "new team", vector=1)])
        store.set_embedder(None)
        assert other.vectors("new team", ["a"]) == store.vectors("new team", ["a"]) == {}


def _program(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_two_programs_see_each_other(store: EmbeddedStore, path: Path) -> None:
    store.write([example_batch("a"), example_batch("b")])
    assert store.task_ids("team") == ["a", "b"]
    code = (
        "import sys; from gmem.graphs import Batch, EmbeddedStore; from gmem.testing import example_batch\n"
        "s = EmbeddedStore(sys.argv[1]); assert s.task_ids('team') == ['a', 'b']\n"
        "s.write([example_batch('c'), Batch('team', 'f', forget_tasks=['a'])])\n"
        "print('done', flush=True); sys.stdin.readline()\n"
        "assert s.task_ids('team') == ['b', 'c', 'd'], s.task_ids('team')\n"
        "assert s.check() == []; s.close()\n"
    )
    program = _program(code, str(path))
    assert program.stdin and program.stdout
    assert program.stdout.readline().strip() == b"done"
    assert store.task_ids("team") == ["b", "c"]
    assert "a" not in store.candidates("team", {"boil": 1}, None).ids
    store.write([example_batch("d")])
    program.communicate(b"go\n", timeout=60)
    assert program.returncode == 0
    assert store.check() == []


def test_a_process_killed_while_it_holds_the_lock_blocks_nobody(store: EmbeddedStore, path: Path) -> None:
    code = (
        "import sys, time; from filelock import FileLock\n"
        "lock = FileLock(sys.argv[1] + '.lock'); lock.acquire(); print('held', flush=True); time.sleep(600)\n"
    )
    program = _program(code, str(path))
    assert program.stdout
    assert program.stdout.readline().strip() == b"held"
    with pytest.raises(StoreBusy, match=r"0\.1 s"), contextlib.closing(EmbeddedStore(path, timeout=0.1)):
        pass
    program.kill()
    program.communicate()
    assert store.write([example_batch("a")]) == [True]


def test_a_store_that_is_held_for_long_is_busy_and_then_works(path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path, timeout=0.1)) as store:
        with FileLock(f"{path}.lock", thread_local=False), pytest.raises(StoreBusy):
            store.write([example_batch("a")])
        assert store.task_ids("team") == []
        assert store.write([example_batch("a")]) == [True]


def test_a_foreign_program_that_holds_the_file_makes_it_busy(path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path, timeout=0.1)) as store:
        store.write([example_batch("a")])
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            store.write([example_batch("b")])
        assert store.task_ids("team") == ["a"]
        foreign.execute("ROLLBACK")
        foreign.execute("BEGIN")
        foreign.execute("SELECT count(*) FROM record").fetchall()
        assert store.write([example_batch("b")]) == [True]  # who reads does not keep anybody from writing
        with pytest.raises(StoreBusy, match="read"):
            store.compact()  # but its log would still hold what was forgotten
        foreign.close()
        store.compact()
        assert store.task_ids("team") == ["a", "b"]


def test_a_deleted_lock_file_is_made_anew(store: EmbeddedStore, path: Path) -> None:
    lock = Path(f"{path}.lock")
    with contextlib.closing(EmbeddedStore(path)) as other:
        for number in range(4):
            lock.unlink(missing_ok=True)
            store.write([example_batch(f"{number}")])
            other.write([example_batch(f"other {number}")])
        assert len(store.task_ids("team")) == 8
        assert store.check() == []


def test_the_log_is_folded_into_the_file_while_others_read(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmem.graphs._record.WAL_LIMIT", 100_000)
    log = Path(f"{path}-wal")
    with contextlib.closing(EmbeddedStore(path)) as other:
        for number in range(60):
            store.write([example_batch(f"{number}")])
            assert len(other.task_ids("team")) == number + 1
        assert log.stat().st_size < 200_000
        assert path.stat().st_size > 50_000
        assert store.check() == other.check() == []


def test_a_load_that_breaks_off_half_way_is_done_again(store: EmbeddedStore, path: Path) -> None:
    with contextlib.closing(EmbeddedStore(path)) as other:
        store.write([example_batch(f"{n}") for n in range(10)])
        taken = 0
        take = other._take

        def break_off(kind: str, team: str, id: str, body: bytes) -> None:
            nonlocal taken
            taken += 1
            if taken == 5:
                raise KeyboardInterrupt
            take(kind, team, id, body)

        other._take = break_off  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            other.task_ids("team")
        assert len(other.task_ids("team")) == 10
        assert read_everything(other) == read_everything(store)


def test_calls_that_wait_share_one_commit_and_fail_alone(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmem.graphs._record.GROUP", 5)
    results: dict[int, object] = {}

    def work(number: int) -> None:
        parts = [Batch("team", f"a {number}", insights=[example_insight(f"i{number}")]), example_batch(f"t{number}")]
        if number % 3 == 0:
            parts.append(Batch("team", f"bad {number}", similar=[similar("t1", "nobody")]))
        try:
            results[number] = store.write(parts)
        except GmemError as error:
            results[number] = type(error)

    carried_out = []

    def noted(tx: Transaction, batch: Batch) -> bool:
        carried_out.append(batch.op_id)
        return carry_out(tx, batch)

    monkeypatch.setattr("gmem.graphs._embedded.carry_out", noted)
    commits = 0
    commit = store._file._commit

    def counted(group: list[object]) -> None:
        nonlocal commits
        commits += 1
        commit(group)  # type: ignore[arg-type]

    monkeypatch.setattr(store._file, "_commit", counted)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(11)]
    with store._file._write_lock:
        for thread in threads:
            thread.start()
        while len(store._file._waiting) < 11:
            time.sleep(0.001)
        work(11)  # this thread has the lock, so it leads, though it came last
    for thread in threads:
        thread.join()
    assert results == {n: InvalidInput if n % 3 == 0 else [True, True] for n in range(12)}
    assert commits <= 4
    assert len(carried_out) == len(set(carried_out)) == 12 * 2 + 4  # nobody's work was done twice
    assert sorted(store.task_ids("team")) == sorted(f"t{n}" for n in range(12) if n % 3)
    assert len(store.insights("team")) == 8
    assert store.check() == []


def test_a_commit_that_fails_fails_for_its_leader_and_the_others_try_alone(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[int, object] = {}
    fold = Transaction.finish
    broken = iter([True])

    def finish(tx: Transaction) -> None:
        if next(broken, False):
            raise sqlite3.OperationalError("disk I/O error")
        fold(tx)

    monkeypatch.setattr(Transaction, "finish", finish)

    def work(number: int) -> None:
        try:
            results[number] = store.write([example_batch(f"t{number}")])
        except StoreError as error:
            results[number] = type(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    with store._file._write_lock:
        for thread in threads:
            thread.start()
        while len(store._file._waiting) < 6:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert sorted(map(str, results.values())) == sorted([str(StoreFull), *["[True]"] * 5])
    assert len(store.task_ids("team")) == 5
    assert store.check() == []
