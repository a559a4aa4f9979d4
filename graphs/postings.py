"""Posting lists of several words, put together: numpy takes longer to be called than to add up a short list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Listed", "together"]

Listed = tuple[NDArray[np.uint32], NDArray[Any], np.float32]
"""Rows that a word occurs in, a figure for each, and the weight of the word."""
MOST = 16_384
"""Entries from which a part is full; longer ones would not stay in the caches of a processor."""


def together(lists: Iterable[Listed]) -> Iterator[tuple[NDArray[np.uint32], NDArray[Any], NDArray[np.float32]]]:
    """Put lists together, in order, into parts of some thousand entries.

    Args:
        lists: The list of each word.

    Yields:
        Rows (k,), which may come more than once; their figures (k,); and the weight of each entry's word, float32
        array (k,).
    """
    part: list[Listed] = []
    size = 0
    for found in lists:
        part.append(found)
        size += len(found[0])
        if size >= MOST:
            yield _joined(part)
            part, size = [], 0
    if part:
        yield _joined(part)


def _joined(part: list[Listed]) -> tuple[NDArray[np.uint32], NDArray[Any], NDArray[np.float32]]:
    rows, figures, weights = zip(*part, strict=True)
    if len(part) == 1:
        return rows[0], figures[0], np.broadcast_to(weights[0], len(rows[0]))
    sizes = [len(each) for each in rows]
    return np.concatenate(rows), np.concatenate(figures), np.repeat(np.array(weights, dtype=np.float32), sizes)
