"""What was acknowledged survives the death of whoever wrote it, whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from asked import asked

from gmem.graphs import EmbeddedStore
from gmem.testing import EXAMPLE_MODEL, read_everything
from gmem.testing.crash import find_torn, write_until_killed

KILLS = asked("KILLS", 200)
WRITERS = 4
ROUNDS_PER_FILE = 10


class Writer:
    """A process that writes until it is killed; forked where that is possible, because it is quick."""

    def __init__(self, path: Path, acks: Path, name: str, *, fork: bool) -> None:
        self._pid = 0
        if not fork:
            command = [sys.executable, "-m", "gmem.testing.crash", str(path), str(acks), name]
            self._process = subprocess.Popen(command, stderr=subprocess.PIPE)
            return
        with warnings.catch_warnings():  # newer Pythons warn of threads, such as those of numpy
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            try:
                write_until_killed(EmbeddedStore(path, timeout=60), acks, name)
            finally:
                os._exit(1)  # only an error leads here

    def kill(self) -> None:
        """Kill it; whoever died by itself before is a failure."""
        if self._pid:
            done, status = os.waitpid(self._pid, os.WNOHANG)
            assert done == 0, f"a writer died by itself, with status {status}"
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        else:
            alive = self._process.poll() is None
            self._process.kill()
            _, errors = self._process.communicate()
            assert alive, f"a writer died by itself: {errors.decode()}"


def _crash(folder: Path, rounds: int, rng: random.Random, *, fork: bool) -> int:
    """Kill every writer of one file, round by round, and verify it; give how many writes were kept."""
    path = folder / "memory.gmem"
    with_model = EmbeddedStore(path)
    with_model.set_embedder(EXAMPLE_MODEL)
    with_model.close()
    acks: list[Path] = []
    for number in range(rounds):
        notes = [folder / f"{number}.{w}.acks" for w in range(WRITERS)]
        for file in notes:
            file.touch()
        writers = [Writer(path, file, file.stem, fork=fork) for file in notes]
        acks += notes
        end = time.monotonic() + 30
        while not fork and not any(f.stat().st_size for f in notes) and time.monotonic() < end:
            time.sleep(0.01)  # programs take their time to start
        for writer in rng.sample(writers, len(writers)):
            time.sleep(rng.random() * 0.08)  # from before it has opened the file to well into its writes
            writer.kill()
    opened = EmbeddedStore(path, create=False)
    try:
        assert find_torn(opened, acks) == []
        before = read_everything(opened)
    finally:
        opened.close()
    again = EmbeddedStore(path, create=False)
    try:
        assert read_everything(again) == before
    finally:
        again.close()
    return sum(f.read_bytes().count(b"+") for f in acks)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="killing forked writers needs fork; programs are killed below")
@pytest.mark.timeout(max(300, KILLS))
def test_killed_writers_lose_nothing_and_leave_nothing_half_done(tmp_path: Path) -> None:
    kills = kept = 0
    while kills < KILLS:
        folder = tmp_path / str(kills)
        folder.mkdir()
        kept += _crash(folder, ROUNDS_PER_FILE, random.Random(kills), fork=True)
        kills += ROUNDS_PER_FILE * WRITERS
    assert kept  # the writers did get to write, on a busy machine not often


def test_killed_programs_lose_nothing_and_leave_nothing_half_done(tmp_path: Path) -> None:
    assert _crash(tmp_path, 2, random.Random(1), fork=False) > 0
