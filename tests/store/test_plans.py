"""How a real server goes about each statement: it looks nodes up by an index, and walks past no others."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from neo4j_fixture import Access

from gmem.graphs import _cypher
from gmem.graphs._neo4j import Neo4jStore
from gmem.testing import EXAMPLE_MODEL, example_batch

pytestmark = pytest.mark.neo4j

NO_PLAN = {"AWAIT", "INDEXES", "SCHEMA", "VERSION"}
"""Commands and procedures, which are not planned."""
WHOLE = {
    "CHECK_EDGES": "`gmem doctor` looks at everything",
    "CHECK_NODES": "likewise",
    "CHECK_TIES": "likewise",
    "CHECK_TRACES": "likewise",
    "DROP_VECTORS": "`gmem reembed` changes every task",
    "FOREIGN": "stops at the first node; asked of a database without a memory",
    "SET_EMBEDDER": "marks every team, of which there are few",
    "TEAMS": "lists every team",
    "VECTORS_WITHOUT_BYTES": "asked once, when a memory of the first format is brought up",
    "WRITES": "a copy takes the names of all writes along",
}
"""Statements that mean to see all nodes of a label, and why."""
PLANNED = sorted(set(_cypher.__all__) - NO_PLAN)


@pytest.fixture(scope="module", params=["empty", "50 tasks"])
def asked(request: pytest.FixtureRequest, _neo4j: Access) -> Iterator[Access]:
    """Give a memory, since a server plans by what it counts."""
    _neo4j.empty()
    with contextlib.closing(_neo4j.open()) as store:
        if request.param != "empty":
            _fill(store)
        yield _neo4j


def _fill(store: Neo4jStore) -> None:
    store.set_embedder(EXAMPLE_MODEL)
    store.write([example_batch(f"t{number}", vector=number) for number in range(50)])


def _plan(access: Access, statement: str) -> dict[str, Any]:
    parameters = dict.fromkeys(re.findall(r"\$(\w+)", statement))
    text = statement.strip()
    options, rest = re.fullmatch(r"(CYPHER replan=skip)?\s*(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    with access.driver.session() as session:
        plan = session.run(f"{options or ''} EXPLAIN {rest}", parameters).consume().plan
    assert plan is not None
    return plan


def _steps(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield plan["operatorType"].partition("@")[0], plan["args"].get("Details", "")
    for child in plan.get("children", ()):
        yield from _steps(child)


@pytest.mark.parametrize("name", PLANNED)
def test_no_statement_of_recalls_and_writes_scans(asked: Access, name: str) -> None:
    steps = list(_steps(_plan(asked, getattr(_cypher, name))))
    assert steps
    scans = {f"{kind}: {details}" for kind, details in steps if kind.endswith("Scan")}
    if name in WHOLE:
        assert scans, f"{name} scans no more; strike it from the list"
    else:
        assert not scans


def test_a_scan_would_be_noticed(asked: Access) -> None:
    found = {kind for kind, _ in _steps(_plan(asked, "MATCH (t:Task) WHERE t.query = $query RETURN t.id"))}
    assert "NodeByLabelScan" in found


@pytest.mark.parametrize(
    "index", ["Task(team, written)", "Insight(team, written)", "SIMILAR(team, written)", "SUPPORTS(team, written)"]
)
def test_changes_are_found_by_their_index(asked: Access, index: str) -> None:
    seeks = [details for kind, details in _steps(_plan(asked, _cypher.CHANGES)) if "IndexSeek" in kind]
    assert any(index in details for details in seeks), seeks


def test_only_the_names_of_teams_are_listed_to_find_them(asked: Access) -> None:
    scans = [details for kind, details in _steps(_plan(asked, _cypher.TEAMS)) if kind.endswith("Scan")]
    assert scans == ["t:GmemTeam"]
