"""Many programs that open, teach and tidy one memory on a server at the same moment."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from asked import asked
from crowd import DISHES, TEAM, TURNS, lessons
from langchain_core.embeddings import DeterministicFakeEmbedding
from neo4j_fixture import Access
from stories import play

import gmem
from gmem.graphs import Batch
from gmem.graphs._cypher import SCHEMA
from gmem.graphs._neo4j import Neo4jStore
from gmem.testing import example_batch, example_interaction

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.timeout(900)]

CROWD = Path(__file__).parent.parent / "crowd.py"
CLIENTS = 16 if asked("RESTARTS") else 4
"""How many programs are at it; sixteen take minutes on a busy machine, so they are for a release."""


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine its time: only what hangs is given up."""
    monkeypatch.setitem(Neo4jStore.__init__.__kwdefaults__, "timeout", 300.0)


def _at_once(works: list[Callable[[], object]]) -> None:
    """Do things in threads that begin together, and raise what one of them raised."""
    begin, errors = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_programs_that_judge_the_same_twenty_lessons(neo4j: Access, tmp_path: Path) -> None:
    with contextlib.closing(neo4j.open()) as store:
        store.write([Batch(TEAM, "new", insights=lessons())])
    environment = {**os.environ, "NEO4J_USERNAME": neo4j.auth[0], "NEO4J_PASSWORD": neo4j.auth[1]}
    command = [sys.executable, CROWD, neo4j.uri, tmp_path, str(CLIENTS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = Counter(id for file in tmp_path.glob("*.json") for id in json.loads(file.read_text(encoding="utf-8")))
    runs = sorted(f"{client}.{turn}" for client in range(CLIENTS) for turn in range(TURNS + 1))
    assert sum(changed.values()) == len(runs)
    with contextlib.closing(neo4j.open(create=False)) as store:
        gmem.Memory(store, team=TEAM, embedder="none").consolidate()
        # Each run is there once and whole, and supports the lesson that it supported, or what that became.
        assert sorted(store.task_ids(TEAM)) == runs
        assert all(said == example_interaction(id) for id, (_, said) in store.cases(TEAM, runs).items())
        assert sorted(e.task_id for e in store.evidence(TEAM)) == runs
        kept = {i.id: i for i in store.insights(TEAM)}
        assert sorted(kept) == sorted(f"i_{dish}_0" for dish in DISHES)
        for id, insight in kept.items():
            supports = changed[id] + changed[id[:-1] + "1"]
            assert store.standing(TEAM, id).supports == supports
            assert insight.updated == changed[id]  # no change of it was overwritten by another one
        assert store.check() == []
    assert neo4j.ask("MATCH ()-[r:SUPPORTS]->() RETURN count(r) AS n") == [{"n": len(runs)}]


def test_programs_that_open_an_empty_database_at_once_make_one_memory(neo4j: Access) -> None:
    for row in neo4j.ask("SHOW CONSTRAINTS YIELD name WHERE name STARTS WITH 'gmem_' RETURN name"):
        neo4j.ask(f"DROP CONSTRAINT {row['name']}")
    for row in neo4j.ask("SHOW INDEXES YIELD name WHERE name STARTS WITH 'gmem_' RETURN name"):
        neo4j.ask(f"DROP INDEX {row['name']}")
    stores: list[Neo4jStore] = []
    _at_once([lambda: stores.append(neo4j.open()) for _ in range(4)])
    try:
        _at_once([
            lambda store=store, n=n: store.write([example_batch(f"t{n}", "new team")])  # type: ignore[misc]
            for n, store in enumerate(stores)
        ])  # fmt: skip
        for store in stores:
            assert sorted(store.task_ids("new team")) == ["t0", "t1", "t2", "t3"]
            assert store.teams() == ["new team"]
    finally:
        for store in stores:
            store.close()
    found = neo4j.ask("SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'gmem_' RETURN name, state ORDER BY name")
    assert found == [{"name": name, "state": "ONLINE"} for name in sorted(SCHEMA)]
    assert neo4j.ask("MATCH (m:GmemMeta) RETURN count(m) AS n") == [{"n": 1}]
    assert neo4j.ask("MATCH (t:GmemTeam) RETURN count(t) AS n") == [{"n": 1}]


def test_the_first_runs_of_a_memory_told_at_once_all_keep_their_vectors(neo4j: Access) -> None:
    memories = [gmem.Memory(neo4j.open(), team="blue", embedder=DeterministicFakeEmbedding(size=8)) for _ in range(4)]
    try:
        _at_once([
            lambda memory=memory, n=n: play(memory, f"dish {n}", run_id=f"run-{n}")  # type: ignore[misc]
            for n, memory in enumerate(memories)
        ])  # fmt: skip
        runs = [f"run-{n}" for n in range(4)]
        for memory in memories:
            assert sorted(memory.store.task_ids("blue")) == sorted(memory.store.vectors("blue", runs)) == runs
    finally:
        for memory in memories:
            memory.store.close()
