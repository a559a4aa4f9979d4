"""Unit vectors in one growing matrix, searched exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["VectorIndex"]


class VectorIndex:
    """Rows 0, 1, 2, ... of one float32 matrix; a row of zeros stands for "no vector"."""

    def __init__(self) -> None:
        self._matrix = np.zeros((0, 0), dtype=np.float32)
        self._n = 0
        self.filled = 0
        """How many rows have a vector."""

    def __len__(self) -> int:
        return self._n

    def add(self, vector: NDArray[np.float32] | None) -> None:
        """Add the next row."""
        self._n += 1
        if vector is not None:
            self.set(self._n - 1, vector)

    def set(self, row: int, vector: NDArray[np.float32]) -> None:
        """Give a row its vector."""
        capacity, dimension = self._matrix.shape
        if row >= capacity or dimension == 0:
            grown = np.zeros((max(self._n, 2 * capacity, 64), len(vector)), dtype=np.float32)
            if dimension:
                grown[:capacity] = self._matrix
            self._matrix = grown
        if not self._matrix[row].any():
            self.filled += 1
        self._matrix[row] = vector

    def get(self, row: int) -> NDArray[np.float32] | None:
        """Give a row's vector, if it has one."""
        if row >= len(self._matrix) or not self._matrix[row].any():
            return None
        vector: NDArray[np.float32] = self._matrix[row].copy()
        return vector

    def scores(self, vector: NDArray[np.float32], among: NDArray[np.uint32] | None = None) -> NDArray[np.float32]:
        """Give the cosine of every row, or of some, ascending, with a unit vector: float32 array (n,)."""
        if among is not None:
            few = np.zeros(len(among), dtype=np.float32)
            there = among < len(self._matrix)
            few[there] = np.matmul(self._matrix[among[there], None, :], vector)[:, 0]
            return np.clip(few, -1.0, 1.0, out=few)
        result = np.zeros(self._n, dtype=np.float32)
        rows = min(self._n, len(self._matrix))
        if rows:
            # One dot product a row, not one product of them all: BLAS would spread that over threads, which
            # on busy cores wait for each other a hundred times as long, and whose number changes the sums.
            np.matmul(self._matrix[:rows, None, :], vector, out=result[:rows, None])
            np.clip(result, -1.0, 1.0, out=result)  # rounding may carry it a hair too far
        return result
