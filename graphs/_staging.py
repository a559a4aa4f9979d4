"""A write while it is worked out: what a team's cache holds, with the changes of the write laid over it.

Everything is decided here, before the server hears of it, so that a write that is refused costs the
server nothing and those who share a transaction cannot spoil it for each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from gmem.graphs import codec
from gmem.graphs._cache import TeamCache

__all__ = ["Key", "Staged"]

Key = tuple[str, str, str]
"""Kind, team and id of a record."""


class Staged:
    """The changes of some batches, in the order in which things were first written.

    Args:
        cache: Gives the cache of a team, as new as the server.
        embedder: The recorded embedding model, as `gmem.graphs._writing.read_model` takes it.
        done: Names of writes that were carried out before.

    Attributes:
        values: New body of each record that was written; None if it was removed again.
        dead: Records of the server that were removed, whether or not they were written anew.
        ops: Names of the writes that are carried out now.
    """

    def __init__(self, cache: Callable[[str], TeamCache], embedder: str | None, done: set[str]) -> None:
        self._cache = cache
        self._embedder = embedder
        self._done = done
        self.values: dict[Key, bytes | None] = {}
        self.dead: set[Key] = set()
        self.ops: dict[str, None] = {}
        self._undo: list[Callable[[], object]] = []

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Undo what is done inside if it raises, and only that."""
        self._undo = []
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise

    @property
    def teams(self) -> Mapping[str, bool]:
        """The teams that change, and whether anything of theirs is removed."""
        found = {team: False for (_, team, _), body in self.values.items() if body is not None}
        return {**found, **{team: True for _, team, _ in self.dead}}

    # --- what `carry_out` asks for ----------------------------------------------------------------

    def begin(self, op_id: str, forgets: bool = False) -> bool:
        """Start a named step; False if a step of that name was done before."""
        if op_id in self._done or op_id in self.ops:
            return False
        self.ops[op_id] = None
        self._undo.append(lambda: self.ops.pop(op_id))
        return True

    def meta(self, key: str) -> str | None:
        """Read a fact about the whole store."""
        return self._embedder if key == "embedder" else None

    def has(self, kind: str, team: str, id: str) -> bool:
        """Tell whether a record is there, as things stand."""
        key = (kind, team, id)
        return self.values[key] is not None if key in self.values else self.stored(key)

    def get(self, kind: str, team: str, id: str) -> bytes | None:
        """Read an insight, evidence or a ledger entry as things stand."""
        key = (kind, team, id)
        if key in self.values:
            return self.values[key]
        cache = self._cache(team)
        if kind == "insight" and id in cache.insights:
            return codec.pack_insight(cache.insights[id])
        if kind == "recall" and id in cache.recalls:
            return codec.pack_recall(cache.recalls[id])
        if kind == "evidence" and cache.insight.has_edge(*codec.ends(id)):
            (said,) = cache.evidence(*codec.ends(id))
            return codec.pack_evidence(said)
        return None

    def ids(self, kind: str, team: str) -> list[str]:
        """Give the ids of all records of one kind, in no particular order."""
        stored = [id for id in _ids(self._cache(team), kind) if (kind, team, id) not in self.values]
        return stored + [i for (k, t, i), body in self.values.items() if (k, t) == (kind, team) and body is not None]

    def put(self, kind: str, team: str, id: str, body: bytes) -> None:
        """Add or replace a record; a replaced one keeps its place in the order."""
        key = (kind, team, id)
        if self.values.get(key, b"") is None:  # removed before, so it comes back as a new one, at the end
            del self.values[key]
            self._undo.append(lambda: self._set(key, None))
        else:
            self._remember(key)
        self.values[key] = body

    def delete(self, kind: str, team: str, id: str) -> None:
        """Remove a record, if it is there."""
        key = (kind, team, id)
        if self.values.get(key) is None and not self.stored(key):
            return
        self._remember(key)
        self.values[key] = None
        if key not in self.dead and self.stored(key):
            self.dead.add(key)
            self._undo.append(lambda: self.dead.discard(key))

    def _remember(self, key: Key) -> None:
        if key in self.values:
            old = self.values[key]
            self._undo.append(lambda: self._set(key, old))
        else:
            self._undo.append(lambda: self.values.pop(key))

    def _set(self, key: Key, body: bytes | None) -> None:
        self.values[key] = body

    def stored(self, key: Key) -> bool:
        """Tell whether the server has a record; of traces, only those that this write itself wrote are known."""
        kind, team, id = key
        cache = self._cache(team)
        if kind == "task":
            return id in cache
        if kind == "insight":
            return id in cache.insights
        if kind == "vector":
            return cache.vector(id) is not None
        if kind == "link":
            return id in cache.links
        if kind == "recall":
            return id in cache.recalls
        if kind == "similar":
            return bool(cache.query.has_edge(*codec.ends(id)))
        if kind == "evidence":
            return bool(cache.insight.has_edge(*codec.ends(id)))
        return False


def _ids(cache: TeamCache, kind: str) -> Iterator[str]:
    if kind == "similar":
        return (codec.edge_key(min(a, b), max(a, b)) for a, b in cache.query.edges)
    if kind == "evidence":
        return (codec.edge_key(task, insight) for task, insight in cache.insight.edges)
    if kind == "link":
        return iter(cache.links)
    if kind == "recall":
        return iter(cache.recalls)
    raise ValueError(f"records of kind {kind!r} are not listed")
