"""The embedded store keeps the contract of every store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmem.graphs import Batch, EmbeddedStore, GraphStore
from gmem.model import Task
from gmem.testing import GraphStoreConformance


class TestEmbedded(GraphStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[GraphStore]:
        with contextlib.closing(EmbeddedStore(tmp_path / "memory.gmem")) as store:
            yield store

    def reopen(self, store: GraphStore) -> GraphStore:
        store.close()
        return EmbeddedStore(store.location, create=False)


def test_what_others_write_is_seen_as_soon_as_a_reading_is_over(tmp_path: Path) -> None:
    path = tmp_path / "memory.gmem"
    with contextlib.closing(EmbeddedStore(path)) as one, contextlib.closing(EmbeddedStore(path)) as other:
        with one.reading("team"):
            with one.reading("team"):
                other.write([Batch("team", "first", tasks=[Task("a", "team", "Heat it")])])
            assert one.task_ids("team") in ([], ["a"])  # as at the beginning, or as it is now
        assert one.task_ids("team") == ["a"]
        with one.reading("team"):
            assert one.task_ids("team") == ["a"]
