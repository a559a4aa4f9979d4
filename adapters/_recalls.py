"""What one run asks of the memory: once for each role, in threads, and answered in the order of asking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress

from gmem.adapters._threads import begun
from gmem.recall import Recall

__all__ = ["Recalls"]


class Recalls:
    """The recalls of one run; safe to use from several threads and event loops.

    Agents that work at the same time would change places if each went on as soon as its own recall is
    there.  So those that wait on one event loop go on together, in the order in which they came, once
    nothing is left to be waited for.

    Args:
        ask: Recalls for some roles; it may block, and is called in a thread.
        patience: Seconds after which a recall is not waited for any more.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Mapping[str, Recall]], patience: float) -> None:
        self._ask = ask
        self._patience = patience
        self._asked: dict[str, Future[Recall]] = {}
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        self._lock = threading.Lock()

    def asked(self, role: str) -> bool:
        """Tell whether the memory was asked for a role."""
        return role in self._asked

    def answer(self, role: str) -> Recall | None:
        """Give what was recalled for a role; None as long as it is not there, and if the recall failed."""
        found = self._asked.get(role)
        return found.result() if found is not None and found.done() and found.exception() is None else None

    def wait(self, roles: Sequence[str]) -> None:
        """Wait for the recalls for some roles; what has not begun does so, all at once.

        Raises:
            TimeoutError: One of them takes too long.
            Exception: What the memory raised for one of them.
        """
        self._begin(roles)
        asked = [self._asked[role] for role in roles]
        wait(asked, self._patience)
        self._check(asked)

    def waiting(self) -> bool:
        """Tell whether others wait on this event loop, who must go on first."""
        line = self._lines.get(asyncio.get_running_loop())
        return line is not None and line.busy

    async def arrive(self, roles: Sequence[str]) -> None:
        """Wait for the recalls for some roles, and for those that others wait for on this event loop.

        Args:
            roles: What has not begun does so, in one thread; none to wait for others only.

        Raises:
            TimeoutError: One of these roles takes too long.
            Exception: What the memory raised for one of them.
        """
        self._begin(roles)
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(loop, _Line(loop))
        asked = [self._asked[role] for role in roles]
        await line.stand(asked, self._patience)
        self._check(asked)

    def _check(self, asked: Sequence[Future[Recall]]) -> None:
        """Raise what went wrong with recalls that were waited for."""
        for one in asked:
            if not one.done():
                raise TimeoutError(f"the memory did not answer within {self._patience:g} s")
            one.result()

    def _begin(self, roles: Iterable[str]) -> None:
        with self._lock:
            fresh: dict[str, Future[Recall]] = {r: Future() for r in roles if r not in self._asked}
            self._asked.update(fresh)
        if fresh:
            begun(lambda: self._work(fresh), "gmem-recall")

    def _work(self, fresh: Mapping[str, Future[Recall]]) -> None:
        try:
            answers = self._ask(tuple(fresh))
            found = [answers[role] for role in fresh]
        except BaseException as error:
            for asked in fresh.values():
                asked.set_exception(error)
        else:
            for asked, answer in zip(fresh.values(), found, strict=True):
                asked.set_result(answer)


class _Line:
    """Those who wait on one event loop, which is the only thread that touches this."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: set[Future[Recall]] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def busy(self) -> bool:
        return bool(self._open)

    async def stand(self, asked: Sequence[Future[Recall]], patience: float) -> None:
        """Stand in line until all recalls are there, or until one's own patience is at its end."""
        for one in asked:
            if one not in self._open:  # also if it is there already: others may be about to come
                self._open.add(one)
                one.add_done_callback(self._tell)
        if not self._open:
            return
        mine: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(mine)
        limit = self._loop.call_later(patience, self._give_up, asked, mine)
        try:
            await mine
        finally:
            limit.cancel()

    def _tell(self, one: Future[Recall]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._there, [one])

    def _there(self, done: Sequence[Future[Recall]]) -> None:
        self._open.difference_update(done)
        if not self._open:
            for one in self._waiting:
                _let_go(one)
            self._waiting.clear()

    def _give_up(self, asked: Sequence[Future[Recall]], mine: asyncio.Future[None]) -> None:
        """Hold up nobody any longer with what comes too late."""
        self._there(asked)
        _let_go(mine)


def _let_go(one: asyncio.Future[None]) -> None:
    if not one.done():  # it was cancelled, or is free already
        one.set_result(None)
