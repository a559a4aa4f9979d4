"""Opening a memory on a real server: a schema that lost something, other formats, other models, other programs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner
from neo4j_fixture import Access
from stories import kitchen

import gmem
from gmem.cli import main
from gmem.embed import Embedder
from gmem.errors import EmbedderMismatch, GmemError, NotAMemory, StoreCorrupt, StoreRefused, StoreVersionError
from gmem.graphs import _cypher, _formats
from gmem.graphs._neo4j import Neo4jStore
from gmem.graphs._server import Run
from gmem.testing import EXAMPLE_MODEL, example_batch, example_vector, read_everything

pytestmark = pytest.mark.neo4j

KINDS = {name: "CONSTRAINT" if "CONSTRAINT" in rule else "INDEX" for name, rule in _cypher.SCHEMA.items()}


@pytest.fixture
def store(neo4j: Access) -> Iterator[Neo4jStore]:
    with contextlib.closing(neo4j.open()) as opened:
        yield opened


def _rules(neo4j: Access) -> set[str]:
    return {row["name"] for row in neo4j.ask("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN name")}


# --- the schema -------------------------------------------------------------------------------


def test_whatever_is_dropped_is_made_again(neo4j: Access) -> None:
    neo4j.open().close()
    for name, kind in KINDS.items():
        neo4j.ask(f"DROP {kind} {name}")
        assert name not in _rules(neo4j)
        neo4j.open().close()
        assert set(KINDS) <= _rules(neo4j)


def test_what_is_gone_while_in_use_makes_it_slower_and_no_more(store: Neo4jStore, neo4j: Access) -> None:
    store.write([example_batch("t")])
    for name, kind in KINDS.items():
        neo4j.ask(f"DROP {kind} {name}")
    store.write([example_batch("u")])
    assert store.task_ids("team") == ["t", "u"]
    assert store.check() == []
    with contextlib.closing(neo4j.open()) as other:
        assert read_everything(other) == read_everything(store)


def test_two_nodes_of_one_name_are_named(store: Neo4jStore, neo4j: Access) -> None:
    store.write([example_batch("t")])
    neo4j.ask("DROP CONSTRAINT gmem_task")
    neo4j.ask("MATCH (t:Task) CREATE (twin:Task {uid: t.uid, team: 'another'})")
    with pytest.raises(StoreCorrupt, match=r"(?s)bear the same name.*delete the one"):
        neo4j.open()
    neo4j.ask("MATCH (t:Task {team: 'another'}) DELETE t")
    neo4j.open().close()
    assert "gmem_task" in _rules(neo4j)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("theirs", "CREATE INDEX theirs FOR (t:Task) ON (t.uid)"),
        ("gmem_task", "CREATE INDEX gmem_task FOR (p:Person) ON (p.name)"),
        ("gmem_task", "CREATE TEXT INDEX gmem_task FOR (t:Task) ON (t.uid)"),
    ],
)
def test_what_is_in_the_way_is_named(neo4j: Access, name: str, rule: str) -> None:
    neo4j.open().close()
    neo4j.ask("DROP CONSTRAINT gmem_task")
    neo4j.ask(rule)
    try:
        with pytest.raises(StoreCorrupt, match=f"in the way of its own gmem_task; run `DROP INDEX {name}`"):
            neo4j.open()
    finally:
        neo4j.ask(f"DROP INDEX {name}")
    neo4j.open().close()
    assert "gmem_task" in _rules(neo4j)


@pytest.mark.parametrize(
    ("name", "kind", "rule"),
    [
        ("gmem_task_log", "INDEX", "CREATE INDEX theirs FOR (t:Task) ON (t.team, t.written)"),
        ("gmem_task", "CONSTRAINT", "CREATE CONSTRAINT theirs FOR (t:Task) REQUIRE t.uid IS UNIQUE"),
    ],
)
def test_a_rule_of_another_name_that_does_the_same_will_do(neo4j: Access, name: str, kind: str, rule: str) -> None:
    neo4j.open().close()
    neo4j.ask(f"DROP {kind} {name}")
    neo4j.ask(rule)
    try:
        with contextlib.closing(neo4j.open()) as store:
            assert name not in _rules(neo4j)
            assert store.write([example_batch("t")]) == [True]
    finally:
        neo4j.ask(f"DROP {kind} theirs")


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["Task", "Utterance", "Insight", "InsightLink", "Recall", "GmemTeam", "GmemWrite"])
def test_every_label_of_another_program_is_noticed(neo4j: Access, label: str) -> None:
    neo4j.ask("CREATE (n) SET n:$($label)", label=label)
    with pytest.raises(NotAMemory, match=rf"labelled {label} that are not gmem's; use a database of its own"):
        neo4j.open()


def test_another_model_is_named(neo4j: Access) -> None:
    def memory(numbers: int, name: str = "mine") -> gmem.Memory:
        embedder = Embedder(_Same(numbers), name, numbers)
        return gmem.Memory(neo4j.uri, auth=neo4j.auth, embedder=embedder)

    with memory(8) as opened:
        kitchen(opened)
        with pytest.raises(EmbedderMismatch, match=r"`gmem reembed`"):
            memory(8, "another")
        with pytest.raises(EmbedderMismatch, match=r"8 numbers each.*16 numbers each.*`gmem reembed`"):
            memory(16)
        with pytest.raises(EmbedderMismatch, match="words only"):
            gmem.Memory(neo4j.uri, auth=neo4j.auth, embedder="none")
        with memory(8) as other:
            other.reembed(Embedder(_Same(16), "longer", 16))
        with pytest.raises(EmbedderMismatch, match="open it again"):
            opened.recall("cook")


class _Same:
    """Gives every text the same vector."""

    def __init__(self, numbers: int) -> None:
        self._vector = [float(n == 0) for n in range(numbers)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vector for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self._vector


def test_a_password_that_must_be_changed_is_named(neo4j: Access) -> None:
    with neo4j.driver.session(database="system") as system:
        system.run("CREATE USER gmem_novice IF NOT EXISTS SET PASSWORD 'first-secret' CHANGE REQUIRED").consume()
        try:
            with pytest.raises(StoreRefused, match="is to be changed") as caught:
                Neo4jStore(neo4j.uri, auth=("gmem_novice", "first-secret"))
            assert "first-secret" not in str(caught.value)
        finally:
            system.run("DROP USER gmem_novice").consume()


# --- formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "error"), [(99, StoreVersionError), (-1, StoreCorrupt), (None, StoreCorrupt)])
def test_a_format_that_changes_while_in_use_is_noticed(
    store: Neo4jStore, neo4j: Access, format: int | None, error: type[GmemError]
) -> None:
    store.write([example_batch("t")])
    neo4j.ask("MATCH (m:GmemMeta) SET m.format = $format", format=format)
    with pytest.raises(error):
        store.task_ids("team")
    with pytest.raises(error):
        store.write([example_batch("u")])
    with pytest.raises(error):
        store.set_embedder(EXAMPLE_MODEL)
    with pytest.raises(error):
        neo4j.open()
    assert neo4j.ask("MATCH (t:Task) RETURN count(t) AS n") == [{"n": 1}]


TASKS = 25


@pytest.fixture
def first(store: Neo4jStore, neo4j: Access) -> dict[str, object]:
    """Give what a memory of format 1 holds: its vectors are lists of floats and nothing else."""
    store.set_embedder(EXAMPLE_MODEL)
    store.write([example_batch(f"t{n:02}", vector=n) for n in range(TASKS)])
    store.write([example_batch("plain")])
    everything = read_everything_of(store)
    neo4j.ask("MATCH (t:Task) REMOVE t.vector")
    neo4j.ask("MATCH (m:GmemMeta) SET m.format = 1")
    return everything


def read_everything_of(store: Neo4jStore) -> dict[str, object]:
    """Read a store, vectors included."""
    vectors = store.vectors("team", store.task_ids("team"))
    return {**read_everything(store), "vectors": {id: vector.tolist() for id, vector in vectors.items()}}


def _states(neo4j: Access) -> tuple[int, int]:
    """Give the format, and how many vectors are there as bytes."""
    (row,) = neo4j.ask(
        "MATCH (m:GmemMeta) RETURN m.format AS format, COUNT { (t:Task) WHERE t.vector IS NOT NULL } AS n"
    )
    return row["format"], row["n"]


def test_an_older_memory_is_brought_up(first: dict[str, object], neo4j: Access) -> None:
    assert _states(neo4j) == (1, 0)
    with contextlib.closing(neo4j.open(create=False)) as store:
        assert _states(neo4j) == (_formats.FORMAT, TASKS)
        assert read_everything_of(store) == first
        for n in range(TASKS):
            assert np.array_equal(store.vectors("team", [f"t{n:02}"])[f"t{n:02}"], example_vector(n))
        assert store.check() == []
        assert store.write([example_batch("new", vector=3)]) == [True]


def test_the_doctor_tells_the_format_of_the_server(neo4j: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", neo4j.auth[0])
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j.auth[1])
    neo4j.open().close()
    told = CliRunner().invoke(main, ["doctor", "--memory", neo4j.uri, "--json"])
    assert json.loads(told.stdout)["facts"]["format"] == str(_formats.FORMAT)


def test_several_that_open_an_older_memory_at_once_do_it_once(
    first: dict[str, object], neo4j: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    step = _formats.STEPS[1]

    def counted(run: Run) -> bool:
        def count(statement: str, parameters: dict[str, list[object]]) -> object:
            sent.append(len(parameters.get("rows", [])))
            return run(statement, parameters)

        return step(count)  # type: ignore[arg-type]

    monkeypatch.setattr(_formats, "PART", 4)
    monkeypatch.setattr(_formats, "STEPS", {1: counted})
    opened: list[Neo4jStore] = []
    threads = [threading.Thread(target=lambda: opened.append(neo4j.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    assert sum(sent) == TASKS
    assert _states(neo4j) == (_formats.FORMAT, TASKS)
    for store in opened:
        assert read_everything_of(store) == first
        store.close()


def test_what_broke_off_is_finished_by_the_next(
    first: dict[str, object], neo4j: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    step = _formats.STEPS[1]

    def breaks(run: Run) -> bool:
        done = step(run)
        parts.append(1)
        if len(parts) == 3:
            raise RuntimeError("the power went")
        return done

    with monkeypatch.context() as patched:
        patched.setattr(_formats, "PART", 4)
        patched.setattr(_formats, "STEPS", {1: breaks})
        with pytest.raises(RuntimeError, match="power"):
            neo4j.open()
    assert _states(neo4j) == (1, 8)
    with contextlib.closing(neo4j.open()) as store:
        assert _states(neo4j) == (_formats.FORMAT, TASKS)
        assert read_everything_of(store) == first
