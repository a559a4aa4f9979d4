"""The formats of what stands on a server, and the steps from each to the next one.

A memory of an older format is brought up by whoever opens it first.  A step is done in parts, each a
transaction that holds the lock of all writers and finds out by itself what is left to do: several that
open the memory at once share the work, and what was begun by one that died is finished by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gmem.errors import StoreCorrupt, StoreError, StoreVersionError
from gmem.graphs import _cypher, _rows
from gmem.graphs._server import Run

__all__ = ["FORMAT", "LOADING", "check_unchanged", "refuse", "upgrade"]

FORMAT = 2
"""1 had each vector as a list of floats only; 2 has it as bytes as well."""
LOADING = -1
"""Stands for the format while a memory is being filled."""
PART = 1000
"""Most nodes that are changed in one transaction."""
Step = Callable[[Run], bool]
"""Does a part of a step within a transaction, and tells whether all of it is done."""


def refuse(format: object, at: str) -> StoreError | None:
    """Give the error for a memory that is not of the newest format and cannot be brought up to it.

    Args:
        format: What stands on the server.
        at: Where, to be named in the error.
    """
    if format == FORMAT or format in STEPS:
        return None
    if format == LOADING:
        return StoreCorrupt(
            f"{at} holds a part of a memory: a copy to it is under way, or broke off; if so, empty the database "
            "(docs/neo4j.md says how) and copy again"
        )
    if isinstance(format, int) and format > FORMAT:
        return StoreVersionError(
            f"{at} has format {format}, this gmem reads formats 1 to {FORMAT}; upgrade with "
            "`pip install -U gmem-engine`"
        )
    return StoreCorrupt(
        f"{at} says that its format is {format!r}, which no gmem writes: somebody edited the node GmemMeta; "
        "restore the database from a backup"
    )


def check_unchanged(format: object) -> None:
    """Refuse to go on with a memory whose format is no longer the one that it had when it was opened.

    Raises:
        StoreVersionError: A newer gmem has brought it up to a newer format meanwhile.
        StoreCorrupt: It is being filled anew, or was edited.
    """
    if format == FORMAT:
        return
    raise refuse(format, "the memory") or StoreCorrupt(
        f"the memory has format {format} again, an older one, so an older copy was put in its place; open it anew"
    )


def upgrade(run: Run, at: str) -> bool:
    """Do one part of what brings a memory to the newest format; returns whether nothing is left.

    Raises:
        StoreVersionError: Somebody else has brought it to a format that is newer still.
        StoreCorrupt: It is gone, or what it says of its format makes no sense.
    """
    rows = run(_cypher.LOCK, {"by": "upgrade", "ops": [], "team_uids": []})
    if not rows:
        raise StoreCorrupt(f"{at}: the memory is gone from the server: somebody emptied the database; open it anew")
    format = rows[0]["format"]
    if (error := refuse(format, at)) is not None:
        raise error
    if format != FORMAT and STEPS[format](run):
        format += 1
        run(_cypher.SET_FORMAT, {"format": format})
    return bool(format == FORMAT)


def _vectors_as_bytes(run: Run) -> bool:
    """From 1 to 2: beside each list of floats, the same as bytes."""
    rows = run(_cypher.VECTORS_WITHOUT_BYTES, {"count": PART})
    run(
        _cypher.ADD_BYTES,
        {"rows": [[r["uid"], _rows.from_vector(np.array(r["embedding"], np.float32))["vector"]] for r in rows]},
    )
    return len(rows) < PART


STEPS: Mapping[int, Step] = {1: _vectors_as_bytes}
"""From each older format to the next one."""
