"""Blame that people confirm draws a team's weights, and nothing else does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from confirmed import NAMES, confirm, fail, failure

import gmem
from gmem.learn.blame import blame
from gmem.learn.refine import LEAST, SHIPPED, Judged, judged, refine
from gmem.model import Suspect


def look(numbers: Sequence[int], *, asks: bool = True, trust: float = 1.0) -> list[Judged]:
    return [judged(*failure(number, asks=asks, trust=trust)) for number in numbers]


def share(weights: object, numbers: Sequence[int]) -> float:
    """Give the share of failures in which the very step is blamed first."""
    hits = 0
    for number in numbers:
        task, trace = failure(number)
        found = blame(replace(task, blame=()), trace.utterances, weights)  # type: ignore[arg-type]
        hits += found[0].seq == task.blame[0].seq
    return hits / len(numbers)


def test_confirmed_blame_finds_it_in_failures_that_nobody_judged() -> None:
    refined = refine(look(range(30)))
    assert refined.confirmed == 30 and refined.plain["asks"] > SHIPPED.plain["asks"]
    later = range(100, 140)
    assert share(refined, later) > share(SHIPPED, later) + 0.3
    task, trace = failure(100)
    assert all("30 confirmed" in s.reason for s in blame(replace(task, blame=()), trace.utterances, refined))
    assert not any("confirmed" in s.reason for s in blame(replace(task, blame=()), trace.utterances))


def test_a_few_say_nothing_and_a_hostile_few_turn_nothing() -> None:
    assert refine(look(range(LEAST - 1))) is SHIPPED
    later = range(100, 140)
    honest = look(range(30))
    turned = refine([*honest, *look(range(40, 46), asks=False)])
    assert share(turned, later) > share(SHIPPED, later) + 0.3
    # The same question again and again counts once, however often it is judged.
    loud = look([50], asks=False)
    assert refine([*honest, *loud * 50]).plain == pytest.approx(refine([*honest, *loud]).plain, abs=0.05)


def test_blame_that_agrees_with_nothing_leaves_the_weights_as_they_are() -> None:
    rng = random.Random(5)
    noise = []
    for number in range(20):
        task, trace = failure(number)
        step = rng.randrange(len(NAMES))
        noise.append(judged(replace(task, blame=(Suspect(NAMES[step], step, "", 1.0),)), trace))
    refined = refine(noise)
    assert all(abs(refined.plain[k] - v) < 0.5 for k, v in SHIPPED.plain.items())


def test_a_memory_learns_whom_to_blame_in_whatever_order_and_not_for_others(tmp_path: Path) -> None:
    numbers = list(range(16))
    found = []
    for name, order in (("a", numbers), ("b", numbers[::-1])):
        with gmem.Memory(tmp_path / f"{name}.db", embedder="none", team="blue") as memory:
            confirm(memory, order)
            found.append(fail(memory, 200))
            assert memory.store.confirmed("blue") == sorted(f"t{n}" for n in numbers)
            memory.forget(task="t0")
            later = fail(memory, 201)
            assert "15 confirmed" in later[0].reason
        with gmem.Memory(tmp_path / f"{name}.db", embedder="none", team="red") as other:
            assert "confirmed" not in fail(other, 200)[0].reason
    assert found[0] == found[1] and "16 confirmed" in found[0][0].reason
    assert found[0][0].seq == failure(200)[0].blame[0].seq
