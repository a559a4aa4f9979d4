"""Run one algorithm both ways: blocking, or awaited.

The engine's algorithms are generators that yield what they need done by somebody else (an
`Effect`) and are sent the result:

    def recall(query: str) -> Flow[Recall]:
        vector = yield from call(embedder.query, query)
        return ...

`run(recall("..."))` does the effects in place; `await arun(recall("..."))` awaits them and keeps the
event loop free.  This module is the only place of the engine that knows about async.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

__all__ = ["Effect", "Flow", "arun", "call", "either", "run"]

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside the algorithm.

    Attributes:
        sync: Does it, blocking.
        native: Does it by awaiting; None means: run `sync` in a thread.
    """

    sync: Callable[[], Any]
    native: Callable[[], Awaitable[Any]] | None = None


Flow = Generator[Effect, Any, T]
"""An algorithm that yields effects and returns a `T`."""


def call(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Call something that blocks (the store, an embedding model)."""
    result: T = yield Effect(lambda: fn(*args, **kwargs))
    return result


def either(sync: Callable[[], T], native: Callable[[], Awaitable[T]]) -> Flow[T]:
    """Call something that has an awaitable twin of its own (a chat model)."""
    result: T = yield Effect(sync, native)
    return result


def run(flow: Flow[T]) -> T:
    """Run a flow to its end, blocking; exceptions of an effect are raised at its `yield`."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        value, error = None, None
        try:
            value = effect.sync()
        except BaseException as raised:
            error = _lifted(raised)


async def arun(flow: Flow[T]) -> T:
    """Run a flow to its end without blocking the event loop.

    Cancelled between two effects, it stops there.  Cancelled within one that runs in a thread, that
    effect still finishes by itself: a write to the store is then either wholly there or not at all.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        value, error = None, None
        try:
            value = await (effect.native() if effect.native is not None else asyncio.to_thread(effect.sync))
        except BaseException as raised:
            error = _lifted(raised)


def _lifted(error: BaseException) -> BaseException:
    """Keep an effect's own StopIteration from looking like the end of the flow."""
    if isinstance(error, StopIteration):
        lifted = RuntimeError("an effect raised StopIteration")
        lifted.__cause__ = error
        return lifted
    return error
