"""Carrying a whole memory from one kind of store to another, as the records that both understand."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator

from gmem.graphs import codec
from gmem.graphs.base import GraphStore
from gmem.model import Model

__all__ = ["OP", "Portable", "Record", "fingerprint"]

Record = tuple[str, str, str, bytes]
"""Kind, team, id and body (see `gmem.graphs.codec`)."""
OP = "op"
"""Kind of a record that stands for the name of a write that was carried out; it has no team and no body."""


class Portable(GraphStore):
    """A store that can be poured out and filled."""

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Give everything: names of writes first; each team's tasks in their order; nothing before what it hangs on.

        Raises:
            StoreBusy: Somebody wrote meanwhile, so it was not one state.
        """

    @abstractmethod
    def load(self, model: Model | None, records: Iterable[Record]) -> None:
        """Fill an empty store with what `records` of another gave; until it returns, the store is no memory.

        Raises:
            InvalidInput: The store is not empty.
        """


def fingerprint(records: Iterable[Record]) -> tuple[int, dict[str, str]]:
    """Sum up a memory, so that two of them can be compared bit for bit, however they store it.

    Returns:
        The sum over all records, whatever their order, and a hash of each team's tasks in their order.
    """
    total = 0
    order: dict[str, hashlib._Hash] = {}
    for kind, team, id, body in records:
        value = _value(kind, team, id, body)
        if value is None:
            continue
        digest = hashlib.sha256(repr((kind, team, id, value)).encode("utf-8")).digest()
        total = (total + int.from_bytes(digest, "big")) % 2**256
        if kind == "task":
            order.setdefault(team, hashlib.sha256()).update(digest)
    return total, {team: h.hexdigest() for team, h in sorted(order.items())}


def _value(kind: str, team: str, id: str, body: bytes) -> object:
    """Read a body, since the same value may be written in more than one way; None if it says nothing."""
    if kind == "task":
        return codec.unpack_task(team, id, body)
    if kind == "trace":
        interaction = codec.unpack_interaction(id, body)
        return interaction if interaction.utterances else None
    if kind == "insight":
        return codec.unpack_insight(team, id, body)
    if kind == "recall":
        return codec.unpack_recall(id, body)
    return body
