"""The embedded store keeps the contract of every store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmem.graphs import EmbeddedStore, GraphStore
from gmem.testing import GraphStoreConformance


class TestEmbedded(GraphStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[GraphStore]:
        with contextlib.closing(EmbeddedStore(tmp_path / "memory.gmem")) as store:
            yield store

    def reopen(self, store: GraphStore) -> GraphStore:
        store.close()
        return EmbeddedStore(store.location, create=False)
