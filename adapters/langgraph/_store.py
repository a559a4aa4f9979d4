"""A store for LangGraph (`compile(store=...)`) whose items live in a gmem memory.

The items of a team are kept in a team of their own beside it, so that nothing of them is recalled or
learned from as if it were a task, and no team sees those of another.  They are written as whole as
tasks are, found by their words and, where the memory has an embedding model, by their meaning.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    get_text_at_path,
    tokenize_path,
)

from gmem import checks, ids
from gmem.adapters._texts import storable
from gmem.embed import Embedder
from gmem.errors import EmbedderMismatch, InvalidInput
from gmem.graphs.base import Batch
from gmem.memory import Memory
from gmem.model import Model, Task
from gmem.text import terms

__all__ = ["GMemStore"]

SOURCE = "langgraph-store"
UNSEARCHED = "-"
"""Stands for the text of an item that is not to be found by a search; it has no words."""


class GMemStore(BaseStore):
    """Keeps LangGraph's long-term items in a memory, beside what its team remembers by itself.

    Every operation of `BaseStore` exists, blocking and awaited.  Values must be JSON.  There is no time to live.

    Args:
        memory: Where to.
    """

    supports_ttl = False

    def __init__(self, memory: Memory) -> None:
        if not isinstance(memory, Memory):
            raise InvalidInput(f"memory must be a gmem.Memory, not {type(memory).__name__}")
        self._memory = memory
        team = f"{memory.team}/{SOURCE}"
        self.team = team if len(team.encode()) <= checks.MAX_NAME else f"{ids.digest(memory.team)}/{SOURCE}"

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations; what is read was there before any of them, and the last of equal writes counts."""
        results: list[Result] = []
        puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
        kept: list[tuple[Task, Item]] | None = None
        for op in ops:
            if isinstance(op, GetOp):
                results.append(self._get(op.namespace, op.key))
                continue
            if isinstance(op, PutOp):
                puts[op.namespace, op.key] = op
                results.append(None)
                continue
            kept = self._all() if kept is None else kept
            if isinstance(op, SearchOp):
                results.append(self._search(op, kept))
            elif isinstance(op, ListNamespacesOp):
                results.append(_namespaces(op, (item.namespace for _, item in kept)))
            else:
                raise InvalidInput(f"{type(op).__name__} is no operation of a store")
        if puts:
            self._put(list(puts.values()))
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Await `batch`; it runs in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    # --- inner workings -------------------------------------------------------------------------

    def _all(self) -> list[tuple[Task, Item]]:
        store = self._memory.store
        tasks = store.tasks(self.team, store.task_ids(self.team))
        return sorted(((t, _item(t)) for t in tasks), key=lambda pair: (-pair[0].ended, pair[0].id))

    def _stored(self, wanted: Sequence[str]) -> dict[str, Task]:
        return {id: task for id, (task, _) in self._memory.store.cases(self.team, wanted).items()}

    def _get(self, namespace: tuple[str, ...], key: str) -> Item | None:
        id = _id(namespace, key)
        task = self._stored([id]).get(id)
        return None if task is None else _item(task)

    def _put(self, puts: Sequence[PutOp]) -> None:
        there = self._stored([_id(op.namespace, op.key) for op in puts])
        now = time.time()
        recorded = self._memory.store.embedder()
        embedder = self._embedder(recorded)
        tasks, vectors, gone = [], {}, []
        for op in puts:
            id = _id(op.namespace, op.key)
            if op.value is None:
                gone.append(id)
                continue
            text = _text(op)
            began = there[id].started if id in there else now
            tasks.append(Task(
                id=id, team=self.team, query=storable(text, checks.MAX_QUERY, empty=UNSEARCHED), context=_json(op),
                source=SOURCE, started=began, ended=max(began, now),
            ))  # fmt: skip
            if text.strip() and embedder is not None:
                vectors[id] = embedder.documents([tasks[-1].query])[0]
        name = ids.new_id("op")
        batch = Batch(self.team, name, tasks=tasks, vectors=vectors, forget_tasks=gone, embedder=recorded)
        try:
            self._memory.store.write([batch])
        except EmbedderMismatch:
            self._put(puts)  # the memory was moved to another model meanwhile

    def _embedder(self, recorded: Model | None) -> Embedder | None:
        """Give the memory's embedder, if the vectors in the store are of that model."""
        embedder = self._memory.embedder
        return embedder if embedder is not None and embedder.model == recorded else None

    def _search(self, op: SearchOp, kept: Sequence[tuple[Task, Item]]) -> list[SearchItem]:
        found = [
            (task, item) for task, item in kept
            if item.namespace[: len(op.namespace_prefix)] == op.namespace_prefix
            and all(_fits(item.value.get(k), v) for k, v in (op.filter or {}).items())
        ]  # fmt: skip
        scores: dict[str, float] = {}
        if op.query:
            asked = storable(op.query, checks.MAX_QUERY)
            embedder = self._embedder(self._memory.store.embedder())
            vector = embedder.query(asked) if embedder is not None else None
            near = self._memory.store.candidates(self.team, terms(asked), vector)
            for id in near.ids:
                row = near.rows[id]
                dense, lexical = float(near.dense[row]), float(near.lexical[row])
                scores[id] = max(dense, lexical) if near.has_dense else lexical
            blank = {task.id for task, _ in found if task.query == UNSEARCHED}
            scores = {id: score for id, score in scores.items() if id not in blank}
            found.sort(key=lambda pair: (pair[0].id in blank, -scores.get(pair[0].id, 0.0)))
        return [
            SearchItem(item.namespace, item.key, item.value, item.created_at, item.updated_at, scores.get(task.id))
            for task, item in found[op.offset : op.offset + op.limit]
        ]  # fmt: skip


def _id(namespace: tuple[str, ...], key: str) -> str:
    return "t_" + ids.digest("item", *namespace, key)[:32]


def _json(op: PutOp) -> str:
    try:
        text = json.dumps([list(op.namespace), op.key, op.value], ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the value of {op.key!r} in {op.namespace!r} is no JSON: {error}") from error
    return checks.text(text, f"the value of {op.key!r}")


def _item(task: Task) -> Item:
    namespace, key, value = json.loads(task.context)
    began, ended = (datetime.fromtimestamp(t, timezone.utc) for t in (task.started, task.ended))
    return Item(value=value, key=key, namespace=tuple(namespace), created_at=began, updated_at=ended)


def _text(op: PutOp) -> str:
    """Give the text by which an item is found: that of the fields that are named, or of all."""
    if op.index is False or op.value is None:
        return ""
    if op.index is None:
        return "\n".join(_texts(op.value))
    return "\n".join(t for path in op.index for t in get_text_at_path(op.value, tokenize_path(path)))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _fits(value: Any, wanted: Any) -> bool:
    """Compare as the stores of LangGraph do: nested values, and `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`."""
    if isinstance(wanted, Mapping):
        if any(str(k).startswith("$") for k in wanted):
            return all(_compared(value, str(k), v) for k, v in wanted.items())
        return isinstance(value, Mapping) and all(_fits(value.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, (list, tuple)):
        same = isinstance(value, (list, tuple)) and len(value) == len(wanted)
        return same and all(_fits(v, w) for v, w in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _compared(value: Any, how: str, wanted: Any) -> bool:
    if how == "$eq":
        return bool(value == wanted)
    if how == "$ne":
        return bool(value != wanted)
    if how not in ("$gt", "$gte", "$lt", "$lte"):
        raise InvalidInput(f"{how} is no comparison; use $eq, $ne, $gt, $gte, $lt or $lte")
    try:
        difference = float(value) - float(wanted)
    except (TypeError, ValueError):
        return False  # what is no number is neither more nor less
    return difference > 0 if how == "$gt" else difference >= 0 if how == "$gte" else (
        difference < 0 if how == "$lt" else difference <= 0
    )  # fmt: skip


def _namespaces(op: ListNamespacesOp, namespaces: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    found = {n for n in namespaces if all(_matches(c, n) for c in op.match_conditions or ())}
    if op.max_depth is not None:
        found = {n[: op.max_depth] for n in found}
    return sorted(found)[op.offset : op.offset + op.limit]


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path, n = tuple(condition.path), len(condition.path)
    part = namespace[:n] if condition.match_type == "prefix" else namespace[len(namespace) - n :]
    return len(namespace) >= n and all(p in ("*", label) for p, label in zip(path, part, strict=True))
