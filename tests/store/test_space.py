"""A full disk is called by its name and costs nothing; forgotten text is nowhere left on it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gmem.errors import StoreError, StoreFull
from gmem.graphs import Batch, EmbeddedStore
from gmem.model import Interaction, Model, Utterance
from gmem.testing import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_task,
    example_vector,
    read_everything,
)

needs_limits = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows limits no file's size; the page limit below fills a file everywhere"
)


@contextlib.contextmanager
def _limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _filled(path: Path) -> EmbeddedStore:
    store = EmbeddedStore(path)
    store.set_embedder(EXAMPLE_MODEL)
    for number in range(12):
        store.write([example_batch(f"t{number}", vector=number)])
    store.write([Batch("team", "insight", insights=[example_insight("i")])])
    return store


WRITES: dict[str, Callable[[EmbeddedStore], object]] = {
    "write": lambda s: s.write([example_batch(f"new {n}", vector=n) for n in range(20)]),
    "forget": lambda s: s.write([Batch("team", "forget", forget_tasks=["t1", "t5"], forget_insights=["i"])]),
    "reembed": lambda s: s.set_embedder(
        Model("big", 512), [("team", id, example_vector(1, 512)) for id in s.task_ids("team")]
    ),
}


@needs_limits
@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path, what: str) -> None:
    path = tmp_path / "memory.gmem"
    store = _filled(path)
    log = Path(f"{path}-wal")
    before = read_everything(store)
    full, extra, step = 0, 0, 700
    while True:
        with _limit(log.stat().st_size + extra):
            try:
                WRITES[what](store)
                break
            except StoreFull as error:
                assert "make room" in str(error)
                full += 1
            assert read_everything(store) == before
        if full % 10 == 1:
            again = EmbeddedStore(path)
            assert read_everything(again) == before
            again.close()
        extra += step
        if full % 20 == 0:
            step *= 2
    assert full > 5
    assert store.check() == []
    after = read_everything(store)
    assert after != before
    store.close()
    store = EmbeddedStore(path)
    assert read_everything(store) == after
    store.write([example_batch("later", vector=1)] if what != "reembed" else [Batch("team", "later")])
    store.close()


@needs_limits
def test_compacting_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    store = _filled(path)
    before = read_everything(store)
    full = 0
    for size in range(0, 400_000, 9_000):
        with _limit(size):
            try:
                store.compact()
            except StoreFull:
                full += 1
            assert read_everything(store) == before
    assert full
    store.compact()
    assert read_everything(store) == before
    assert store.check() == []
    store.close()


@needs_limits
def test_a_new_memory_on_a_full_disk_is_none(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    made = 0
    for size in range(0, 80_000, 3_000):
        with _limit(size):
            try:
                EmbeddedStore(path).close()
                made += 1
            except StoreFull:
                assert not path.exists() or made == 0
        if path.exists():
            store = EmbeddedStore(path)  # whatever was made is whole
            assert store.check() == []
            store.close()
            for file in tmp_path.iterdir():
                file.unlink()
    assert made
    assert not list(tmp_path.glob("*.new*"))


@needs_limits
def test_opening_and_closing_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    store = _filled(path)
    before = read_everything(store)
    with _limit(1000):
        store.close()  # the log cannot be folded into the file, and stays
    again = EmbeddedStore(path)
    assert read_everything(again) == before
    again.close()


def test_a_file_that_may_not_grow_is_full(tmp_path: Path) -> None:
    store = _filled(tmp_path / "memory.gmem")
    before = read_everything(store)
    writer = store._file._open_writer()
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages:d}")
    with pytest.raises(StoreFull, match="make room"):
        store.write([example_batch(f"new {n}", vector=n) for n in range(50)])
    assert read_everything(store) == before
    writer.execute(f"PRAGMA max_page_count = {pages * 10:d}")
    store.write([example_batch(f"new {n}", vector=n) for n in range(50)])
    assert len(store.task_ids("team")) == 62
    assert store.check() == []
    store.close()


# --- forgetting ---------------------------------------------------------------------------------

CANARY = "XYZZYcanary"


def _raw(folder: Path, name: str) -> bytes:
    """Give every byte that is left on disk, and every compressed conversation in it."""
    content = b"".join(f.read_bytes() for f in sorted(folder.iterdir()) if f.name.startswith(name))
    db = sqlite3.connect(folder / name)
    traces = b"".join(zlib.decompress(body) for (body,) in db.execute("SELECT body FROM trace"))
    db.close()
    return content + traces


def test_forgotten_text_is_nowhere_left(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    store = EmbeddedStore(path)
    other = EmbeddedStore(path)  # as another process would have it open
    store.write([example_batch(f"t{n}") for n in range(30)])
    said = Interaction("secret", tuple(Utterance(n, "a", "b", "message", f"{CANARY} {n} " * 40) for n in range(30)))
    task = example_task("secret", query=f"about {CANARY}", context=CANARY, reason=CANARY, metadata={CANARY: CANARY})
    lesson = example_insight("i", text=f"beware of {CANARY}")
    store.write([Batch("team", "secret", tasks=[task], interactions=[said], insights=[lesson])])
    store.write([Batch("team", "later", tasks=[example_task("secret", query=f"still {CANARY}", feedback=CANARY)])])
    store.write([example_batch(f"u{n}") for n in range(30)])
    assert other.candidates("team", {CANARY.lower(): 1}, None).lexical.any()
    canary = CANARY.encode()
    packed = zlib.compress(canary * 100, 6)[2:12]
    assert canary in _raw(tmp_path, path.name)
    before = _raw(tmp_path, path.name)

    store.write([Batch("team", "forget", forget_tasks=["secret"], forget_insights=["i"])])
    assert not other.candidates("team", {CANARY.lower(): 1}, None).lexical.any()
    assert "secret" not in other.task_ids("team")
    store.compact()
    for opened in (store, other):
        assert CANARY not in repr(read_everything(opened))
    left = _raw(tmp_path, path.name)
    assert canary not in left
    assert canary[:8] not in left
    trace = [chunk for chunk in _chunks(before) if canary in _inflated(chunk)]
    assert trace  # the compressed conversation was there in one piece ...
    assert all(chunk[10:60] not in left for chunk in trace)  # ... and no part of it is
    assert packed not in left or packed not in before
    store.close()
    other.close()
    assert canary not in _raw(tmp_path, path.name)


def test_forgotten_text_is_overwritten_even_without_compacting(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    store = EmbeddedStore(path)
    store.write([example_batch("secret", query=f"about {CANARY}"), *(example_batch(f"t{n}") for n in range(9))])
    store.close()
    assert CANARY.encode() in path.read_bytes()
    store = EmbeddedStore(path)
    store.write([Batch("team", "forget", forget_tasks=["secret"])])
    store.close()
    assert CANARY.encode() not in path.read_bytes()


def _chunks(content: bytes) -> Iterator[bytes]:
    """Give what may be a compressed conversation, wherever one may begin."""
    start = content.find(b"\x78\x9c")
    while start >= 0:
        yield content[start : start + 3000]
        start = content.find(b"\x78\x9c", start + 1)


def _inflated(chunk: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj().decompress(chunk)
    return b""


# --- permissions --------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such permissions to take away")
@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_a_memory_that_may_not_be_written_says_so(tmp_path: Path, what: str) -> None:
    path = tmp_path / "memory.gmem"
    store = _filled(path)
    store.close()
    Path(f"{path}.lock").unlink()
    if what != "folder":
        path.chmod(0o444)
    tmp_path.chmod(0o777 if what == "file" else 0o555)
    try:
        message = _as_nobody(path)
    finally:
        tmp_path.chmod(0o755)
        path.chmod(0o644)
    assert message.startswith("StoreError:"), message
    assert "who owns" in message
    with contextlib.closing(EmbeddedStore(path)) as store:
        assert len(store.task_ids("team")) == 12


def _as_nobody(path: Path) -> str:
    """Open and write a memory without the rights of the superuser; give the error."""
    import warnings

    for folder in path.parents[1:]:
        if folder.stat().st_uid == os.getuid() and os.getuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o055)
    out, into = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                EmbeddedStore(path).write([example_batch("new")])
                os.write(into, b"no error")
            except StoreError as error:
                os.write(into, f"{type(error).__name__}: {error}".encode())
            except BaseException as error:
                os.write(into, repr(error).encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(pid, 0)
    with os.fdopen(out, "rb") as read:
        return read.read().decode()
