"""Taking times: of the wall, and of the processor, which a busy machine disturbs less."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Times", "load"]


@dataclass
class Times:
    """Durations of one thing, done several times; in seconds.

    Attributes:
        wall: By the clock on the wall.
        cpu: Processor time of this process, all of its threads together.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Time what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    def call(self, work: Callable[[], object]) -> None:
        """Time one call."""
        with self.take():
            work()

    def ms(self, percentile: float, *, cpu: bool = False) -> float:
        """Give a percentile in milliseconds."""
        return float(np.percentile(self.cpu if cpu else self.wall, percentile)) * 1000


def load() -> float:
    """Give the load of the machine over the last minute, where it tells; else NaN."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
