"""Lessons about habits, and whom to blame, are the same from both stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confirmed import confirm, fail
from neo4j_fixture import Access

import gmem

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

GOOD = (("sol", "There are 7."), ("vera", "I verify: 3 + 4 is 7."), ("sol", "The final answer is 7."))
BAD = (("sol", "I assume there are 9."), ("vera", "Good."), ("sol", "The final answer is 9."))


def _learned(memory: gmem.Memory) -> list[Any]:
    for m in range(44):
        good = m % 2 == 0
        with memory.task(
            f"How many pears has team {m // 4}?", agents={"sol": "solver", "vera": "checker"}, run_id=f"t_{m}",
            source="loud" if m % 3 else "run", trust=0.3 if m % 11 == 0 else 1.0,
        ) as run:  # fmt: skip
            for agent, text in GOOD if good != (m == 8) else BAD:
                run.say(agent, text)
            run.resolve() if good else run.fail("wrong")
    memory.forget(task="t_5")
    memory.consolidate()
    found = []
    for insight in memory.insights():
        standing = memory.store.standing(memory.team, insight.id)
        found.append((replace(insight, created=0.0, updated=0.0), standing))
    return found


def test_both_stores_teach_the_same_habits(neo4j: Access, tmp_path: Path) -> None:
    with gmem.Memory(tmp_path / "m.gmem", embedder="none") as embedded:
        ours = _learned(embedded)
    store = neo4j.open()
    try:
        theirs = _learned(gmem.Memory(store, embedder="none"))
    finally:
        store.close()
    assert ours == theirs
    assert any(insight.pattern.startswith(("says|", "check|", "then|", "ends|")) for insight, _ in ours)


def test_both_stores_blame_the_same_after_people_confirmed_blame(neo4j: Access, tmp_path: Path) -> None:
    def blamed(memory: gmem.Memory) -> list[Any]:
        confirm(memory, range(8))
        found = [fail(memory, 100)]
        memory.forget(task="t3")
        return [*found, fail(memory, 101)]

    with gmem.Memory(tmp_path / "m.gmem", embedder="none", team="blue") as embedded:
        ours = blamed(embedded)
    store = neo4j.open()
    try:
        with gmem.Memory(store, embedder="none", team="blue") as served:
            confirm(served, range(8))
            found = [fail(served, 100)]
        other = neo4j.open()  # as another process would, which saw nothing of it
        with gmem.Memory(other, embedder="none", team="blue") as served:
            served.forget(task="t3")
            found.append(fail(served, 101))
    finally:
        store.close()
    assert ours == found
    assert ["8 confirmed" in ours[0][0].reason, "7 confirmed" in ours[1][0].reason] == [True, True]
