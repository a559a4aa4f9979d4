"""Work in threads of its own, for which somebody waits no longer than they can.

Not the threads of an event loop's executor: those are few, they are the team's as well, and they are waited
for when the program ends, however long that takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["awaited", "begun", "over", "within"]

T = TypeVar("T")


def begun(work: Callable[[], T], name: str, *, daemon: bool = True) -> Future[T]:
    """Begin work in a thread.

    Args:
        work: What to do.
        name: Name of the thread.
        daemon: Whether the program may end without it.

    Returns:
        What comes of it, an exception too; cancelling it has no effect.
    """
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()

    def go() -> None:
        try:
            value = work()
        except BaseException as error:
            found.set_exception(error)
        else:
            found.set_result(value)

    try:
        threading.Thread(target=go, name=name, daemon=daemon).start()
    except RuntimeError:  # there are no more threads, as at the end of the interpreter
        go()
    return found


def over(work: Future[Any], seconds: float) -> bool:
    """Wait for work, and tell whether it ended in time."""
    return bool(wait([work], seconds).done)


def within(seconds: float, work: Callable[[], T], name: str) -> T:
    """Do something in a thread, and wait for it.

    Raises:
        TimeoutError: It took longer; what comes of it is thrown away.
    """
    found = begun(work, name)
    if not over(found, seconds):
        raise _late(seconds)
    return found.result()


async def awaited(work: Future[T], seconds: float | None = None) -> T:
    """Await work; the event loop goes on meanwhile, and so does the work if the waiting is cancelled.

    Raises:
        TimeoutError: It took longer; what comes of it is thrown away.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ended.done():  # else it is too late, or nobody waits any more
            ended.set_result(None)

    def tell(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(wake)

    work.add_done_callback(tell)
    try:
        await asyncio.wait_for(ended, seconds)
    except asyncio.TimeoutError:
        raise _late(seconds) from None
    return work.result()


def _late(seconds: float | None) -> TimeoutError:
    return TimeoutError(f"the memory did not answer within {seconds:g} s")
