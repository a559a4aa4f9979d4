"""The Cypher of the documentation answers on real data, and the style file names labels that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j_fixture import Access
from stories import AGENTS, kitchen, play

import gmem
from gmem.graphs import Batch
from gmem.model import Insight, InsightLink

pytestmark = pytest.mark.neo4j

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^(\S[^\n]*\?)\n\n```cypher\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def full(_neo4j: Access) -> Iterator[Access]:
    """Give a server with a team that failed, learned, recalled and failed without learning."""
    _neo4j.empty()
    with gmem.Memory(_neo4j.uri, auth=_neo4j.auth, team="blue", embedder="none") as memory:
        kitchen(memory)
        with memory.task("Cook a squash in the pot", agents=AGENTS, run_id="helped") as run:
            assert run.recall("cook")
            plan = run.say("ann", "Please wash squash with water", to="bob")
            run.act("bob", "wash squash with water", "You wash squash.", inspired_by=plan)
            run.resolve(1.0)
        play(memory, "moon", ("sing",), resolved=False, query="Paint the {0}", run_id="odd", reason="nobody can")
        told = Insight("i_told", "blue", "Dry it before you cook it", state="active", origin="person")
        link = InsightLink(memory.insights("active")[0].id, told.id, "helped")
        memory.store.write([Batch("blue", "told", insights=[told], links=[link])])
    yield _neo4j
    _neo4j.empty()


def test_there_are_ten() -> None:
    assert len(BLOCKS) == 10


@pytest.mark.parametrize(("question", "statement"), BLOCKS, ids=[q for q, _ in BLOCKS])
def test_each_question_has_an_answer(full: Access, question: str, statement: str) -> None:
    rows = full.ask(statement, team="blue", task="helped")
    assert rows
    assert all(value is not None for value in rows[0].values())
    assert full.ask(statement, team="red", task="helped") == []


def test_the_style_names_what_is_there(full: Access) -> None:
    style = (ROOT / "docs" / "gmem.grass").read_text(encoding="utf-8")
    labels = {row["label"] for row in full.ask("CALL db.labels() YIELD label RETURN label")}
    types = {row["type"] for row in full.ask("CALL db.relationshipTypes() YIELD relationshipType AS type RETURN type")}
    assert set(re.findall(r"^node\.(\w+)", style, re.M)) <= labels
    assert set(re.findall(r"^relationship\.(\w+)", style, re.M)) <= types
