"""Writers to be killed, and what must be true of a store after they were.

As a program, `python -m gmem.testing.crash FILE ACKS NAME` writes to an embedded store until somebody
kills it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

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

__all__ = ["CRASH_TEAM", "find_torn", "write_until_killed"]

CRASH_TEAM = "crash"
_FORGET_EVERY = 5


def write_until_killed(store: GraphStore, acks: Path, name: str) -> None:
    """Write tasks with every kind of edge, now and then forget one, and note what was acknowledged.

    Args:
        store: Where to write; an embedding model must be recorded.
        acks: File to which a line is added for each acknowledged write (`+ id`, `- id`), and before
            each forgetting (`? id`).  Each line is one system call, so it outlives the process.
        name: Prefix of the ids, unlike that of any other writer.
    """
    log = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(line: str) -> None:
        os.write(log, f"{line}\n".encode())

    before, number = "", 0
    while True:
        id = f"{name}.{number}"
        batch = Batch(
            CRASH_TEAM, f"write {id}",
            tasks=[example_task(id, CRASH_TEAM, metadata={"before": before})],
            interactions=[example_interaction(id)], vectors={id: example_vector(number)},
            similar=[similar(before, id)] if before else [],
            insights=[example_insight(f"i {id}", CRASH_TEAM)], evidence=[Evidence(id, f"i {id}", True, True)],
            recalls=[example_recall(f"r {id}", id, (f"i {id}",))],
        )  # fmt: skip
        store.write([batch])
        note(f"+ {id}")
        before, number = id, number + 1
        if number % _FORGET_EVERY == 0:
            note(f"? {id}")
            store.write([Batch(CRASH_TEAM, f"forget {id}", forget_tasks=[id], forget_insights=[f"i {id}"])])
            note(f"- {id}")
            before = ""


def find_torn(store: GraphStore, acks: Iterable[Path]) -> list[str]:
    """Say what of the acknowledged writes is missing, and which tasks are there in part.

    Args:
        store: The store, opened anew after its writers were killed.
        acks: What the writers noted.
    """
    written: set[str] = set()
    asked: set[str] = set()
    gone: set[str] = set()
    for file in acks:
        for line in file.read_text(encoding="utf-8").splitlines():
            {"+": written, "?": asked, "-": gone}[line[0]].add(line[2:])
    ids = store.task_ids(CRASH_TEAM)
    stored = set(ids)
    problems = [f"{id} was acknowledged and is lost" for id in sorted(written - asked - stored)]
    problems += [f"{id} was forgotten and is there" for id in sorted(gone & stored)]
    vectors = store.vectors(CRASH_TEAM, ids)
    insights = {i.id for i in store.insights(CRASH_TEAM)}
    for task in store.tasks(CRASH_TEAM, ids):
        id, before = task.id, task.metadata["before"]
        parts = {
            "interaction": store.interaction(CRASH_TEAM, id) == example_interaction(id),
            "vector": id in vectors,
            "insight": f"i {id}" in insights,
            "evidence": store.evidence(CRASH_TEAM, task_id=id) == [Evidence(id, f"i {id}", True, True)],
            "recall": [r.id for r in store.recalls(CRASH_TEAM, id)] == [f"r {id}"],
            "similarity": before not in stored or similar(before, id) in store.neighbours(CRASH_TEAM, id),
        }
        problems += [f"{id} has lost its {part}" for part, there in parts.items() if not there]
    if len(insights) != len(stored):
        problems.append(f"there are {len(insights)} insights for {len(stored)} tasks")
    return problems + store.check()


if __name__ == "__main__":
    write_until_killed(EmbeddedStore(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
