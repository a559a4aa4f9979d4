"""No call of one team gives anything of another, or changes anything in it, whatever the team calls itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from asked import asked
from neo4j_fixture import Access
from probes import ATTACKERS, SECRET, VICTIMS, attack, furnish, state_of

from gmem.graphs import EmbeddedStore, GraphStore
from gmem.testing import EXAMPLE_MODEL

SEED = asked("SEED", 20)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(tmp_path / "twin.gmem")) as opened:
        opened.set_embedder(EXAMPLE_MODEL)
        yield opened


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(tmp_path / "memory.gmem")) as opened:
        opened.set_embedder(EXAMPLE_MODEL)
        furnish(opened)
        yield opened


def _has_the_secret(store: GraphStore) -> None:
    for team in VICTIMS:
        assert SECRET in repr(store.tasks(team, store.task_ids(team)))
        assert len(store.insights(team)) == 3


@pytest.mark.timeout(36_000 if asked("PROBES") else 300)
def test_no_call_crosses_the_wall_in_a_file(embedded: EmbeddedStore, twin: EmbeddedStore) -> None:
    made = attack(embedded, twin, asked("PROBES", 1500), SEED)
    assert len(made) > 40, f"calls that were never made: only {sorted(made)}"
    _has_the_secret(embedded)
    assert embedded.check() == twin.check() == []
    assert set(embedded.teams()) - set(twin.teams()) == set(VICTIMS)


@pytest.mark.neo4j
@pytest.mark.timeout(36_000 if asked("PROBES") else 300)
def test_no_call_crosses_the_wall_on_a_server(neo4j: Access, twin: EmbeddedStore) -> None:
    with closing(neo4j.open()) as store:
        store.set_embedder(EXAMPLE_MODEL)
        furnish(store)
        made = attack(store, twin, asked("PROBES", 150), SEED)
        assert len(made) > 40, f"calls that were never made: only {sorted(made)}"
        _has_the_secret(store)
        assert store.check() == []
        assert set(store.teams()) - set(twin.teams()) == set(VICTIMS)


def test_a_team_that_has_nothing_is_told_nothing(embedded: EmbeddedStore) -> None:
    before = state_of(embedded)
    assert len(ATTACKERS) > 120
    for team in ATTACKERS:
        if 0 < len(team.encode("utf-8", "replace")) <= 256 and "\0" not in team and team != "\ud800":
            assert embedded.task_ids(team) == embedded.insights(team) == []
            assert embedded.applied(team, ["task t0"]) == set()
    assert state_of(embedded) == before
