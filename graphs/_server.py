"""The connection to a Neo4j server: how it is opened, how work is repeated, what its errors are called here."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

import neo4j
from neo4j import exceptions

from gmem.errors import (
    GmemError,
    InvalidInput,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreNotFound,
    StoreRefused,
    StoreUnreachable,
    StoreVersionError,
)

__all__ = ["Address", "Row", "Run", "Server", "parse"]

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_SETTINGS = (exceptions.AuthConfigurationError, exceptions.CertificateConfigurationError)
_RACE = "Neo.ClientError.Schema.ConstraintValidationFailed"
_RACES = 3
"""How often a write that lost a race for a unique name is done again."""
Row = Mapping[str, Any]
Run = Callable[[str, Mapping[str, Any]], Sequence[Row]]
"""Sends one fixed statement with its parameters within a transaction, and gives the rows."""
T = TypeVar("T")
log = logging.getLogger("gmem")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a memory is, and who asks.

    Attributes:
        uri: Scheme, host and port, as the driver takes them.
        database: Name of the database; '' for the user's own.
        user: Who.
        password: Never shown.
    """

    uri: str
    database: str
    user: str
    password: str

    @property
    def location(self) -> str:
        """Give the address without the password."""
        return self.uri + (f"?database={quote(self.database)}" if self.database else "")

    def __repr__(self) -> str:
        return f"Address({self.location!r}, user={self.user!r})"


def parse(location: str, auth: tuple[str, str] | None = None) -> Address:
    """Take an address apart: `neo4j://user:password@host:7687?database=name`.

    Args:
        location: The address; user and password may be left out of it.
        auth: User and password; first choice, before the address and NEO4J_USERNAME and NEO4J_PASSWORD.

    Raises:
        InvalidInput: It is no such address.
    """
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise InvalidInput("the address cannot be read; write it as neo4j://host:7687?database=name") from error
    if parts.scheme not in SCHEMES or not host or parts.path not in ("", "/") or set(options) - {"database"}:
        raise InvalidInput(
            f"{parts.scheme}://{host or ''}{parts.path} is not an address that gmem opens; write it as "
            "neo4j://host:7687 or neo4j://host:7687?database=name (also neo4j+s, neo4j+ssc, bolt, bolt+s, bolt+ssc)"
        )
    if auth is None:
        user = unquote(parts.username) if parts.username else os.environ.get("NEO4J_USERNAME", "neo4j")
        password = unquote(parts.password) if parts.password else os.environ.get("NEO4J_PASSWORD", "")
    else:
        user, password = auth
    if options.get("database") == ["system"]:
        raise InvalidInput("`system` is the server's own database and holds no memories; name another, or leave it out")
    name = f"[{host}]" if ":" in host else host
    uri = f"{parts.scheme}://{name}" + (f":{port}" if port else "")
    return Address(uri, options.get("database", [""])[0], user, password)


class Server:
    """The connection to a database on a server; safe to use from several threads.

    Args:
        address: Where.
        timeout: Seconds after which a transaction, and all attempts at it together, are given up.
    """

    def __init__(self, address: Address, *, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._closed = False
        self._driver: neo4j.Driver | None = None
        self._bookmarks = neo4j.GraphDatabase.bookmark_manager()

    def greet(self) -> None:
        """Find out, once and without patience, whether a server is there at all."""
        with self._translated():
            self._connected().verify_connectivity()

    def _connected(self) -> neo4j.Driver:
        if self._closed:
            raise StoreClosed(f"{self.address.location} was closed; open it again")
        if self._driver is None:
            self._driver = neo4j.GraphDatabase.driver(
                self.address.uri,
                auth=(self.address.user, self.address.password),
                user_agent=f"gmem/{importlib.metadata.version('gmem-engine')}",
                telemetry_disabled=True,
                max_connection_pool_size=20,
                connection_acquisition_timeout=min(10.0, self._timeout),
                connection_timeout=min(10.0, self._timeout),
                liveness_check_timeout=30.0,
                max_transaction_retry_time=self._timeout,
                initial_retry_delay=0.5,  # a server that is back is to be noticed within a few seconds
                retry_delay_multiplier=1.25,
                notifications_min_severity="WARNING",
                notifications_disabled_classifications=["UNRECOGNIZED"],  # an empty database knows no label yet
            )
        return self._driver

    # --- transactions -------------------------------------------------------------------------

    def ask(self, statement: str) -> Sequence[Row]:
        """Read what one statement without parameters gives."""
        return self.read(lambda run: run(statement, {}))

    def read(self, work: Callable[[Run], T], *, seconds: float | None = None) -> T:
        """Do work in one read transaction, of so many seconds at most; it may be done more than once."""
        deadline = time.monotonic() + self._timeout
        with self._translated():
            while True:
                try:
                    with self._session(neo4j.READ_ACCESS) as session:
                        return session.execute_read(self._unit(work, seconds))
                except exceptions.IncompleteCommit:  # which the driver never repeats, since it might have written
                    if time.monotonic() > deadline:
                        raise

    def write(self, work: Callable[[Run], T], *, seconds: float | None = None) -> T:
        """Do work in one write transaction, of so many seconds at most, and return when it is committed.

        The work may be done more than once, even after a commit of which no answer came; so it must
        find out by itself what was done before.
        """
        deadline = time.monotonic() + self._timeout
        races = 0
        with self._translated():
            while True:
                try:
                    with self._session(neo4j.WRITE_ACCESS) as session:
                        return session.execute_write(self._unit(work, seconds))
                except exceptions.IncompleteCommit:
                    if time.monotonic() > deadline:
                        raise
                except exceptions.ConstraintError as error:
                    races += 1
                    if error.code != _RACE or races > _RACES:
                        raise
                time.sleep(random.uniform(0.01, 0.05))

    def _session(self, mode: str) -> neo4j.Session:
        return self._connected().session(
            database=self.address.database or None,
            default_access_mode=mode,
            bookmark_manager=self._bookmarks,
        )

    def _unit(self, work: Callable[[Run], T], seconds: float | None) -> Callable[[neo4j.ManagedTransaction], T]:
        @neo4j.unit_of_work(timeout=seconds or self._timeout, metadata={"app": "gmem"})
        def unit(tx: neo4j.ManagedTransaction) -> T:
            def run(statement: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
                return cast("Sequence[Row]", list(tx.run(cast("Any", statement), dict(parameters))))

            return work(run)

        return unit

    # --- closing ------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection; closing twice is harmless."""
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def abandon(self) -> None:
        """Leave the connections to another process that shares them since a fork, and open new ones."""
        if self._driver is not None:
            _INHERITED.append(self._driver)  # closing it would hang up for the other process, too
        self._driver = None
        self._bookmarks = neo4j.GraphDatabase.bookmark_manager()

    # --- errors -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Give the errors of the driver and the server the names that gmem has for them."""
        try:
            yield
        except GmemError:
            raise
        except (exceptions.Neo4jError, exceptions.DriverError) as error:
            raise self._named(error) from error
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{error.object!r} holds half a surrogate pair, which is no character; no such name is stored"
            ) from error
        except OverflowError as error:
            raise InvalidInput(f"a number is too large to be stored: {error}") from error
        except (OSError, ValueError) as error:  # the name of the host makes no sense, or the like
            raise StoreUnreachable(f"{self.address.location} cannot be reached ({error}); check the address") from error

    def _named(self, error: exceptions.Neo4jError | exceptions.DriverError) -> GmemError:
        at = self.address.location
        said = (getattr(error, "message", None) if isinstance(error, exceptions.Neo4jError) else None) or str(error)
        code = getattr(error, "code", "") or ""
        if code.endswith("CredentialsExpired"):
            return StoreRefused(
                f"{at}: the password of user {self.address.user!r} is to be changed before anything else; log in "
                "once in Neo4j Browser, which asks for a new one"
            )
        if isinstance(error, exceptions.AuthError) or "Security" in code:
            return StoreRefused(
                f"{at} does not accept user {self.address.user!r} ({said}); give user and password in the address "
                "(neo4j://user:password@host), as auth=, or as NEO4J_USERNAME and NEO4J_PASSWORD"
            )
        if code.endswith(("DatabaseNotFound", "Database.IllegalAliasChain")):
            return StoreNotFound(
                f"{at}: the server has no such database ({said}); SHOW DATABASES lists them, and without "
                "`?database=` the user's own is used"
            )
        if isinstance(error, (exceptions.ServiceUnavailable, exceptions.SessionExpired)):
            return StoreUnreachable(
                f"{at} does not answer ({said}); check that the server runs, and the host, port and scheme of the "
                "address (neo4j+s:// or bolt+s:// only if it has encryption), then try again"
            )
        if isinstance(error, exceptions.ConfigurationError) and not isinstance(error, _SETTINGS):
            return StoreVersionError(
                f"{at} does not speak a language that gmem needs ({said}); it takes Neo4j 5.26 or newer, so upgrade "
                "the server"
            )
        if code.endswith(("TransactionMemoryLimit", "MemoryPoolOutOfMemoryError", "OutOfMemoryError")):
            return StoreFull(f"{at}: the server is short of memory ({said}); write less at once, or give it more")
        if code.endswith(("TransactionTimedOut", "TransactionTimedOutClientConfiguration", "LockAcquisitionTimeout")):
            return StoreBusy(f"{at}: no answer within {self._timeout:g} s ({said}); try again")
        if isinstance(error, exceptions.TransientError):
            return StoreBusy(f"{at}: {said}; try again")
        if code.startswith("Neo.ClientError.Statement.TypeError") or code.endswith("ArgumentError"):
            return InvalidInput(f"something given cannot be stored: {said}")
        return StoreError(f"{at}: {said} ({code or type(error).__name__})")


_INHERITED: list[neo4j.Driver] = []
"""Drivers of a parent process: kept, so that nobody closes what the parent uses."""
