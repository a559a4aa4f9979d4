"""Old experience that fades: by how many tasks came since, never to nothing, and only where it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stories import GOOD, play

import gmem
from gmem.errors import InvalidInput
from gmem.graphs.base import Candidates
from gmem.recall.rank import faded


def aged(*ages: float, known: bool = True) -> Candidates:
    """Make candidates after each of which so many tasks were stored."""
    nothing = np.zeros(len(ages), dtype=np.float32)
    ids = [f"t{at}" for at in range(len(ages))]
    return Candidates(
        ids, {id: at for at, id in enumerate(ids)}, nothing, nothing, nothing, None, np.ones(len(ages), dtype=np.int8),
        nothing + 1, False, age=np.array(ages, dtype=np.float32) if known else None,
    )  # fmt: skip


def test_what_can_be_lost_is_halved_with_every_half_life() -> None:
    assert faded(aged(0, 10, 20, 10_000), 10).tolist() == [1.0, 0.75, 0.625, 0.5]
    assert faded(aged(0, 10), 0).tolist() == [1.0, 1.0]
    assert faded(aged(0, 10, known=False), 10).tolist() == [1.0, 1.0], "a store that cannot tell the age"


def test_of_tasks_alike_the_newest_is_told_first(memory: gmem.Memory, do: Any) -> None:
    runs = [play(memory, f"leek {at}", (*GOOD, f"taste {at}"), run_id=f"run-{at}") for at in range(6)]
    usual = do(memory, "recall", "Cook a leek in the pot")
    fading = do(memory, "recall", "Cook a leek in the pot", half_life=2)
    assert [case.task.id for case in usual.solved] != [run.id for run in runs[:-4:-1]]
    assert [case.task.id for case in fading.solved] == [run.id for run in runs[:-4:-1]]
    ages = {row.id: row.parts["age"] for row in fading.explain().rows if row.kind == "case"}
    assert [ages[run.id] for run in runs[:-4:-1]] == [0, 1, 2]
    assert not any("age" in row.parts for row in usual.explain().rows)


def test_what_is_old_is_still_told_where_nothing_newer_is_alike(words: gmem.Memory) -> None:
    old = play(words, "leek")
    for at in range(40):
        play(words, f"plank {at}", ("saw {0}",), query="Saw a {0} in two")
    recall = words.recall("Cook a leek in a pan", half_life=1)
    assert recall.solved[0].task.id == old.id
    assert words.recall("Cook a leek in a pan").solved[0].task.id == old.id


def test_a_half_life_that_is_none_is_refused(words: gmem.Memory) -> None:
    with pytest.raises(InvalidInput, match="half_life"):
        words.recall("anything", half_life=-1)
