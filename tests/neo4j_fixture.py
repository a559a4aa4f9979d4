"""Access to a real Neo4j server for tests: the one in GMEM_NEO4J_URI, or that of `make test-neo4j`.

The tests empty the database again and again, so a database that holds anything at the beginning is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import neo4j
import pytest

from gmem.graphs._neo4j import Neo4jStore
from gmem.testing.neo4j_server import running

__all__ = ["Access", "find"]

NONE = "no Neo4j server: run `make test-neo4j`, or name an empty one in GMEM_NEO4J_URI"


@dataclass
class Access:
    """A database that tests may do anything with."""

    uri: str
    auth: tuple[str, str]
    driver: neo4j.Driver = field(repr=False)

    def empty(self) -> None:
        """Remove everything."""
        self.ask("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS")

    def ask(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """Send any statement, past gmem."""
        with self.driver.session() as session:
            return session.run(statement, parameters).data()  # type: ignore[arg-type]

    def reconnect(self) -> None:
        """Open new connections, after the server was started again."""
        self.driver.close()
        self.driver = _driver(self.uri, self.auth)

    def open(self, **options: Any) -> Neo4jStore:
        """Open the memory in it."""
        return Neo4jStore(self.uri, auth=self.auth, **options)


def _driver(uri: str, auth: tuple[str, str]) -> neo4j.Driver:
    return neo4j.GraphDatabase.driver(uri, auth=auth, telemetry_disabled=True, notifications_min_severity="OFF")


def find() -> Access:
    """Find the server; without one, tests are skipped, but in CI they fail."""
    uri, user, password = os.environ.get("GMEM_NEO4J_URI"), os.environ.get("NEO4J_USERNAME", "neo4j"), ""
    if uri:
        password = os.environ.get("NEO4J_PASSWORD", "")
    elif (server := running(name="test")) is not None:
        uri, user, password = server.uri, server.user, server.password
    elif os.environ.get("CI"):
        pytest.fail(NONE, pytrace=False)
    else:
        pytest.skip(NONE)
    access = Access(uri, (user, password), _driver(uri, (user, password)))
    # What an earlier run left on the tests' own server may go; what is on another server may be dear to somebody.
    if os.environ.get("GMEM_NEO4J_URI") and access.ask("MATCH (n) RETURN 1 LIMIT 1"):
        access.driver.close()
        pytest.fail(f"the database at {uri} is not empty, and the tests empty it: name another one", pytrace=False)
    return access
