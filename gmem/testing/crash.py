"""Writers to be killed, or whose store is, and what must be true of the store afterwards.

As a program, `python -m gmem.testing.crash FILE ACKS NAME` writes to an embedded store until somebody
kills it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gmem.errors import StoreError
from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.model import Evidence
from gmem.testing.examples import (
    example_insight,
    example_interaction,
    example_recall,
    example_task,
    example_vector,
    similar,
)

__all__ = ["CRASH_TEAM", "find_torn", "insist", "replay", "write_until_killed"]

CRASH_TEAM = "crash"
_FORGET_EVERY = 5


def insist(call: Callable[[], object], patience: float) -> int:
    """Do something again and again until the store takes it.

    Args:
        call: What to do; must be safe to repeat.
        patience: Seconds after which its error is raised after all.

    Returns:
        How often the store could not take it.
    """
    end, refused = time.monotonic() + patience, 0
    while True:
        try:
            call()
        except StoreError:
            if time.monotonic() > end:
                raise
            refused += 1
            time.sleep(0.1)
        else:
            return refused


def write_until_killed(
    store: GraphStore, acks: Path, name: str, *, stop: Callable[[], bool] = lambda: False, patience: float = 0.0
) -> int:
    """Write tasks with every kind of edge, now and then forget one, and note what was acknowledged.

    Args:
        store: Where to write; an embedding model must be recorded.
        acks: File to which a line is added for each acknowledged write (`+ id`, `- id`), and before
            each forgetting (`? id`).  Each line is one system call, so it outlives the process.
        name: Prefix of the ids, unlike that of any other writer.
        stop: Tells between two writes whether to end, where nobody kills.
        patience: Seconds for which a write is repeated that the store cannot take.

    Returns:
        How many writes the store could not take at first.
    """
    log = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(line: str) -> None:
        os.write(log, f"{line}\n".encode())

    before, number, refused = "", 0, 0
    while not stop():
        batch = _batch(name, number, before)
        id = f"{name}.{number}"
        refused += insist(lambda batch=batch: store.write([batch]), patience)  # type: ignore[misc]
        note(f"+ {id}")
        before, number = id, number + 1
        if number % _FORGET_EVERY == 0:
            note(f"? {id}")
            refused += insist(lambda id=id: store.write([_forgetting(id)]), patience)  # type: ignore[misc]
            note(f"- {id}")
            before = ""
    os.close(log)
    return refused


def _batch(name: str, number: int, before: str) -> Batch:
    id = f"{name}.{number}"
    return Batch(
        CRASH_TEAM, f"write {id}",
        tasks=[example_task(id, CRASH_TEAM, metadata={"before": before})],
        interactions=[example_interaction(id)], vectors={id: example_vector(number)},
        similar=[similar(before, id)] if before else [],
        insights=[example_insight(f"i {id}", CRASH_TEAM)], evidence=[Evidence(id, f"i {id}", True, True)],
        recalls=[example_recall(f"r {id}", id, (f"i {id}",))],
    )  # fmt: skip


def _forgetting(id: str) -> Batch:
    return Batch(CRASH_TEAM, f"forget {id}", forget_tasks=[id], forget_insights=[f"i {id}"])


def replay(acks: Iterable[Path], order: Iterable[str]) -> Iterator[Batch]:
    """Give the acknowledged writes again, to be done to a twin of the store.

    Args:
        acks: What the writers noted; none of them may have been killed.
        order: Ids of the tasks that are there, in the order in which they came.
    """
    following: dict[str, list[Batch]] = {}  # what its writer did next, for each task that stays
    first: list[Batch] = []
    for file in acks:
        goes_on, before = first, ""
        lines = file.read_text(encoding="utf-8").splitlines()
        gone = {line[2:] for line in lines if line[0] == "-"}
        for id in (line[2:] for line in lines if line[0] == "+"):
            name, _, number = id.rpartition(".")
            batch = _batch(name, int(number), before)
            if id in gone:
                goes_on += [batch, _forgetting(id)]
                before = ""
            else:
                goes_on = following[id] = [batch]
                before = id
    yield from first
    for id in order:
        yield from following.get(id, ())


def find_torn(store: GraphStore, acks: Iterable[Path]) -> list[str]:
    """Say what of the acknowledged writes is missing, and which tasks are there in part or twice.

    Args:
        store: The store, after its writers were killed or have ended.
        acks: What the writers noted.
    """
    written: set[str] = set()
    asked: set[str] = set()
    gone: set[str] = set()
    for file in acks:
        for line in file.read_text(encoding="utf-8").splitlines():
            {"+": written, "?": asked, "-": gone}[line[0]].add(line[2:])
    with store.reading(CRASH_TEAM):
        return _torn(store, written, asked, gone) + store.check()


def _torn(store: GraphStore, written: set[str], asked: set[str], gone: set[str]) -> list[str]:
    ids = store.task_ids(CRASH_TEAM)
    stored = set(ids)
    problems = [f"{id} was acknowledged and is lost" for id in sorted(written - asked - stored)]
    problems += [f"{id} was forgotten and is there" for id in sorted(gone & stored)]
    problems += [f"{id} is there twice" for id in sorted(stored) if len(ids) > len(stored) and ids.count(id) > 1]
    vectors = store.vectors(CRASH_TEAM, ids)
    insights = {i.id for i in store.insights(CRASH_TEAM)}
    cases = store.cases(CRASH_TEAM, ids)
    problems += [f"{id} is listed and cannot be read" for id in ids if id not in cases]
    for id, (task, interaction) in cases.items():
        before = task.metadata["before"]
        parts = {
            "interaction": interaction == example_interaction(id),
            "vector": id in vectors,
            "insight": f"i {id}" in insights,
            "evidence": store.evidence(CRASH_TEAM, task_id=id) == [Evidence(id, f"i {id}", True, True)],
            "recall": [r.id for r in store.recalls(CRASH_TEAM, id)] == [f"r {id}"],
            "similarity": before not in stored or similar(before, id) in store.neighbours(CRASH_TEAM, id),
        }
        problems += [f"{id} has lost its {part}" for part, there in parts.items() if not there]
    if len(insights) != len(stored):
        problems.append(f"there are {len(insights)} insights for {len(stored)} tasks")
    return problems


if __name__ == "__main__":
    write_until_killed(EmbeddedStore(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
