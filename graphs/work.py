"""Which tasks need the same work: what a memory knows of it, and when it learns it anew.

What is learned (`gmem.graphs.learned`) depends on nothing but the set of the stored tasks: on the few hundred of
them whose ids hash lowest, an even draw that does not change with the order of writing.  A new task is in it the
more rarely, the more tasks there are, so learning anew costs each task less as the memory grows.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.learned import Column, Learned, Ran, learn
from gmem.graphs.ridge import product
from gmem.graphs.vectors import VectorIndex
from gmem.model import Deeds, Outcome

__all__ = ["MOST_WORDS", "Asked", "WorkIndex", "columns"]

Name = TypeVar("Name", bound=Hashable)

SAMPLE = 192
"""Tasks that are learned from, at most."""
MOST_WORDS = 64
"""Words of a task's text that are looked at."""
LEVELS = (1, 2, 3)
"""A deed counts as done at least so many times: two things were taken where one was."""
WEIGHTS: dict[Outcome, float] = {"resolved": 1.0, "unknown": 0.5, "failed": 0.1}
"""How far what was done in a run tells what has to be done, by its outcome."""


@dataclass(frozen=True)
class Asked:
    """What a comparison by work gives.

    Attributes:
        done: How like what was done in each task is to what the query asks for, float32 array (n,), in [0, 1].
        proven: How far that tells what has to be done in it, float32 array (n,), in [0, 1].
        telling: The words of the query that do not name things.
        expected: What is expected to be done, most surely expected first.
        share: How much the same work is to count beside the words, in (0, 1), for a query of known words.
        cosine: How much the cosine is to count beside the words, at least, in [0, 1].
    """

    done: NDArray[np.float32]
    proven: NDArray[np.float32]
    telling: frozenset[str]
    expected: tuple[str, ...]
    share: float
    cosine: float


class _Numbers(Generic[Name]):
    """Numbers for things that come often, so that rows of them are small."""

    def __init__(self) -> None:
        self._number: dict[Name, int] = {}
        self._names: list[Name] = []

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: Name) -> int:
        return self._number[name]

    def pack(self, names: Iterable[Name]) -> bytes:
        found = array("I")
        for name in names:
            number = self._number.setdefault(name, len(self._names))
            if number == len(self._names):
                self._names.append(name)
            found.append(number)
        return found.tobytes()

    def unpack(self, packed: bytes) -> list[Name]:
        return [self._names[number] for number in memoryview(packed).cast("I")]


class WorkIndex:
    """The texts and deeds of tasks numbered 0, 1, 2, ..., and what was learned from them."""

    def __init__(self, vectors: VectorIndex | None = None) -> None:
        self._vectors = vectors
        self._hash: array[int] = array("Q")
        self._weight: array[float] = array("d")
        self._words: list[bytes] = []
        self._handled: list[bytes] = []
        self._columns: list[bytes] = []
        self._word = _Numbers[str]()
        self._column = _Numbers[Column]()
        self._learned: Learned | None = None
        self._took = np.zeros((0, 0), dtype=np.float32)
        self._filled = 0
        self._bound = 2**64
        self._stale = False

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
            self._word.pack(words[:MOST_WORDS]),
            self._word.pack(deeds.handled),
            self._column.pack(columns(deeds)),
        )
        if row == len(self._words):
            name = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            self._hash.append(int.from_bytes(name, "big"))
            self._weight.append(0.0)
            for column in (self._words, self._handled, self._columns):
                column.append(b"")
        elif new == (self._weight[row], self._words[row], self._handled[row], self._columns[row]):
            return
        else:
            self._filled = min(self._filled, row)
        drawn = self._hash[row] <= self._bound
        self._stale |= drawn and (new[0] > 0 or self._weight[row] > 0)
        self._weight[row], self._words[row], self._handled[row], self._columns[row] = new

    def embedded(self, row: int) -> None:
        """Take note that a task has got a vector."""
        self._stale |= self._hash[row] <= self._bound and self._weight[row] > 0

    def wording(self, row: int) -> list[str]:
        """Give the words of a task's text, in order, `MOST_WORDS` at most."""
        return self._word.unpack(self._words[row])

    def done(self, row: int) -> NDArray[np.uint32]:
        """Give numbers of what was done in a task, each once; the same number for the same deed."""
        return np.frombuffer(self._columns[row], dtype=np.uint32)

    def ask(self, words: Sequence[str], among: NDArray[np.uint32] | None = None) -> Asked | None:
        """Compare what a text will take with what each task took.

        Args:
            words: The words of the text, in order; without any nothing is learned, either.
            among: Numbers of the tasks to compare, ascending; None for all.

        Returns:
            The comparison; None if the memory has nothing to tell.
        """
        if not words:
            return None
        if self._stale:
            self._learn()
        if self._learned is None:
            return None
        self._fill(self._learned)
        guess = self._learned.guess(words[:MOST_WORDS])
        # Not `@`, which a library may spread over threads, so that the sum depends on the machine.
        took = self._took[: len(self)] if among is None else self._took[among]
        done = np.einsum("ij,j->i", took, guess)
        weight = np.array(self._weight, dtype=np.float32)
        return Asked(
            np.clip(done, 0, 1, out=done),
            weight if among is None else weight[among],
            self._learned.telling.intersection(words),
            self._learned.expects(guess),
            self._learned.share,
            self._learned.cosine,
        )

    def _learn(self) -> None:
        weight, hashes = np.array(self._weight), np.array(self._hash, dtype=np.uint64)
        rows = np.flatnonzero(weight > 0)
        rows = rows[np.argsort(hashes[rows], kind="stable")][:SAMPLE]
        self._bound = int(hashes[rows[-1]]) if len(rows) == SAMPLE else 2**64
        runs = [
            Ran(
                tuple(self._word.unpack(self._words[row])), frozenset(self._word.unpack(self._handled[row])),
                tuple(self._column.unpack(self._columns[row])), float(weight[row]),
            )
            for row in rows.tolist()
        ]  # fmt: skip
        vectors = [None if self._vectors is None else self._vectors.get(row) for row in rows.tolist()]
        there = [vector for vector in vectors if vector is not None]
        # Where some have none yet, vectors cannot be told to find more: it would depend on who has.
        known = np.stack(there) if there and len(there) == len(vectors) else None
        self._learned = learn(runs, None if known is None else product(known, known.T))
        self._filled, self._stale = 0, False

    def _fill(self, learned: Learned) -> None:
        """Bring the matrix of what tasks took up to date."""
        count, width = len(self), len(learned.columns)
        if self._took.shape[0] < count or self._took.shape[1] != width:
            bigger = np.zeros((count + count // 8 + 16, width), dtype=np.float32)
            if self._took.shape[1] == width:
                bigger[: self._filled] = self._took[: self._filled]
            self._took = bigger
        if self._filled == count:
            return
        place = np.full(len(self._column), -1, dtype=np.intp)
        for column, at in learned.columns.items():
            place[self._column[column]] = at
        packed = self._columns[self._filled :]
        columns = place[np.frombuffer(b"".join(packed), dtype=np.uint32)]
        of = np.repeat(np.arange(len(packed)), np.fromiter(map(len, packed), dtype=np.intp, count=len(packed)) // 4)
        done = np.zeros((len(packed), width), dtype=np.float32)
        done[of[columns >= 0], columns[columns >= 0]] = 1
        self._took[self._filled : count] = learned.took(done)
        self._filled = count


def columns(deeds: Deeds) -> list[Column]:
    """Say what was done, how often at least, and what was said, sorted."""
    counted = [(kind, level) for kind, count in deeds.done.items() for level in LEVELS if count >= level]
    return sorted(counted + [(term, 0) for term in deeds.said])
