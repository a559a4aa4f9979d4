"""Looking at a whole memory on a server while others write, and what a process keeps of teams that it asks for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from neo4j_fixture import Access

from gmem.errors import InvalidInput
from gmem.graphs import Batch
from gmem.graphs._mirror import Mirror
from gmem.graphs._neo4j import Neo4jStore
from gmem.model import Evidence
from gmem.testing import EXAMPLE_MODEL, example_batch, example_insight, example_interaction, example_recall, similar

pytestmark = pytest.mark.neo4j


@pytest.fixture
def store(neo4j: Access) -> Iterator[Neo4jStore]:
    with contextlib.closing(neo4j.open()) as opened:
        opened.set_embedder(EXAMPLE_MODEL)
        yield opened


def _change(store: Neo4jStore, turn: int) -> None:
    """Write what hangs on each other, take it away again, and replace a conversation by one of another length."""
    task, insight = f"t{turn % 3}", f"i{turn % 3}"
    store.write(
        [
            replace(example_batch(task, vector=turn), op_id=f"new {turn}"),
            Batch("team", f"said {turn}", interactions=[example_interaction("kept", 2 + turn % 5)]),
            Batch(
                "team",
                f"ties {turn}",
                insights=[example_insight(insight)],
                evidence=[Evidence(task, insight, True, True)],
                similar=[similar("kept", task)],
                recalls=[example_recall(f"r{turn}", task, ("kept", insight))],
            ),
        ]
    )
    store.write([Batch("team", f"gone {turn}", forget_tasks=[task], forget_insights=[insight])])


def test_writers_make_no_false_alarm(store: Neo4jStore, neo4j: Access) -> None:
    store.write([example_batch("kept", vector=1)])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with contextlib.closing(neo4j.open()) as writer:
                for turn in range(20):
                    _change(writer, turn)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    found = []
    while thread.is_alive():
        found += store.check()
        Mirror("team").catch_up(store._server.read)  # nor does what is being removed look broken to who reads it
    thread.join()
    assert (errors, found) == ([], [])
    assert store.task_ids("team") == ["kept"]
    assert len(store.interaction("team", "kept").utterances) == 2 + 19 % 5


def test_what_is_wrong_is_still_found_while_others_write(store: Neo4jStore, neo4j: Access) -> None:
    store.write([example_batch("kept"), example_batch("broken")])
    neo4j.ask("MATCH (:Task {id: 'broken'})-[:HAS]->(u:Utterance {seq: 1}) DETACH DELETE u")
    with contextlib.closing(neo4j.open()) as writer:
        for turn in range(1, 4):
            _change(writer, turn)
            (problem,) = store.check()
            assert "'broken'" in problem


def test_a_label_that_a_person_adds_is_no_problem(store: Neo4jStore, neo4j: Access) -> None:
    neo4j.ask("CREATE (n:Favourite) DELETE n")  # so that it is known before those of gmem, and comes first
    store.write([example_batch("t")])
    neo4j.ask("MATCH (t:Task) SET t:Favourite")
    assert store.check() == []
    assert store.task_ids("team") == ["t"]


def test_teams_that_are_not_there_leave_nothing_behind(store: Neo4jStore) -> None:
    store.write([example_batch("t")])
    for number in range(30):
        name = f"nobody {number}"
        assert store.task_ids(name) == []
        with store.reading(name):
            assert store.insights(name) == []
            assert list(store.candidates(name, {"boil": 1}, None).ids) == []
        with pytest.raises(InvalidInput):
            store.write([Batch(name, "op", evidence=[Evidence("t", "i", True, True)])])
    assert store.task_ids("team") == ["t"]
    assert set(store._mirrors) == {"team"}
    with store.reading("new"):
        store.write([example_batch("first", "new")])
    assert store.task_ids("new") == ["first"]
    assert set(store._mirrors) == {"team", "new"}
