"""Programs that judge the same twenty lessons of one team at once, while they merge them as well.

    python crowd.py URI FOLDER PROGRAMS

User and password come from the environment.  Each leaves in FOLDER a file with the lessons that it changed.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import gmem
from gmem.errors import InvalidInput, UnknownId, WriteConflict
from gmem.graphs import Batch, GraphStore
from gmem.graphs._neo4j import Neo4jStore
from gmem.model import Evidence, Insight
from gmem.testing import example_insight, example_interaction, example_task

TEAM = "crowd"
TURNS = 2
DISHES = ("leek", "onion", "kale", "swede", "carrot", "turnip", "parsnip", "radish", "fennel", "celery")


def lessons() -> list[Insight]:
    """Make twenty lessons, of which the second ten say the same as the first."""
    fields = {"pattern": "", "audience": (), "taught_by": (), "state": "candidate", "updated": 0.0}
    return [
        example_insight(f"i_{dish}_{copy}", TEAM, text=f"Wash the {dish} and cut it.", created=float(copy), **fields)
        for copy in range(2)
        for dish in DISHES
    ]


def judge(store: GraphStore, task_id: str, dish: str) -> str:
    """Store a run that changes one of the lessons about a dish and supports it, however many do the same.

    Returns:
        The id of the lesson.
    """
    while True:
        found = [i for i in store.insights(TEAM) if f" {dish} " in i.text]
        chosen = found[len(task_id) % len(found)]  # the ids are of two lengths
        changed = replace(chosen, updated=chosen.updated + 1, version=chosen.version + 1)
        batch = Batch(
            TEAM, f"judge {task_id}", tasks=[example_task(task_id, TEAM)], interactions=[example_interaction(task_id)],
            insights=[changed], evidence=[Evidence(task_id, chosen.id, True, True)],
        )  # fmt: skip
        try:
            store.write([batch])
        except (WriteConflict, InvalidInput, UnknownId):
            continue  # another one was faster; the lesson may even be merged away
        return chosen.id


def work(uri: str, folder: str, number: int) -> None:
    """Be one of them."""
    chance = random.Random(number)
    with closing(Neo4jStore(uri, timeout=300.0)) as store:
        memory = gmem.Memory(store, team=TEAM, embedder="none")
        changed = [judge(store, f"{number}.{turn}", chance.choice(DISHES)) for turn in range(TURNS)]
        memory.consolidate()
        changed.append(judge(store, f"{number}.{TURNS}", chance.choice(DISHES)))
    (Path(folder) / f"{number}.json").write_text(json.dumps(changed), encoding="utf-8")


def main(uri: str, folder: str, programs: str) -> int:
    """Run so many of them; returns how many failed."""
    how = "fork" if sys.platform == "linux" else "spawn"  # a fork is a quick way to another process
    context = multiprocessing.get_context(how)
    clients = [context.Process(target=work, args=(uri, folder, number)) for number in range(int(programs))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(client.exitcode != 0 for client in clients)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
