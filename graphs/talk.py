"""Which tasks were talked about in a query's words: an index of the key terms of each run's talk."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.postings import Listed, together
from gmem.graphs.words import Rows, few

__all__ = ["TalkIndex"]


class TalkIndex:
    """Key terms of the talk of runs numbered 0, 1, 2, ..., found by cosine.

    A run's terms are weighed by how often they were said, a query's also by how few runs said them ("lnc.ltc"
    in the notation of Salton and Buckley, 1988), so that a run is weighed once, whatever comes after it.
    """

    def __init__(self) -> None:
        self._said: list[Mapping[str, int]] = []
        self._runs: dict[str, array[int]] = {}
        self._values: dict[str, array[float]] = {}

    def put(self, row: int, said: Mapping[str, int]) -> None:
        """Take in the terms of the next run, or other terms of one; the latter is slow."""
        if row == len(self._said):
            self._said.append(said)
            self._fill(row, said)
        elif self._said[row] != said:
            self._said[row] = said
            self._runs, self._values = {}, {}
            for number, terms in enumerate(self._said):
                self._fill(number, terms)

    def _fill(self, row: int, said: Mapping[str, int]) -> None:
        weights = {term: 1 + math.log(count) for term, count in said.items()}
        length = math.sqrt(sum(w * w for w in weights.values())) or 1.0
        for term, weight in weights.items():
            self._runs.setdefault(term, array("I")).append(row)
            self._values.setdefault(term, array("f")).append(weight / length)

    def scores(self, terms: Mapping[str, int], among: Rows | None = None) -> NDArray[np.float32]:
        """Compare what was said in each run with a query.

        Args:
            terms: How often each word occurs in the query.
            among: Numbers of the runs to compare, ascending; None for all.

        Returns:
            float32 array (n,), each in [0, 1], in the order in which the runs were added, or as many as there are
            numbers.
        """
        n = len(self._said)
        result = np.zeros(n if among is None else len(among), dtype=np.float32)
        if not self._runs:
            return result
        square = 0.0
        lists: list[Listed] = []
        for term in sorted(terms):  # one order of summing, so that equal content gives equal floats
            runs = self._runs.get(term)
            weight = (1 + math.log(terms[term])) * math.log((1 + n) / (1 + (len(runs) if runs is not None else 0)))
            square += weight * weight
            if runs is not None:
                values = np.frombuffer(self._values[term], dtype=np.float32)
                at = np.frombuffer(runs, dtype=np.uint32)
                if among is None:
                    lists.append((at, values, np.float32(weight)))
                else:
                    result += np.float32(weight) * few(among, at, values)
        for rows, shares, worth in together(lists):
            np.add.at(result, rows, worth * shares)
        if square > 0:
            np.clip(result / np.float32(math.sqrt(square)), 0.0, 1.0, out=result)
        return result
