"""A damaged or foreign file is refused by name; it never gives a wrong answer."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gmem.errors import NotAMemory, StoreCorrupt, StoreError, StoreNotFound, StoreVersionError
from gmem.graphs import Batch, EmbeddedStore
from gmem.model import Evidence, InsightLink
from gmem.testing import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_recall,
    read_everything,
    similar,
)

FLIPS = 500
LOG_FLIPS = 350
FRAME = 24 + 4096


def _fill(store: EmbeddedStore, tasks: int = 24) -> Iterator[dict[str, Any]]:
    """Write task after task with every kind of edge, and give all that is stored after each."""
    for number in range(tasks):
        id, last = f"t{number}", f"t{number - 1}"
        write = example_batch(id, vector=number, context=f"scene {number} " * (number % 7))
        edges = Batch(
            "team", f"edges {id}", insights=[example_insight(f"i{number}")],
            similar=[similar(last, id, number / 100)] if number else [],
            evidence=[Evidence(id, f"i{number}", True, number % 2 > 0)],
            links=[InsightLink(f"i{number - 1}", f"i{number}", id)] if number else [],
            recalls=[example_recall(f"r{number}", id, (f"i{number}", id))],
        )  # fmt: skip
        other = replace(example_batch(id, f"team {number % 3}"), op_id=f"other {id}")
        store.write([write, edges, other])
        yield read_everything(store)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    """A closed memory, and all that is in it."""
    path = tmp_path_factory.mktemp("closed") / "memory.gmem"
    store = EmbeddedStore(path)
    store.set_embedder(EXAMPLE_MODEL)
    *_, everything = _fill(store)
    store.write([Batch("team", "forget", forget_tasks=["t3", "t9"])])  # so that there are free pages, too
    everything = read_everything(store)
    store.close()
    assert not Path(f"{path}-wal").exists() or not Path(f"{path}-wal").stat().st_size
    return path.read_bytes(), everything


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, list[dict[str, Any]], list[int]]:
    """File and log of a memory that was never closed; its states; and where in the log each one begins."""
    path = tmp_path_factory.mktemp("log") / "memory.gmem"
    wal = Path(f"{path}-wal")
    store = EmbeddedStore(path)
    store.set_embedder(EXAMPLE_MODEL)
    first = wal.stat().st_size
    states, ends = [read_everything(store)], [first]
    for state in _fill(store, 6):
        states.append(state)
        ends.append(_last_commit(wal.read_bytes()))
    content = path.read_bytes(), wal.read_bytes()
    store.close()
    assert ends == sorted(set(ends))
    return *content, states, ends


def _last_commit(log: bytes) -> int:
    """Give where the last frame ends that finishes a write."""
    ends = range(32 + FRAME, len(log) + 1, FRAME)
    return max(end for end in ends if struct.unpack(">I", log[end - FRAME + 4 : end - FRAME + 8])[0])


def _read(path: Path) -> dict[str, Any] | StoreError:
    """Open a memory and read all of it; give what is in it, or the error by name."""
    try:
        store = EmbeddedStore(path, create=False)
    except StoreError as error:
        return error
    try:
        found = read_everything(store)
        assert store.check() == []
        return found
    except StoreError as error:
        return error
    finally:
        store.close()


def test_one_flipped_byte_is_noticed_or_does_not_matter(closed: tuple[bytes, dict[str, Any]], tmp_path: Path) -> None:
    content, everything = closed
    rng = random.Random(7)
    path = tmp_path / "memory.gmem"
    refused = 0
    places = [*range(100), *(rng.randrange(len(content)) for _ in range(FLIPS))]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= rng.choice([1, 0x80, 0xFF, rng.randrange(1, 256)])
        path.write_bytes(flipped)
        found = _read(path)
        if isinstance(found, StoreError):
            assert isinstance(found, (StoreCorrupt, NotAMemory, StoreVersionError)), (place, found)
            assert str(path) in str(found)
            refused += 1
        else:
            assert found == everything, f"byte {place} changed the answer"
    assert refused > len(places) // 3


def test_a_truncated_file_is_refused(closed: tuple[bytes, dict[str, Any]], tmp_path: Path) -> None:
    content, _ = closed
    rng = random.Random(3)
    path = tmp_path / "memory.gmem"
    for size in [1, 15, 16, 50, 99, 100, 512, 4095, 4096, *(rng.randrange(len(content)) for _ in range(30))]:
        path.write_bytes(content[:size])
        assert isinstance(_read(path), (StoreCorrupt, NotAMemory)), size


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"random"], ids=["zeros", "ones", "random"])
def test_a_ruined_page_is_refused(closed: tuple[bytes, dict[str, Any]], tmp_path: Path, fill: bytes) -> None:
    content, everything = closed
    path = tmp_path / "memory.gmem"
    rng = random.Random(5)
    for page in range(0, len(content) // 4096):
        ruined = rng.randbytes(4096) if fill == b"random" else fill * 4096
        path.write_bytes(content[: page * 4096] + ruined + content[(page + 1) * 4096 :])
        found = _read(path)
        assert isinstance(found, (StoreCorrupt, NotAMemory)) or found == everything, page


def test_a_log_cut_anywhere_holds_whole_writes(
    log: tuple[bytes, bytes, list[dict[str, Any]], list[int]], tmp_path: Path
) -> None:
    file, wal, states, ends = log
    rng = random.Random(11)
    frames = range(32, len(wal) + 1, FRAME)
    cuts = {0, 1, 31, *(f + d for f in frames for d in (-1, 0, 1)), *(rng.randrange(len(wal)) for _ in range(300))}
    path = tmp_path / "memory.gmem"
    for cut in sorted(c for c in cuts if c <= len(wal)):
        path.write_bytes(file)
        Path(f"{path}-wal").write_bytes(wal[:cut])
        Path(f"{path}-shm").unlink(missing_ok=True)
        kept = sum(end <= cut for end in ends)
        found = _read(path)
        if kept:
            assert found == states[kept - 1], f"cut at {cut}"
        else:  # before the first state, which recorded the model
            assert isinstance(found, dict)
            assert found == {"embedder": None, "teams": []}


def test_a_flipped_byte_in_the_log_loses_no_finished_write_in_silence(
    log: tuple[bytes, bytes, list[dict[str, Any]], list[int]], tmp_path: Path
) -> None:
    file, wal, states, ends = log
    # In SQLite's log a changed byte in the last write, or in the mark that ends the one before, looks
    # like a write that never finished: it is gone as a whole, and nothing else is.
    last = range(ends[-2], ends[-1])
    mark = range(ends[-2] - FRAME, ends[-2] - FRAME + 24)
    rng = random.Random(13)
    path = tmp_path / "memory.gmem"
    for place in [*range(32), *range(32, 56), *(rng.randrange(ends[-1]) for _ in range(LOG_FLIPS))]:
        flipped = bytearray(wal)
        flipped[place] ^= rng.randrange(1, 256)
        path.write_bytes(file)
        Path(f"{path}-wal").write_bytes(flipped)
        Path(f"{path}-shm").unlink(missing_ok=True)
        found = _read(path)
        if isinstance(found, StoreError):
            assert isinstance(found, StoreCorrupt), (place, found)
            assert Path(f"{path}-wal").read_bytes() == flipped  # left as it was, for whoever wants to save it
        elif place in last:
            assert found in (states[-1], states[-2]), place
        elif place in mark:
            assert found in (states[-1], states[-2], states[-3]), place
        else:
            assert found == states[-1], f"byte {place} lost a finished write in silence"


def test_an_empty_file_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    path.touch()
    with pytest.raises(NotAMemory, match="empty"):
        EmbeddedStore(path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("content", [b"hello\n" * 1000, b"SQLite format 3\0" + b"\0" * 200, b"\x7fELF", b"{}"])
def test_another_file_is_no_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memory.gmem"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"memory\.gmem"):
        EmbeddedStore(path)
    assert path.read_bytes() == content


def test_an_sqlite_file_of_another_program_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(NotAMemory, match="another program"):
        EmbeddedStore(path)
    assert path.read_bytes() == before


def test_a_folder_is_no_memory(tmp_path: Path) -> None:
    with pytest.raises(NotAMemory, match="folder"):
        EmbeddedStore(tmp_path)


@pytest.mark.parametrize(("version", "hint"), [(99, "upgrade"), (0, "export")])
def test_another_format_is_refused(tmp_path: Path, version: int, hint: str) -> None:
    path = tmp_path / "memory.gmem"
    EmbeddedStore(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version:d}")
    db.close()
    with pytest.raises(StoreVersionError, match=hint):
        EmbeddedStore(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM record WHERE id = 't1'",
        "DELETE FROM trace WHERE id = 't1'",
        "DELETE FROM op WHERE seq = 2",
        "DELETE FROM meta WHERE key = 'embedder'",
        "UPDATE meta SET value = '9 example' WHERE key = 'embedder'",
        "UPDATE record SET team = 'other' WHERE id = 't1' AND team = 'team'",
        "UPDATE record SET body = replace(body, 'boil', 'burn') WHERE kind = 'task' AND id = 't1'",
        "UPDATE record SET seq = 1 WHERE id = 't2'",
        "UPDATE op SET op_id = 'x' WHERE seq = 2",
        "INSERT INTO record SELECT 999, kind, team, 'smuggled', seq, sum, body FROM record WHERE id = 't1' LIMIT 1",
        "DROP INDEX record_seq",
        "DROP TABLE trace",
        "ALTER TABLE op ADD COLUMN x",
    ],
)
def test_what_was_changed_behind_its_back_is_noticed(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "memory.gmem"
    store = EmbeddedStore(path)
    store.set_embedder(EXAMPLE_MODEL)
    for _ in _fill(store, 4):
        pass
    store.close()
    db = sqlite3.connect(path)
    changed = db.execute(statement).rowcount
    db.commit()
    db.close()
    assert changed
    assert isinstance(_read(path), StoreCorrupt)


def test_damage_to_a_conversation_is_found_when_it_is_read_and_by_check(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    store = EmbeddedStore(path)
    for _ in _fill_words(store):
        pass
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE trace SET body = (SELECT body FROM trace WHERE id = 't0') WHERE id = 't1'")
    db.commit()
    db.close()
    opened = EmbeddedStore(path)
    assert opened.interaction("team", "t0").utterances
    with pytest.raises(StoreCorrupt, match="t1"):
        opened.interaction("team", "t1")
    assert [p for p in opened.check() if "t1" in p]
    opened.close()


def _fill_words(store: EmbeddedStore) -> Iterator[None]:
    for number in range(3):
        store.write([example_batch(f"t{number}")])
        yield


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match=r"no\.gmem"):
        EmbeddedStore(tmp_path / "no.gmem", create=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreNotFound, match="folder"):
        EmbeddedStore(tmp_path / "nowhere" / "no.gmem")


@pytest.mark.parametrize("name", ["with space.gmem", "naïve 名前 😀.gmem", "per%20cent?query#hash.gmem", "a'b;c.gmem"])
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    if "?" in name and Path("C:/").drive:
        name = name.replace("?", "")  # no such names on Windows
    path = tmp_path / name
    store = EmbeddedStore(path)
    store.write([example_batch("t")])
    store.close()
    assert path.exists()
    copy = tmp_path / "copy.gmem"
    shutil.copy(path, copy)
    store = EmbeddedStore(copy, create=False)
    assert store.task_ids("team") == ["t"]
    store.close()
    assert isinstance(_read(path), dict)
    assert {p.name for p in tmp_path.iterdir()} <= {n + end for n in (name, "copy.gmem") for end in ("", ".lock")}
