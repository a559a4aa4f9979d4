"""The course of one run: whether it goes on, and what becomes of troubles on the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gmem.trace import Run

__all__ = ["Course"]

log = logging.getLogger("gmem")


class Course:
    """A run that is under way, or over; nothing that fails within its `guard` reaches the team.

    Args:
        run: The run; None if there could be none, and then it is over from the beginning.

    Attributes:
        lock: Held while anything of the run changes.
        over: Whether it has ended; nothing is recorded or delivered from then on.
    """

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.lock = threading.RLock()
        self.over = run is None
        self._warned = False

    def end(self) -> bool:
        """End it; False if it was over already."""
        with self.lock:
            first, self.over = not self.over, True
            return first

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Let nothing that fails in gmem reach the team: it is said once a run, and what follows goes on."""
        try:
            yield
        except Exception as error:
            log.debug("gmem: %s failed", what, exc_info=error)
            self.warn(f"{what} failed ({_told(error)}); the team goes on without it")

    def warn(self, what: str) -> None:
        """Say once a run that the memory is of no help; further troubles of it are logged as details."""
        say = log.debug if self._warned else log.warning
        self._warned = True
        say("gmem: %s", what)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
