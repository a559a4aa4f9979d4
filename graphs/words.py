"""BM25 over a growing collection of short texts, held as numpy-readable posting lists."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Container, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.postings import Listed, together

__all__ = ["Rows", "WordIndex", "few"]

Rows = NDArray[np.uint32]
Value = TypeVar("Value", np.uint16, np.float32)

K1 = 1.2
B = 0.75
FLOOR = 0.2
"""What a word is worth that every text has, where one that no text has is worth 1 more.

Function words tell what is to be done ("put ... in", "find two ..."), and in a memory of ten tasks of
one kind every word that matters is in all of them: with a plain idf they would count for nothing.
"""


class WordIndex:
    """Posting lists of the words of texts numbered 0, 1, 2, ...

    A score is divided by the score that the query would give itself, so it says how much of the
    query's information a text has: 1 for the same words, 0 for none, comparable across queries.
    Source of the formula: Robertson and Zaragoza (2009), with an idf that cannot get negative, scaled
    to [0, 1] and raised by a floor.
    """

    def __init__(self) -> None:
        self._rows: dict[str, array[int]] = {}
        self._counts: dict[str, array[int]] = {}
        self._lengths: array[int] = array("I")
        self._total = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, terms: Mapping[str, int]) -> None:
        """Add the next text, as the counts of its words."""
        self._lengths.append(0)
        self._fill(len(self._lengths) - 1, terms)

    def replace(self, row: int, terms: Mapping[str, int]) -> None:
        """Put another text in the place of one; slow, for it looks through all words."""
        for term, rows in list(self._rows.items()):
            at = bisect_left(rows, row)
            if at < len(rows) and rows[at] == row:
                del rows[at], self._counts[term][at]
                if not rows:
                    del self._rows[term], self._counts[term]
        self._total -= self._lengths[row]
        self._fill(row, terms)

    def _fill(self, row: int, terms: Mapping[str, int]) -> None:
        for term, count in terms.items():
            rows = self._rows.get(term)
            if rows is None:
                rows = self._rows[term] = array("I")
                self._counts[term] = array("H")
            count = min(count, 65_535)
            if not rows or rows[-1] < row:
                rows.append(row)
                self._counts[term].append(count)
            else:
                at = bisect_left(rows, row)
                rows.insert(at, row)
                self._counts[term].insert(at, count)
        self._lengths[row] = sum(terms.values())
        self._total += self._lengths[row]

    def scores(self, terms: Mapping[str, int]) -> NDArray[np.float32]:
        """Score every text against a query.

        Args:
            terms: How often each word occurs in the query.

        Returns:
            float32 array (n,), each in [0, 1], in the order in which the texts were added.
        """
        return self.both_scores(terms, frozenset())[0]

    def both_scores(
        self, terms: Mapping[str, int], telling: Container[str], among: Rows | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Score every text against a query, and against some of its words alone.

        Args:
            terms: How often each word occurs in the query.
            telling: Those words.
            among: Numbers of the texts to score, ascending; None for all.

        Returns:
            Two float32 arrays (n,), each in [0, 1], in the order in which the texts were added, or as many as there are
            numbers; and how much of the
            query's information is in words that some text has, in [0, 1].
        """
        n = len(self._lengths)
        lengths = np.array(self._lengths, dtype=np.float32)
        if among is not None:
            lengths = lengths[among]
        result = np.zeros(len(lengths), dtype=np.float32)
        if not n or not terms:
            return result, result.copy(), 0.0
        mean = self._total / n or 1.0
        norm = K1 * (1 - B + B * lengths / mean)
        own_norm = K1 * (1 - B + B * sum(terms.values()) / mean)
        own = unheard = 0.0
        parts = []
        for part in ([t for t in terms if t in telling], [t for t in terms if t not in telling]):
            lists: list[Listed] = []
            for term in sorted(part):  # one order of summing, so that equal content gives equal floats
                rows = self._rows.get(term)
                df = len(rows) if rows is not None else 0
                weight = _idf(n, df) * terms[term]  # a word asked for twice counts twice
                most = weight * terms[term] * (K1 + 1) / (terms[term] + own_norm)
                own += most
                if rows is None:
                    unheard += most
                    continue
                at, had = np.frombuffer(rows, dtype=np.uint32), np.frombuffer(self._counts[term], dtype=np.uint16)
                gain = np.float32(weight * (K1 + 1))
                if among is None:
                    lists.append((at, had, gain))
                else:
                    count = few(among, at, had).astype(np.float32)
                    result += gain * count / (count + norm)
            for at, often, worth in together(lists):
                count = often.astype(np.float32)
                np.add.at(result, at, worth * count / (count + norm[at]))
            parts.append(np.minimum(result / np.float32(own), np.float32(1)) if own > 0 else result.copy())
        return parts[1], parts[0], 1 - unheard / own


def few(among: Rows, rows: Rows, values: NDArray[Value]) -> NDArray[Value]:
    """Give the values of a few rows out of a posting list, both ascending; 0 for those that are not in it."""
    places = np.minimum(rows.searchsorted(among), len(rows) - 1)
    found: NDArray[Value] = values[places] * (rows[places] == among)
    return found


def _idf(n: int, df: int) -> float:
    return math.log1p((n - df + 0.5) / (df + 0.5)) / math.log1p((n + 0.5) / 0.5) + FLOOR
