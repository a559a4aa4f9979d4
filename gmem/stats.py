"""The little statistics that evidence needs; pure functions, standard library only."""

from __future__ import annotations

import math
from functools import lru_cache

__all__ = ["difference", "fisher", "wilson"]

Z = 1.96
"""Two-sided 95 %."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Give the 95 % interval of a share of successes (Wilson score); (0, 1) for no trial.

    >>> [round(x, 2) for x in wilson(9, 10)]
    [0.6, 0.98]
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + Z * Z / (2 * n)
    spread = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def difference(a: int, n_a: int, b: int, n_b: int) -> tuple[float, float, float]:
    """Compare two shares of successes: their difference a/n_a - b/n_b and its 95 % interval.

    The interval is Newcombe's, which holds for few trials and for shares of 0 and 1.

    >>> [round(x, 2) for x in difference(9, 10, 2, 10)]
    [0.7, 0.27, 0.87]
    """
    if n_a == 0 or n_b == 0:
        return 0.0, -1.0, 1.0
    p, q = a / n_a, b / n_b
    (p_low, p_high), (q_low, q_high) = wilson(a, n_a), wilson(b, n_b)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return p - q, max(-1.0, low), min(1.0, high)


@lru_cache(maxsize=4096)  # most lessons that a run is held against have heard nothing new since the last one
def fisher(a: int, b: int, c: int, d: int) -> float:
    """Give the one-sided p-value of Fisher's exact test that a/(a+b) exceeds c/(c+d) by chance.

    >>> round(fisher(5, 0, 0, 3), 4)
    0.0179
    """
    row, other, column = a + b, c + d, a + c
    most = min(row, column)
    term = found = math.comb(row, a) * math.comb(other, column - a)  # tables with the same sums and this a
    for k in range(a, most):
        # The next binomials follow from these, exactly; once they shrink out of sight, so do all that follow.
        term = term * (row - k) * (column - k) // ((k + 1) * (other - column + k + 1))
        found += term
        if term.bit_length() + (most - k).bit_length() + 64 < found.bit_length():
            break
    return found / math.comb(row + other, column)
