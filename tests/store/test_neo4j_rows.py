"""What the nodes on a server hold, seen from past gmem."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from neo4j_fixture import Access

from gmem.graphs import Batch
from gmem.model import Interaction, Utterance
from gmem.testing import EXAMPLE_MODEL, example_batch, example_task, example_vector

pytestmark = pytest.mark.neo4j


def test_a_vector_is_a_list_of_floats_for_people_and_bytes_for_gmem(neo4j: Access) -> None:
    tiny = example_vector(3).copy()
    tiny[0] = 0.0
    tiny /= np.linalg.norm(tiny)
    tiny[0] = np.float32(1e-30)  # written with an exponent
    with contextlib.closing(neo4j.open()) as store:
        store.set_embedder(EXAMPLE_MODEL)
        store.write([Batch("team", "a", tasks=[example_task("a")], vectors={"a": tiny})])
    (row,) = neo4j.ask("MATCH (t:Task) RETURN t.embedding AS embedding, t.vector AS vector")
    assert all(isinstance(number, float) for number in row["embedding"])
    assert np.array(row["embedding"], dtype=np.float32).tobytes() == row["vector"] == tiny.tobytes()
    score = "MATCH (t:Task) RETURN vector.similarity.cosine(t.embedding, t.embedding) AS score"
    assert neo4j.ask(score) == [{"score": pytest.approx(1.0)}]


def test_a_memory_that_has_only_the_lists_is_read(neo4j: Access) -> None:
    with contextlib.closing(neo4j.open()) as store:
        store.set_embedder(EXAMPLE_MODEL)
        store.write([example_batch("a", vector=1)])
    neo4j.ask("MATCH (t:Task) REMOVE t.vector")
    with contextlib.closing(neo4j.open()) as store:
        found = store.vectors("team", ["a"])["a"]
    assert found.tobytes() == example_vector(1).tobytes()


def test_an_utterance_has_no_property_without_a_value(neo4j: Access) -> None:
    said = (
        Utterance(0, "ann", "planner", "message", "first", time=1.0),
        Utterance(1, "bob", "actor", "action", "second", ("ann",), (0,), 0.5, 2.0, True),
        Utterance(2, "ann", "planner", "message", "third", (), (0, 1, 0), None, 3.0),
    )
    with contextlib.closing(neo4j.open()) as store:
        store.write([Batch("team", "a", tasks=[example_task("a")], interactions=[Interaction("a", said)])])
        assert store.interaction("team", "a") == Interaction("a", said)
    rows = neo4j.ask("MATCH (u:Utterance) RETURN u {.*, uid: null, team: null} AS u ORDER BY u.seq")
    first, second, third = ({k: v for k, v in row["u"].items() if v is not None} for row in rows)
    common = {"task": "a", "agent": "ann", "role": "planner", "kind": "message"}
    assert first == {**common, "seq": 0, "content": "first", "time": 1.0}
    assert second == {
        "task": "a", "agent": "bob", "role": "actor", "kind": "action", "seq": 1, "content": "second", "time": 2.0,
        "to": ["ann"], "inspired_by": [0], "reward": 0.5, "echo": True,
    }  # fmt: skip
    assert third == {**common, "seq": 2, "content": "third", "time": 3.0, "inspired_by": [0, 1, 0]}
    inspired = neo4j.ask("MATCH (a:Utterance)-[:INSPIRED]->(b) RETURN a.seq AS a, b.seq AS b ORDER BY a, b")
    assert [(row["a"], row["b"]) for row in inspired] == [(0, 1), (0, 2), (1, 2)]
    assert neo4j.ask("MATCH (:Utterance)-[r:NEXT]->() RETURN count(r) AS n") == [{"n": 2}]
