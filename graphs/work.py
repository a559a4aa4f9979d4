"""Which tasks need the same work: what a memory knows of it, and when it learns it anew.

What is learned (`gmem.graphs.learned`) depends on the stored tasks and their order alone, never on when
somebody asked: it is learned from the first tasks of the memory, up to the last of a fixed series of sizes, each
an eighth above the one before, so the cost of it for one task stays the same however large the memory grows.
Tasks that came later are compared by their words until the next size is reached.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.learned import Learned, Texts, learn
from gmem.model import Deeds, Outcome

__all__ = ["Compared", "WorkIndex"]

SAMPLE = 384
"""Tasks that are learned from, at most: those whose ids hash lowest, an even draw."""
MOST_WORDS = 64
"""Words of a task's text that are looked at."""
LEVELS = (1, 2, 3)
"""A deed counts as done at least so many times: two things were taken where one was."""
WEIGHTS: dict[Outcome, float] = {"resolved": 1.0, "unknown": 0.5, "failed": 0.1}
"""How far what was done in a run tells what has to be done, by its outcome."""


@dataclass(frozen=True)
class Compared:
    """What a comparison by work gives.

    Attributes:
        alike: How like the work of each task is, float32 array (n,), each in [0, 1].
        share: How much that counts beside the words, float32 array (n,), each in [0, 1).
    """

    alike: NDArray[np.float32]
    share: NDArray[np.float32]


class WorkIndex:
    """The texts and deeds of tasks numbered 0, 1, 2, ..., and what was learned from them."""

    def __init__(self) -> None:
        self._hash: array[int] = array("Q")
        self._weight: array[float] = array("f")
        self._words: list[bytes] = []
        self._handled: list[bytes] = []
        self._columns: list[bytes] = []
        self._word: dict[str, int] = {"*": 0}
        self._column: dict[tuple[str, int], int] = {}
        self._learned: Learned | None = None
        self._learned_from = 0

    def __len__(self) -> int:
        return len(self._words)

    def put(self, row: int, id: str, words: Sequence[str], deeds: Deeds, outcome: Outcome, trust: float) -> None:
        """Take in the next task, or another version of one.

        Args:
            row: Its number.
            id: Its id.
            words: The words of its text, in order.
            deeds: What was done in it.
            outcome: What came of it.
            trust: How far to trust it; nothing is learned from a task with none.
        """
        new = (
            WEIGHTS[outcome] if trust > 0 and (deeds.done or deeds.said) else 0.0,
            _packed(self._word.setdefault(word, len(self._word)) for word in words[:MOST_WORDS]),
            _packed(self._word.setdefault(word, len(self._word)) for word in deeds.handled),
            _packed(sorted(self._column.setdefault(key, len(self._column)) for key in _keys(deeds))),
        )
        if row == len(self._words):
            self._hash.append(zlib.crc32(id.encode("utf-8", "surrogatepass")))
            self._weight.append(0.0)
            for column in (self._words, self._handled, self._columns):
                column.append(b"")
        elif row < self._learned_from and new != (
            self._weight[row], self._words[row], self._handled[row], self._columns[row]
        ):  # fmt: skip
            self._learned_from = 0
        self._weight[row], self._words[row], self._handled[row], self._columns[row] = new

    def compare(self, words: Sequence[str]) -> Compared:
        """Compare what a text will take with what each task took.

        Args:
            words: The words of the text, in order.
        """
        if not words:
            return Compared(np.zeros(len(self), dtype=np.float32), np.zeros(len(self), dtype=np.float32))
        size = _SIZES[bisect_right(_SIZES, len(self)) - 1]
        if size != self._learned_from:
            self._learned = self._learn(size)
            self._learned_from = size
        alike, share = (np.zeros(len(self), dtype=np.float32) for _ in range(2))
        if self._learned is not None:
            known = [self._word.get(word, -1) for word in words[:MOST_WORDS]]
            alike[:size] = self._learned.compare(np.array(known, dtype=np.int64))
            share[:size] = self._learned.share
        return Compared(alike, share)

    def _learn(self, size: int) -> Learned | None:
        weight = np.array(self._weight[:size], dtype=np.float64)
        proven = np.flatnonzero(weight > 0)
        if len(proven) > SAMPLE:
            drawn = np.lexsort((proven, np.array(self._hash[:size], dtype=np.uint64)[proven]))[:SAMPLE]
            proven = np.sort(proven[drawn])
        # The names of the columns decide between equals, so that the order of writing does not.
        names = sorted(self._column)
        order = np.empty(len(names), dtype=np.int64)
        order[[self._column[name] for name in names]] = np.arange(len(names))
        texts = Texts(self._words[:size], self._handled[:size], self._columns[:size], weight, len(self._word), order)
        return learn(texts, proven)


def _sizes() -> list[int]:
    found = list(range(17))
    while found[-1] < 2**31:
        found.append(found[-1] + found[-1] // 8)
    return found


_SIZES = _sizes()


def _keys(deeds: Deeds) -> list[tuple[str, int]]:
    counted = [(kind, level) for kind, count in deeds.done.items() for level in LEVELS if count >= level]
    return counted + [(term, 0) for term in deeds.said]


def _packed(ids: Iterable[int]) -> bytes:
    return array("I", ids).tobytes()
