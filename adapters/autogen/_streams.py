"""Going through somebody else's stream, with something in force only while the stream itself works."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractContextManager
from typing import TypeVar

__all__ = ["driven"]

T = TypeVar("T")


async def driven(
    stream: AsyncIterable[T], scope: Callable[[], AbstractContextManager[None]]
) -> AsyncGenerator[T, None]:
    """Give the items of a stream, and close it at the end, however that comes.

    A generator runs in the context of whoever asks it for the next item, so what is set in there
    would stay set for him.  Therefore the scope is entered for each step, and left before the item
    is given.

    Args:
        stream: What to go through.
        scope: Makes the context manager of one step.
    """
    items = aiter(stream)
    try:
        while True:
            with scope():
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            with scope():
                await close()
