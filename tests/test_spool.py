"""Runs that the store could not take wait on disk, and are stored and learned from when it is back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gmem import Memory
from gmem.errors import StoreError
from gmem.spool import Spool, spool_of


def recording(memory: Memory, query: str = "boil water", text: str = "I heat it") -> Any:
    run = memory.task(query)
    run.say("cook", text)
    run.resolve()
    return run.recording()


def broken(*args: Any, **kwargs: Any) -> Any:
    raise StoreError("the disk is full")


def files(spool: Spool) -> list[Path]:
    return sorted(p for p in spool.folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_a_run_waits_and_is_stored_once(words: Memory) -> None:
    spool, kept = Spool(words), recording(words)
    assert not spool_of(words).exists()  # nothing is made before it is needed
    spool.keep(kept)
    spool.keep(kept)
    assert len(spool) == 1 and len(files(spool)) == 1 and words.tasks() == []
    assert spool.flush() == 1 and len(spool) == 0 and files(spool) == []
    (task,) = words.tasks()
    assert (task.id, task.query, task.outcome) == (kept.task.id, "boil water", "resolved")
    assert [u.content for u in words.interaction(task.id).utterances] == ["I heat it"]
    assert spool.flush() == 0
    spool.close()
    assert not spool_of(words).exists()


def test_storing_a_run_twice_is_storing_it_once(words: Memory) -> None:
    spool, kept = Spool(words), recording(words)
    for _ in range(2):
        spool.keep(kept)
        spool.flush()
    assert len(words.tasks()) == 1


def test_a_run_that_was_stored_after_all_is_dropped(words: Memory) -> None:
    spool, kept = Spool(words), recording(words)
    spool.keep(kept)
    spool.drop(kept.task.id)
    spool.drop("t_never_there")
    assert len(spool) == 0 and spool.flush() == 0


def test_while_the_store_is_away_all_go_on_waiting(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(words)
    for i in range(3):
        spool.keep(recording(words, f"boil water {i}"))
    monkeypatch.setattr(type(words.store), "write", broken)
    with pytest.raises(StoreError):
        spool.flush()
    assert len(spool) == 3
    monkeypatch.undo()
    assert spool.flush() == 3 and len(words.tasks()) == 3


def test_without_a_disk_a_run_is_kept_in_mind(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    spool = Spool(words)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space"):
        spool.keep(recording(words))
    assert len(spool) == 1 and files(spool) == []
    monkeypatch.undo()
    assert spool.flush() == 1 and len(words.tasks()) == 1


CRASH = """
import os, sys
from gmem import Memory
from gmem.spool import Spool
memory = Memory(sys.argv[1], team="blue", embedder="none")
run = memory.task("left behind")
run.say("cook", "I was here")
run.resolve()
spool = Spool(memory)
spool.keep(run.recording())
print("kept", flush=True)
if sys.argv[2] == "crash":
    os._exit(1)
sys.stdin.readline()
"""


def test_what_a_crashed_process_left_is_taken(words: Memory) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, words.location, "crash"], capture_output=True, text=True)
    assert done.stdout == "kept\n", done.stderr
    assert Spool(words).flush() == 1
    assert [t.query for t in words.tasks()] == ["left behind"]


def test_what_a_living_process_holds_is_its_own(words: Memory) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CRASH, words.location, "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "kept\n"
        assert Spool(words).flush() == 0 and words.tasks() == []
        process.stdin.write("\n")
        process.stdin.close()
        process.wait()
    assert Spool(words).flush() == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\0\0\0",
        '{"id": 5}',
        '{"query": "x", "utterances": 7}',
        "[" * 5000,
        "\xff\xfe\x80",
        '{"recalls": [1]}',
    ],
)
def test_what_can_never_be_stored_is_put_aside(words: Memory, content: str) -> None:
    spool = Spool(words)
    spool.keep(recording(words))
    (path,) = files(spool)
    bad = path.with_name("bad.jsonl")
    bad.write_bytes(content.encode("latin-1"))
    assert spool.flush() == 1 and len(words.tasks()) == 1
    assert [p.name for p in files(spool)] == ["bad.jsonl.refused"]
    assert spool.flush() == 0


def test_a_file_is_data_whatever_it_says(words: Memory) -> None:
    spool = Spool(words)
    spool.keep(recording(words, "../../etc/passwd'; DROP TABLE tasks; --", "__import__('os').system('true')"))
    (path,) = files(spool)
    assert json.loads(path.read_text(encoding="utf-8"))
    spool.flush()
    (task,) = words.tasks()
    assert task.query == "../../etc/passwd'; DROP TABLE tasks; --"


def test_a_run_that_may_go_on_is_not_stored_by_its_own_process(words: Memory) -> None:
    spool, kept = Spool(words), recording(words)
    spool.keep(kept, unfinished=True)
    assert len(spool) == 1 and spool.flush() == 0 and words.tasks() == []
    spool.close()
    assert Spool(words).flush() == 1 and len(words.tasks()) == 1


def test_teams_wait_apart(tmp_path: Path) -> None:
    place = tmp_path / "two.gmem"
    with Memory(place, team="blue", embedder="none") as blue, Memory(place, team="red", embedder="none") as red:
        spool = Spool(blue)
        spool.keep(recording(blue))
        assert Spool(red).flush() == 0 and red.tasks() == []
        assert spool.flush() == 1 and len(blue.tasks()) == 1
