"""Moving a whole store to another embedding model, while others go on reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from gmem import ids
from gmem.embed import WORDS_ONLY, Embedder
from gmem.errors import InvalidInput, UnknownId
from gmem.flow import Flow, call, either
from gmem.graphs.base import Batch, GraphStore
from gmem.model import Model, Task

__all__ = ["Progress", "reembed"]

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""
ATTEMPTS = 4
TOGETHER = 256
"""Texts that are embedded between two reports of the progress."""

Key = tuple[str, str]
"""Team and id of a task."""
Embedded = dict[Key, tuple[str, NDArray[np.float32]]]
"""The text of each task, and its vector, float32 array (d,), of unit length or zero."""


def reembed(store: GraphStore, embedder: Embedder | None, progress: Progress | None = None) -> Flow[int]:
    """Replace every vector of every team of a store by those of another model.

    What is stored or forgotten meanwhile is taken into account: a write that is worked out with the old model is
    refused once the store has moved (`Batch.embedder`), so after one more look no task is left over.

    Args:
        store: The store.
        embedder: The model; None for words only.
        progress: Told how many tasks are embedded, of how many.

    Returns:
        How many vectors there are.

    Raises:
        EmbeddingError: The model failed; the memory is as it was, unless it had moved already, and then only tasks
            that came meanwhile are without a vector.
        EmbedderMismatch: Somebody else moved the store to a third model meanwhile.
    """
    if embedder is None:
        yield from call(store.set_embedder, WORDS_ONLY)
        return 0
    done: Embedded = {}
    for attempt in range(ATTEMPTS):
        yield from _embed(embedder, _new((yield from call(_texts, store)), done), done, progress)
        rows = [(*key, vector) for key, (_, vector) in done.items() if vector.any()]
        try:
            yield from call(lambda rows=rows: store.set_embedder(embedder.model, rows))  # type: ignore[misc]
        except InvalidInput:
            if attempt == ATTEMPTS - 1:
                raise
            continue  # one of them was forgotten since
        break
    late = _new((yield from call(_texts, store)), done)
    yield from _embed(embedder, late, done)
    yield from call(_write, store, embedder.model, {key: done[key][1] for key in late if done[key][1].any()})
    return sum(bool(vector.any()) for _, vector in done.values())


def _texts(store: GraphStore) -> dict[Key, str]:
    """Give the text of every task, of every team."""
    return {(team, task.id): task.query for team in store.teams() for task in _tasks(store, team)}


def _tasks(store: GraphStore, team: str) -> list[Task]:
    all = store.task_ids(team)
    try:
        return store.tasks(team, all)
    except UnknownId:  # one was forgotten since
        found = []
        for id in all:
            with suppress(UnknownId):
                found += store.tasks(team, [id])
        return found


def _new(there: Mapping[Key, str], done: Embedded) -> dict[Key, str]:
    """Give those that are not embedded, or with another text; what is gone leaves `done`."""
    for key in done.keys() - there.keys():
        del done[key]
    return {key: text for key, text in there.items() if key not in done or done[key][0] != text}


def _embed(
    embedder: Embedder, texts: Mapping[Key, str], done: Embedded, progress: Progress | None = None
) -> Flow[None]:  # fmt: skip
    """Embed texts into `done`."""
    keys = list(texts)
    for at in range(0, len(keys), TOGETHER):
        part = [texts[key] for key in keys[at : at + TOGETHER]]
        vectors: NDArray[np.float32] = yield from either(
            lambda part=part: embedder.documents(part),  # type: ignore[misc]
            lambda part=part: embedder.adocuments(part),  # type: ignore[misc]
        )
        done.update((key, (texts[key], vector)) for key, vector in zip(keys[at:], vectors, strict=False))
        if progress is not None:
            progress(min(at + TOGETHER, len(keys)), len(keys))


def _write(store: GraphStore, model: Model, vectors: Mapping[Key, NDArray[np.float32]]) -> None:
    """Give vectors to those of the tasks that are still there."""
    for team in sorted({team for team, _ in vectors}):
        for attempt in range(ATTEMPTS):
            there = set(store.task_ids(team))
            left = {id: vector for (of, id), vector in vectors.items() if of == team and id in there}
            try:
                store.write([Batch(team, ids.new_id("o"), vectors=left, embedder=model)])
            except InvalidInput:
                if attempt == ATTEMPTS - 1:
                    raise
                continue  # one of them was forgotten since
            break
