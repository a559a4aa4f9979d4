"""What is refused before anything is read: servers that are too old, formats that no gmem knows, bad addresses."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gmem.errors import GmemError, InvalidInput, StoreCorrupt, StoreVersionError
from gmem.graphs import EmbeddedStore, _sqlite
from gmem.graphs._formats import FORMAT, LOADING, STEPS, check_unchanged, refuse
from gmem.graphs._neo4j import Neo4jStore
from gmem.graphs._opening import too_old
from gmem.graphs._server import parse
from gmem.testing import example_batch, read_everything


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("5.26.30", False),
        ("5.26.0", False),
        ("5.27-aura", False),
        ("2025.01.0", False),
        ("2026.08.1", False),
        ("5.25.1", True),
        ("5.6.0", True),
        ("5.3.0-SNAPSHOT", True),
        ("4.4.44", True),
        ("3.5.35", True),
        ("dev", True),
        ("", True),
    ],
)
def test_a_server_is_too_old_by_what_it_says(version: str, old: bool) -> None:
    assert too_old(version) is old


@pytest.fixture
def old_server() -> Iterator[Callable[[bytes], str]]:
    """Give a way to start a server that shakes hands as an old Neo4j does, and never gets further."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(version: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(20)
                connection.sendall(version)
                connection.recv(1)  # until the driver hangs up

    def start(version: bytes) -> str:
        threading.Thread(target=answer, args=(version,), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    listener.close()


@pytest.mark.parametrize("version", [b"\0\0\0\0", b"\0\0\1\5"], ids=["no version of Bolt in common", "Bolt 5.1"])
@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_a_server_that_cannot_be_asked_is_too_old(
    old_server: Callable[[bytes], str], scheme: str, version: bytes
) -> None:
    with pytest.raises(StoreVersionError, match=r"5\.26 or newer, so upgrade the server"):
        Neo4jStore(f"{scheme}://{old_server(version)}", auth=("neo4j", "secret"), timeout=5.0)


@pytest.mark.parametrize(
    ("format", "error", "says"),
    [
        (FORMAT + 1, StoreVersionError, "pip install -U gmem-engine"),
        (LOADING, StoreCorrupt, "copy again"),
        (0, StoreCorrupt, "no gmem writes"),
        (None, StoreCorrupt, "no gmem writes"),
        ("1", StoreCorrupt, "no gmem writes"),
    ],
)
def test_a_format_that_is_not_read_is_named(format: object, error: type[GmemError], says: str) -> None:
    found = refuse(format, "here")
    assert type(found) is error
    assert says in str(found)
    with pytest.raises(error, match=says):
        check_unchanged(format)


def test_each_older_format_has_a_step() -> None:
    assert sorted(STEPS) == list(range(1, FORMAT))
    assert [refuse(format, "here") for format in (*STEPS, FORMAT)] == [None] * FORMAT
    check_unchanged(FORMAT)
    with pytest.raises(StoreCorrupt, match="older copy"):
        check_unchanged(1)


def test_the_servers_own_database_is_no_place_for_a_memory() -> None:
    with pytest.raises(InvalidInput, match="system"):
        parse("neo4j://localhost?database=system")


# --- an older file ----------------------------------------------------------------------------


def _grow(db: sqlite3.Connection) -> None:
    """Stand for a step to a format of the future."""
    db.execute("ALTER TABLE meta RENAME TO old")
    db.execute(_SCHEMA_2[0])
    db.execute("INSERT INTO meta SELECT key, value, 0 FROM old")
    db.execute("DROP TABLE old")


_SCHEMA_2 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, since INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    *_sqlite._SCHEMA[1:],
)


def _future(monkeypatch: pytest.MonkeyPatch, step: Callable[[sqlite3.Connection], None]) -> None:
    monkeypatch.setattr(_sqlite, "VERSION", 2)
    monkeypatch.setattr(_sqlite, "_SCHEMA", _SCHEMA_2)
    monkeypatch.setattr(_sqlite, "STEPS", {1: step})


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    with closing(EmbeddedStore(tmp_path / "team.gmem")) as store:
        store.write([example_batch("a"), example_batch("b")])
    return tmp_path / "team.gmem"


def test_an_older_file_is_brought_up_once(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EmbeddedStore(old_file)) as store:
        before = read_everything(store)
    done: list[int] = []

    def step(db: sqlite3.Connection) -> None:
        done.append(1)
        _grow(db)

    _future(monkeypatch, step)
    opened: list[EmbeddedStore] = []
    threads = [threading.Thread(target=lambda: opened.append(EmbeddedStore(old_file))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), done) == (4, [1])
    opened[0].write([example_batch("c")])
    for store in opened:
        assert store.task_ids("team") == ["a", "b", "c"]
        assert store.check() == []
        store.close()
    with closing(EmbeddedStore(old_file)) as store:
        assert read_everything(store)["team"]["tasks"][:2] == before["team"]["tasks"]


def test_a_step_that_breaks_off_leaves_the_file_as_it_was(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(db: sqlite3.Connection) -> None:
        _grow(db)
        raise RuntimeError("the power went")

    with monkeypatch.context() as future:
        _future(future, step)
        with pytest.raises(RuntimeError, match="power"):
            EmbeddedStore(old_file)
    with closing(EmbeddedStore(old_file)) as store:
        assert store.task_ids("team") == ["a", "b"]
        assert store.check() == []
