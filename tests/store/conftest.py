"""Fixtures of the tests that need a Neo4j server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from neo4j_fixture import Access, find


@pytest.fixture(scope="session")
def _neo4j() -> Iterator[Access]:
    access = find()
    yield access
    access.empty()
    access.driver.close()


@pytest.fixture
def neo4j(_neo4j: Access) -> Access:
    """Give a database with nothing in it."""
    _neo4j.empty()
    return _neo4j
