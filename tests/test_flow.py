"""Flows: one algorithm, run blocking and awaited."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gmem.flow import Flow, arun, call, either, run


def fail() -> None:
    raise ValueError("broken")


def stop() -> None:
    raise StopIteration


def both(make: Any) -> list[Any]:
    return [run(make()), asyncio.run(arun(make()))]


def test_both_ways_give_the_same() -> None:
    def flow() -> Flow[int]:
        a = yield from call(pow, 2, 5)
        b = yield from call(lambda: a + 1)
        return a + b

    assert both(flow) == [65, 65]


def test_an_effects_error_reaches_the_flow() -> None:
    def flow() -> Flow[str]:
        try:
            yield from call(fail)
        except ValueError as error:
            return f"caught {error}"
        return "missed"

    assert both(flow) == ["caught broken"] * 2


def test_an_uncaught_error_leaves_the_flow() -> None:
    for way in (lambda: run(call(fail)), lambda: asyncio.run(arun(call(fail)))):
        with pytest.raises(ValueError, match="broken"):
            way()


def test_stop_iteration_in_an_effect_is_no_silent_end() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(call(stop))


def test_an_awaitable_twin_is_awaited() -> None:
    async def native() -> str:
        await asyncio.sleep(0)
        return "awaited"

    assert both(lambda: either(lambda: "blocking", native)) == ["blocking", "awaited"]


def test_blocking_effects_leave_the_loop_free() -> None:
    async def go() -> int:
        beats = 0

        async def heart() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(heart())
        await arun(call(time.sleep, 0.2))
        ticking.cancel()
        return beats

    assert asyncio.run(go()) >= 5


def test_cancellation_runs_what_must_be_put_back() -> None:
    done: list[str] = []

    async def forever() -> None:
        await asyncio.sleep(60)

    def flow() -> Flow[None]:
        try:
            yield from either(lambda: None, forever)
        finally:
            done.append("put back")

    async def go() -> None:
        task = asyncio.create_task(arun(flow()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert done == ["put back"]
