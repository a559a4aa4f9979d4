"""How far figures would move if other games had been drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["interval", "spell"]

DRAWS = 10_000


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Give the 95 % interval of a mean by drawing as many values again and again (percentile bootstrap).

    >>> interval([5, 5, 5])
    (5.0, 5.0)
    """
    found = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(found), (DRAWS, len(found)))
    low, high = np.percentile(found[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def spell(values: Sequence[float]) -> str | None:
    """Write a mean with its interval; None for no values.

    >>> spell([0, 100] * 50)
    '50 (40 to 60)'
    """
    if not values:
        return None
    low, high = interval(values)
    return f"{sum(values) / len(values):.0f} ({low:.0f} to {high:.0f})"
