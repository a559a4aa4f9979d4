"""A program that writes to a Neo4j server, whatever happens to server or line, until it is told to stop.

    python stubborn.py URI FOLDER NAME

User and password come from the environment.  What was acknowledged is noted in FOLDER, and a file `stop` there
ends it; then it says as JSON how often the store could not take a write at first.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from langchain_core.embeddings import DeterministicFakeEmbedding
from stories import BAD, GOOD, play

import gmem
from gmem.embed import resolve
from gmem.graphs import GraphStore
from gmem.memory import open_store
from gmem.model import Task
from gmem.testing import EXAMPLE_MODEL
from gmem.testing.crash import insist, write_until_killed

WRITERS = 2
PATIENCE = 300.0
"""Seconds for which one write is repeated."""
PAUSE = 0.03
"""Seconds between two writes, so that there is time for the server and for others."""


def memory_of(store: GraphStore, team: str) -> gmem.Memory:
    """Open a memory with a model that is named as the one that is recorded, and costs nothing."""
    model = DeterministicFakeEmbedding(size=EXAMPLE_MODEL.dimension)
    return gmem.Memory(store, team=team, embedder=resolve(model, name=EXAMPLE_MODEL.name))


def tell(store: GraphStore, team: str, number: int) -> Task:
    """Record a run as a program does that is started anew for each, and learn from it."""
    good = number % 2 == 0
    return play(memory_of(store, team), f"dish {number}", GOOD if good else BAD, resolved=good, run_id=f"run-{number}")


def told(folder: Path, team: str) -> int:
    """Give how many runs of a team were acknowledged."""
    file = folder / f"{team}.told"
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0


def _tell_on(store: GraphStore, folder: Path, team: str, stop: Callable[[], bool]) -> int:
    number = refused = 0
    with (folder / f"{team}.told").open("a", encoding="utf-8") as log:
        while not stop():
            refused += insist(lambda number=number: tell(store, team, number), PATIENCE)  # type: ignore[misc]
            print(number, file=log, flush=True)
            number += 1
    return refused


def _opened(uri: str) -> GraphStore:
    """Open the store, and record an embedding model if nobody has: both as often as it takes."""
    opened: list[GraphStore] = []
    insist(lambda: opened.append(open_store(uri)), PATIENCE)
    insist(lambda: opened[0].set_embedder(EXAMPLE_MODEL, first=True), PATIENCE)
    return opened[0]


def main(uri: str, folder: Path, name: str) -> int:
    """Write until the stop file is there; returns how often a write was refused at first."""
    refused: list[int] = []
    errors: list[BaseException] = []

    def stop() -> bool:
        time.sleep(PAUSE)
        return bool(errors) or (folder / "stop").exists()

    def run(work: Callable[[], int]) -> None:
        try:
            refused.append(work())
        except BaseException as error:
            errors.append(error)

    with closing(_opened(uri)) as store:
        works: list[Callable[[], int]] = [lambda: _tell_on(store, folder, f"team {name}", stop)]
        for number in range(WRITERS):
            own = f"{name}{number}"
            works.append(
                lambda own=own: write_until_killed(  # type: ignore[misc]
                    store, folder / f"{own}.acks", own, stop=stop, patience=PATIENCE
                )
            )
        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return sum(refused)


if __name__ == "__main__":
    print(json.dumps({"refused": main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])}))
