"""The Neo4j store keeps the contract of every store, on a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from neo4j_fixture import Access

from gmem.graphs import GraphStore
from gmem.graphs._neo4j import Neo4jStore
from gmem.testing import GraphStoreConformance

pytestmark = pytest.mark.neo4j


class TestNeo4j(GraphStoreConformance):
    access: Access

    @pytest.fixture(autouse=True)
    def _server(self, neo4j: Access) -> None:
        self.access = neo4j

    @pytest.fixture
    def store(self, neo4j: Access) -> Iterator[GraphStore]:
        with contextlib.closing(neo4j.open()) as store:
            yield store

    def reopen(self, store: GraphStore) -> GraphStore:
        store.close()
        return Neo4jStore(store.location, auth=self.access.auth, create=False)
