"""What a Neo4j server meets in the world: wrong addresses, other programs, several clients, copies, forgetting."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j_fixture import Access
from stories import kitchen

import gmem
from gmem.errors import (
    InvalidInput,
    NotAMemory,
    StoreCorrupt,
    StoreNotFound,
    StoreRefused,
    StoreUnreachable,
    StoreVersionError,
    UnknownId,
    WriteConflict,
)
from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.graphs._carrying import fingerprint
from gmem.graphs._neo4j import Neo4jStore
from gmem.migrate import migrate
from gmem.model import Evidence, Interaction, Utterance
from gmem.testing import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_recall,
    example_task,
    read_everything,
    similar,
)
from gmem.testing._suite import HOSTILE_NAMES

pytestmark = pytest.mark.neo4j


@pytest.fixture
def store(neo4j: Access) -> Iterator[Neo4jStore]:
    with contextlib.closing(neo4j.open()) as opened:
        yield opened


def _closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


# --- opening ----------------------------------------------------------------------------------


def test_a_wrong_password_is_named(neo4j: Access) -> None:
    with pytest.raises(StoreRefused, match="NEO4J_PASSWORD") as caught:
        Neo4jStore(neo4j.uri, auth=("neo4j", "wrong-secret"))
    assert "wrong-secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(StoreUnreachable, match="does not answer"):
        Neo4jStore(f"bolt://127.0.0.1:{_closed_port()}", auth=("neo4j", "x"), timeout=1.0)


def test_a_database_that_is_not_there_is_named(neo4j: Access) -> None:
    with pytest.raises(StoreNotFound, match="SHOW DATABASES"):
        Neo4jStore(f"{neo4j.uri}?database=nowhere", auth=neo4j.auth, timeout=5.0)


def test_a_missing_memory_is_made_only_if_asked(neo4j: Access) -> None:
    with pytest.raises(StoreNotFound, match="create=True"):
        neo4j.open(create=False)
    neo4j.open().close()
    neo4j.open(create=False).close()


def test_another_programs_data_is_left_alone(neo4j: Access) -> None:
    neo4j.ask("CREATE (:Task {title: 'of somebody else'})")
    with pytest.raises(NotAMemory, match="Task"):
        neo4j.open()
    assert neo4j.ask("MATCH (n) RETURN count(n) AS n") == [{"n": 1}]


def test_other_labels_in_the_database_do_not_matter(neo4j: Access) -> None:
    neo4j.ask("CREATE (:Person {name: 'Ann'})")
    with contextlib.closing(neo4j.open()) as store:
        store.write([example_batch("t")])
        assert store.check() == []


def test_a_newer_format_is_refused(neo4j: Access) -> None:
    neo4j.open().close()
    neo4j.ask("MATCH (m:GmemMeta) SET m.format = 99")
    with pytest.raises(StoreVersionError, match="99"):
        neo4j.open()


def test_a_missing_index_is_made_anew(neo4j: Access) -> None:
    neo4j.open().close()
    neo4j.ask("DROP INDEX gmem_task_log IF EXISTS")
    neo4j.open().close()
    assert neo4j.ask("SHOW INDEXES YIELD name WHERE name = 'gmem_task_log' RETURN name")


@pytest.mark.parametrize(
    "uri", ["neo4j://", "neo4j://h:x", "neo4j://h/path", "neo4j://h?database=a&other=b", "ftp://h"]
)
def test_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(InvalidInput):
        gmem.Memory(uri)


def test_the_password_is_not_shown(neo4j: Access) -> None:
    user, password = neo4j.auth
    address = neo4j.uri.replace("://", f"://{user}:{password}@")
    with gmem.Memory(address, embedder="none") as memory:
        assert password not in repr(memory)
        assert password not in repr(memory.store.__dict__)


def test_a_database_that_was_emptied_says_so(store: Neo4jStore, neo4j: Access) -> None:
    store.write([example_batch("t")])
    neo4j.empty()
    with pytest.raises(StoreCorrupt, match="emptied"):
        store.task_ids("team")
    with pytest.raises(StoreCorrupt, match="emptied"):
        store.write([example_batch("u")])


# --- several clients --------------------------------------------------------------------------


def test_two_clients_see_each_other(store: Neo4jStore, neo4j: Access) -> None:
    with contextlib.closing(neo4j.open()) as other:
        store.set_embedder(EXAMPLE_MODEL)
        store.write([example_batch("a", vector=1)])
        assert other.task_ids("team") == ["a"]
        other.write([example_batch("b", vector=2), Batch("team", "edge", similar=[similar("a", "b")])])
        assert [e.score for e in store.neighbours("team", "a")] == [0.5]
        store.write([Batch("team", "forget", forget_tasks=["a"])])
        assert other.task_ids("team") == ["b"]
        assert other.neighbours("team", "b") == []
        assert read_everything(store) == read_everything(other)
        other.set_embedder(None)
        assert not store.candidates("team", {"boil": 1}, None).has_dense


def test_sixteen_clients_on_the_same_twenty_insights(neo4j: Access) -> None:
    clients = [neo4j.open() for _ in range(4)]
    names = [f"i{n:02}" for n in range(20)]
    clients[0].write([Batch("team", "new", insights=[example_insight(i) for i in names], tasks=[example_task("t")])])
    wins = dict.fromkeys(names, 0)
    lock, errors = threading.Lock(), []

    def work(number: int) -> None:
        store, chance = clients[number % 4], random.Random(number)
        try:
            for turn in range(5):
                id = chance.choice(names)
                (insight,) = store.insights("team", [id])
                changed = example_insight(id, text=f"by {number}", version=insight.version + 1)
                batch = Batch("team", f"{number} {turn}", insights=[changed], tasks=[example_task(f"{number}.{turn}")],
                              evidence=[Evidence("t", id, True, True)])  # fmt: skip
                with contextlib.suppress(WriteConflict):
                    assert store.write([batch]) == [True]
                    with lock:
                        wins[id] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for client in clients:
        assert {i.id: i.version - 1 for i in client.insights("team")} == wins
        assert len(client.task_ids("team")) == 1 + sum(wins.values())
    assert clients[0].check() == []
    for client in clients:
        client.close()


def test_what_shares_a_transaction_is_refused_alone(store: Neo4jStore) -> None:
    store.write([Batch("team", "i", insights=[example_insight("i")])])
    outcomes: dict[int, str] = {}

    def work(number: int) -> None:
        bad = number % 2 == 0
        batch = example_batch(f"t{number}", trust=2.0) if bad else example_batch(f"t{number}")
        try:
            store.write([batch])
            outcomes[number] = "written"
        except InvalidInput:
            outcomes[number] = "refused"

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {n: "written" if n % 2 else "refused" for n in range(12)}
    assert sorted(store.task_ids("team")) == sorted(f"t{n}" for n in range(12) if n % 2)


# --- teams ------------------------------------------------------------------------------------


def test_a_planted_edge_between_teams_leads_nowhere(store: Neo4jStore, neo4j: Access) -> None:
    for team in ("red", "blue"):
        store.write([
            Batch(team, "op", tasks=[example_task("t", team), example_task("u", team)], insights=[
                example_insight("i", team, text=f"secret of {team}")])
        ])  # fmt: skip
    neo4j.ask(
        "MATCH (a:Task {team: 'red', id: 't'}), (b:Task {team: 'blue', id: 'u'}), (i:Insight {team: 'blue'}) "
        "CREATE (a)-[:SIMILAR {team: 'red', score: 1.0, written: 1}]->(b), "
        "(a)-[:SUPPORTS {team: 'red', followed: true, resolved: true, written: 1}]->(i), "
        "(a)-[:HAS]->(:Utterance {uid: 'x', team: 'blue', seq: 0, agent: 'x', role: '', kind: 'message', "
        "content: 'secret of blue', time: 0.0, task: 'u'})"
    )
    with contextlib.closing(neo4j.open()) as fresh:
        assert fresh.neighbours("red", "t") == []
        assert fresh.evidence("red") == []
        assert fresh.interaction("red", "t").utterances == ()
        assert "secret of blue" not in repr(read_everything(fresh)["red"])
        assert any("joins teams" in problem for problem in fresh.check())


def test_no_name_reads_another_team(store: Neo4jStore) -> None:
    store.write([example_batch("t", "a", query="a secret of a")])
    for name in HOSTILE_NAMES:
        if name == "a":
            continue
        with pytest.raises(UnknownId):
            store.tasks(name, ["t"])
        with pytest.raises(UnknownId):
            store.interaction(name, "t")
        assert store.task_ids(name) == store.evidence(name) == store.recalls(name) == []
        assert store.cases(name, ["t"]) == {}
        assert list(store.candidates(name, {"secret": 1}, None).ids) == []


# --- forgetting -------------------------------------------------------------------------------


def test_a_forgotten_canary_is_nowhere_on_the_server(neo4j: Access) -> None:
    canary = "canary-7f3a"
    with contextlib.closing(neo4j.open()) as store:
        said = Interaction(canary, (Utterance(0, canary, "r", "message", f"I say {canary}"),))
        task = example_task(canary, query=canary, context=canary, feedback=canary, metadata={canary: canary})
        store.write([
            example_batch("other"),
            Batch("team", f"task {canary}", tasks=[task], interactions=[said],
                  insights=[example_insight("i", text=canary, taught_by=((canary, ""),))],
                  similar=[similar(canary, "other")], evidence=[Evidence(canary, "i", True, True)],
                  recalls=[example_recall("r", "other", (canary, "i")), example_recall("s", canary)]),
        ])  # fmt: skip
        assert len(_holding(neo4j, canary)) >= 5
        with gmem.Memory(store, team="team", embedder="none") as memory:
            receipt = memory.forget(task=canary)
            assert receipt.tasks == (canary,)
            assert receipt.insights == ("i",)
            assert _holding(neo4j, canary) == []
            assert canary not in repr(read_everything(store))
            assert store.check() == []


def _holding(neo4j: Access, text: str) -> list[str]:
    """Find everything on the server that has a text in any property."""
    nodes = neo4j.ask("MATCH (n) RETURN properties(n) AS found")
    edges = neo4j.ask("MATCH ()-[r]->() RETURN properties(r) AS found")
    return [found for row in nodes + edges if text in (found := repr(row))]


# --- copying ----------------------------------------------------------------------------------


def test_a_memory_moves_to_the_server_and_back_bit_for_bit(
    neo4j: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", neo4j.auth[0])
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j.auth[1])
    with gmem.Memory(tmp_path / "team.gmem", team="blue", embedder="none") as memory:
        kitchen(memory)
        memory.forget(task=memory.tasks()[0].id)
    with contextlib.closing(EmbeddedStore(tmp_path / "team.gmem")) as store:
        store.set_embedder(EXAMPLE_MODEL)
        store.write([example_batch("a", "red", vector=1), example_batch("b", "red", vector=2)])
        before, total, blue = read_everything(store), fingerprint(store.records()), store.task_ids("blue")
    seen: list[tuple[int, int]] = []
    sizes = migrate(tmp_path / "team.gmem", neo4j.uri, lambda done, of: seen.append((done, of)))
    assert {team: size.tasks for team, size in sizes.items()} == {"blue": len(blue), "red": 2}
    assert seen[-1] == (len(blue) + 2, len(blue) + 2)
    with contextlib.closing(neo4j.open(create=False)) as moved:
        assert read_everything(moved) == before
        assert moved.write([example_batch("a", "red")]) == [False]
    migrate(neo4j.uri, tmp_path / "back.gmem")
    with contextlib.closing(EmbeddedStore(tmp_path / "back.gmem", create=False)) as back:
        assert read_everything(back) == before
        assert fingerprint(back.records()) == total
        assert back.check() == []
    with pytest.raises(InvalidInput, match="holds something"):
        migrate(tmp_path / "team.gmem", neo4j.uri)
    with pytest.raises(InvalidInput, match="exists"):
        migrate(neo4j.uri, tmp_path / "back.gmem")


def test_a_copy_that_broke_off_is_no_memory(neo4j: Access, tmp_path: Path) -> None:
    store: GraphStore = neo4j.open()
    with pytest.raises(RuntimeError, match="power"), contextlib.closing(store):
        assert isinstance(store, Neo4jStore)
        store.load(None, _broken())
    with pytest.raises(StoreCorrupt, match="part of a memory"):
        neo4j.open()


def _broken() -> Iterator[tuple[str, str, str, bytes]]:
    yield "op", "", "0", b""
    raise RuntimeError("the power went")
