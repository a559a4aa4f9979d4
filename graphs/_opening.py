"""Opening a memory on a server: is the server new enough, is it a memory, of which format, is its schema whole?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gmem.errors import NotAMemory, StoreCorrupt, StoreError, StoreNotFound, StoreVersionError
from gmem.graphs import _cypher
from gmem.graphs._formats import FORMAT, refuse, upgrade
from gmem.graphs._server import Row, Server

__all__ = ["open_memory", "too_old"]

OLDEST = (5, 26)
"""Of Neo4j; years count as versions, so 2026.08 is newer."""
_ALREADY = re.compile(r"(Equivalent\w+|Constraint|Index|\w+WithName)AlreadyExists$")
"""Codes of a rule of the schema that somebody else made in the same moment, or that is in the way."""


def open_memory(server: Server, *, create: bool, patience: float) -> None:
    """Open a memory, or make an empty one where there is none.

    Args:
        server: A server that answers.
        create: Whether to make one.
        patience: Seconds that indexes may take to be filled.

    Raises:
        StoreVersionError: The server is too old, or a newer gmem wrote the memory.
        NotAMemory: Another program uses the same labels in this database, or it is no Neo4j server.
        StoreNotFound: No memory is in it, and none was to be made.
        StoreCorrupt: Only a part of a memory is there, or its schema cannot be made.
    """
    at = server.address.location
    versions = server.ask(_cypher.VERSION)
    if not versions:
        raise NotAMemory(f"{at} is no Neo4j server, though it speaks like one; gmem needs Neo4j 5.26 or newer")
    if too_old(version := str(versions[0]["version"])):
        raise StoreVersionError(f"{at} is Neo4j {version}; gmem needs 5.26 or newer, so upgrade the server")
    found = server.ask(_cypher.META)
    if not found:
        labels = server.ask(_cypher.FOREIGN)[0]["labels"]
        found = server.ask(_cypher.META)  # somebody may have made the memory just now
        if labels is not None and not found:
            raise NotAMemory(
                f"{at} holds nodes labelled {', '.join(labels)} that are not gmem's; use a database of its own "
                "(another server, or `?database=name` where the edition has several)"
            )
        if not found and not create:
            raise StoreNotFound(f"there is no memory in {at}; check the address, or open it with create=True")
    if found and (error := refuse(found[0]["format"], at)) is not None:
        raise error
    _make_schema(server, patience)
    if not found:
        server.write(lambda run: run(_cypher.CREATE_META, {"format": FORMAT}))
    elif found[0]["format"] != FORMAT:
        while not server.write(lambda run: upgrade(run, at)):
            pass


def too_old(version: str) -> bool:
    """Tell whether a server is older than gmem can use, by what it says of itself: `5.26.30`, `2026.08.1`, ..."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST


# --- the schema -------------------------------------------------------------------------------


def _make_schema(server: Server, patience: float) -> None:
    """Make what is missing of the schema, one rule after the other, and wait until all of it works."""
    rules = server.ask(_cypher.INDEXES)
    missing = [name for name in _cypher.SCHEMA if _found(name, rules) is None]
    for name in missing:
        _make(server, name, patience)
    if missing or any(rule["state"] != "ONLINE" for rule in rules):
        server.read(lambda run: run(_cypher.AWAIT, {"seconds": int(patience)}), seconds=patience + 5)
        rules = server.ask(_cypher.INDEXES)
    for name in _cypher.SCHEMA:
        if problem := _problem(name, rules):
            raise StoreCorrupt(f"{server.address.location}: {problem} and open the memory again, which makes it anew")


def _make(server: Server, name: str, patience: float) -> None:
    statement = _cypher.SCHEMA[name]
    try:
        server.write(lambda run: run(statement, {}), seconds=patience)
    except StoreError as error:
        code = getattr(error.__cause__, "code", None) or ""
        if code.endswith("ConstraintCreationFailed"):
            raise StoreCorrupt(
                f"{server.address.location}: the constraint {name} is gone, and cannot be made again because two nodes "
                f"bear the same name ({getattr(error.__cause__, 'message', error)}); delete the one that was not "
                "made by gmem, or restore the database from a backup"
            ) from error.__cause__
        if not _ALREADY.search(code):
            raise


def _wanted(name: str) -> tuple[bool, list[str], list[str]]:
    """Give whether a rule is a constraint, its label or type, and its properties."""
    statement = _cypher.SCHEMA[name]
    label, properties = re.split(r" ON | REQUIRE ", statement)
    return "CONSTRAINT" in statement, re.findall(r":(\w+)", label), re.findall(r"\.(\w+)", properties)


def _found(name: str, rules: Sequence[Row]) -> Row | None:
    """Find the rule that does what the one of this name is to do, whatever it is called."""
    constraint, labels, properties = _wanted(name)
    for rule in rules:
        if (rule["labels"], rule["properties"], rule["type"]) == (labels, properties, "RANGE"):  # noqa: SIM102
            if rule["constraint"] is not None or not constraint:
                return rule
    return None


def _problem(name: str, rules: Sequence[Row]) -> str:
    """Say what is wrong with a rule of the schema, and what to do; '' if nothing is."""
    rule = _found(name, rules)
    if rule is not None:
        if rule["state"] == "ONLINE":
            return ""
        kind = "INDEX" if rule["constraint"] is None else "CONSTRAINT"
        return f"the index {rule['name']} is {rule['state']}; run `DROP {kind} {rule['name']}`"
    _, labels, properties = _wanted(name)
    for other in rules:
        if other["name"] == name or (other["labels"], other["properties"]) == (labels, properties):
            kind = "INDEX" if other["constraint"] is None else "CONSTRAINT"
            return f"{other['name']}, which gmem did not make, is in the way of its own {name}; run `DROP {kind} " + (
                f"{other['name']}`"
            )
    return f"its index {name} cannot be made, nor is it said why; look at SHOW INDEXES and SHOW CONSTRAINTS"
