"""Whoever reads a server sees each write whole or not at all, while others write."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from neo4j_fixture import Access

from gmem.errors import StoreCorrupt
from gmem.graphs import Batch, _cypher
from gmem.graphs._formats import FORMAT
from gmem.graphs._mirror import Mirror
from gmem.testing import example_batch, example_task

SIZE = 200


@pytest.mark.neo4j
def test_readers_see_whole_writes_only(neo4j: Access) -> None:
    with contextlib.closing(neo4j.open()) as writer:
        writer.write([example_batch("first", "other")])
        done, torn, seen = threading.Event(), list[int](), [0, 0]

        def look(number: int) -> None:
            with contextlib.closing(neo4j.open()) as store:
                while not done.is_set() or seen[number] < 15 * SIZE:
                    seen[number] = len(store.task_ids("team"))
                    if seen[number] % SIZE:
                        torn.append(seen[number])
                        return

        threads = [threading.Thread(target=look, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(15):
                tasks = [example_task(f"{turn}.{n}") for n in range(SIZE)]
                writer.write([Batch("team", f"write {turn}", tasks=tasks)])
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert torn == []
    assert seen == [15 * SIZE] * 2


def _row(numbers: Sequence[int]) -> dict[str, Any]:
    """Give an answer to `_cypher.CHANGES` that holds the tasks of some writes, one each."""
    tasks = [(n, f"t{n}", "q", "resolved", True, 1.0, 0, "run", False, "", False) for n in numbers]
    return {
        "tasks": [list(column) for column in zip(*tasks, strict=True)] if tasks else [[] for _ in range(11)],
        "insights": [], "similar": [[], [], []], "supports": [[], [], [], []], "contradicts": [[], [], [], []],
        "links": [[], [], []], "recalls": [], "lasts": [max(numbers, default=None), None],
    }  # fmt: skip


class Lagging:
    """Stands for a server whose indexes lag: what is first seen in a transaction is whole in the next one.

    Real ones do that about once in a hundred large writes, which no test can count on.
    """

    def __init__(self, written: Sequence[int]) -> None:
        self.written, self.shown = list(written), 0

    def read(self, work: Callable[..., Any]) -> Any:
        whole = self.shown

        def run(statement: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
            if statement is _cypher.HEAD:
                self.shown = max(self.written)
                return [{"format": FORMAT, "embedder": None, "dimension": None, "seq": self.shown, "epoch": 1}]
            return [_row([n for n in self.written if given["since"] < n <= whole])]

        return work(run)


def test_a_number_counts_only_after_the_transaction_that_showed_it() -> None:
    server, mirror = Lagging([1, 2]), Mirror("team")
    mirror.catch_up(server.read)
    assert mirror.cache.task_ids(None, None) == ["t1", "t2"]
    server.written += [3, 4]
    mirror.catch_up(server.read)
    assert mirror.cache.task_ids(None, None) == ["t1", "t2", "t3", "t4"]


def test_what_runs_ahead_of_its_number_is_waited_for() -> None:
    class Ahead(Lagging):
        def read(self, work: Callable[..., Any]) -> Any:
            return super().read(lambda run: work(lambda statement, given: self._early(run, statement, given)))

        def _early(self, run: Callable[..., Any], statement: str, given: Mapping[str, Any]) -> Any:
            if statement is not _cypher.CHANGES or len(self.written) > 1:
                return run(statement, given)
            self.written.append(2)
            return [{**_row([1]), "lasts": [1, 2]}]  # a part of the next write

    server, mirror = Ahead([1]), Mirror("team")
    mirror.catch_up(server.read)
    assert mirror.seq == 2
    assert mirror.cache.task_ids(None, None) == ["t1", "t2"]


class Torn(Lagging):
    """Stands for a server that shows a task while another client removes it: some of its values are gone."""

    def __init__(self, times: int) -> None:
        super().__init__([1, 2])
        self.times = times

    def read(self, work: Callable[..., Any]) -> Any:
        return super().read(lambda run: work(lambda statement, given: self._torn(run, statement, given)))

    def _torn(self, run: Callable[..., Any], statement: str, given: Mapping[str, Any]) -> Any:
        rows = run(statement, given)
        if statement is _cypher.CHANGES and self.times:
            self.times -= 1
            rows[0]["tasks"][0].append(9)
        return rows


def test_what_is_being_removed_is_looked_at_again() -> None:
    mirror = Mirror("team")
    mirror.catch_up(Torn(2).read)
    assert mirror.cache.task_ids(None, None) == ["t1", "t2"]


def test_what_stays_broken_is_named() -> None:
    mirror = Mirror("team")
    with pytest.raises(StoreCorrupt, match="gmem doctor"):
        mirror.catch_up(Torn(99).read)
    assert mirror.seq is None
