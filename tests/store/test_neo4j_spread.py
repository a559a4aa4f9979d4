"""Of many runs of the same task, the same ones are told from both stores."""

from __future__ import annotations

from pathlib import Path

import pytest
from neo4j_fixture import Access
from stories import play

import gmem

pytestmark = [pytest.mark.neo4j]

QUERY = "Find the oldest animal in the garden"


def _told(memory: gmem.Memory) -> list[tuple[str, str, str]]:
    for number in range(4):
        play(memory, "tortoise", (*["open door"] * number, "focus on {0}"), query=QUERY, run_id=f"again-{number}")
    play(memory, "parrot", ("open door", "focus on {0}"), query=QUERY, run_id="parrot")
    rows = memory.recall(QUERY, cases=2).explain().rows
    return [(row.id, row.verdict, row.why) for row in rows if row.kind == "case"]


def test_both_stores_tell_the_same_runs_of_a_task(neo4j: Access, tmp_path: Path) -> None:
    with gmem.Memory(tmp_path / "m.gmem", embedder="none") as embedded:
        ours = _told(embedded)
    store = neo4j.open()
    try:
        theirs = _told(gmem.Memory(store, embedder="none"))
    finally:
        store.close()
    assert ours == theirs
    assert {id for id, verdict, _ in ours if verdict == "shown"} == {"again-0", "parrot"}
