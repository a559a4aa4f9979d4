"""Comparing runs within questions: hard questions fail whatever is done, and must not speak against it.

A table (a, b, c, d) counts, for one question, the resolved runs that showed a pattern (a) and that did not
(b), and the failed ones (c, d).  Sources: Mantel and Haenszel 1959 for the common odds ratio; Robins, Breslow
and Greenland 1986 for its interval; the test is exact, given how many of each question's runs went well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "Table", "attainable", "compare", "excess", "screen"]

Table = tuple[int, int, int, int]
Z = 1.96


@dataclass(frozen=True, slots=True)
class Comparison:
    """What many tables say together.

    Attributes:
        odds: Common odds ratio: above 1 where the pattern goes with success; inf or nan where it has no bound.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: One-sided p-value that it goes with success: small if so, near 1 if it goes with failure.
        p_other: The same for the other side.
        tables: How many tables could say anything at all.
    """

    odds: float
    low: float
    high: float
    p: float
    p_other: float
    tables: int

    @property
    def two_sided(self) -> float:
        """Twice the smaller p-value, at most 1."""
        return min(1.0, 2 * min(self.p, self.p_other))


def compare(tables: Iterable[Table]) -> Comparison:
    """Compare within each table, and put the answers together.

    >>> found = compare([(5, 0, 0, 3), (4, 1, 1, 4)])
    >>> found.p < 0.01 < found.p_other, found.tables
    (True, 2)
    """
    told = [t for t in tables if _tells(t)]
    if not told:
        return Comparison(1.0, 0.0, math.inf, 1.0, 1.0, 0)
    spread = np.ones(1)
    seen = least = 0
    for a, b, c, d in told:
        lowest, shares = _chances(a + b, c + d, a + c)
        spread = np.convolve(spread, shares)
        seen, least = seen + a, least + lowest
    at = seen - least
    total = float(spread.sum())
    p, other = float(spread[at:].sum()) / total, float(spread[: at + 1].sum()) / total
    return Comparison(*_odds(told), min(p, 1.0), min(other, 1.0), len(told))


def _tells(table: Table) -> bool:
    a, b, c, d = table
    return bool((a + b) and (c + d) and (a + c) and (b + d))


def _chances(row: int, other: int, column: int) -> tuple[int, NDArray[np.float64]]:
    """Give the least count that a table's sums allow, and how likely chance gives it and each one above."""
    low, high = max(0, column - other), min(row, column)
    logs = [_choose(row, k) + _choose(other, column - k) - _choose(row + other, column) for k in range(low, high + 1)]
    return low, np.exp(np.array(logs))


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _odds(tables: Sequence[Table]) -> tuple[float, float, float]:
    r = s = pr = ps = qs = 0.0
    for a, b, c, d in tables:
        n = a + b + c + d
        up, down, same, cross = a * d / n, b * c / n, (a + d) / n, (b + c) / n
        r, s = r + up, s + down
        pr, qs, ps = pr + same * up, qs + cross * down, ps + same * down + cross * up
    if not (r and s):
        return (math.inf, 0.0, math.inf) if r else (0.0, 0.0, math.inf) if s else (math.nan, 0.0, math.inf)
    width = Z * math.sqrt(pr / (2 * r * r) + ps / (2 * r * s) + qs / (2 * s * s))
    odds = r / s
    return odds, odds * math.exp(-width), odds * math.exp(width)


def excess(
    shown: NDArray[np.float32], judged: NDArray[np.float32], resolved: NDArray[np.bool_], strata: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say, for many patterns at once, how much more often resolved runs showed them than chance would have it.

    Args:
        shown: float32 array (n, m) of 0 and 1: whether run i showed pattern j; 0 where not judged.
        judged: float32 array (n, m) of 0 and 1: whether it had occasion to.
        resolved: bool array (n,).
        strata: int64 array (n,): number of each run's question, from 0.

    Returns:
        The excess and its variance under chance, float64 arrays (m,).
    """
    a, row, column, n = _sums(shown, judged, resolved, strata)
    safe = np.maximum(n, 1)
    expected = row * column / safe
    variance = row * (n - row) * column * (n - column) / (safe * safe * np.maximum(n - 1, 1))
    return (a - expected).sum(axis=0), variance.sum(axis=0)


def attainable(
    shown: NDArray[np.float32], judged: NDArray[np.float32], resolved: NDArray[np.bool_], strata: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the least two-sided p-value that each pattern could have, however the runs that showed it had ended.

    Arguments are those of `excess`; the result is a float64 array (m,).
    """
    _, row, column, n = (x.astype(np.int64) for x in _sums(shown, judged, resolved, strata))
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(n.max(initial=0)) + 2)))])

    def choose(of: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = logs[of] - logs[k] - logs[of - k]
        return found

    ends = []
    for a in (np.minimum(row, column), np.maximum(0, column - (n - row))):
        ends.append((choose(row, a) + choose(n - row, column - a) - choose(n, column)).sum(axis=0))
    least: NDArray[np.float64] = np.minimum(1.0, 2 * np.exp(np.minimum(*ends)))
    return least


def _sums(
    shown: NDArray[np.float32], judged: NDArray[np.float32], resolved: NDArray[np.bool_], strata: NDArray[np.int64]
) -> tuple[NDArray[np.float64], ...]:
    """Count by stratum and pattern: resolved and shown, resolved, shown, all; float64 arrays (s, m)."""
    order = np.argsort(strata, kind="stable")
    starts = np.flatnonzero(np.diff(strata[order], prepend=-1))
    good = resolved.astype(np.float32)[:, None]
    return tuple(
        np.add.reduceat(x[order], starts, axis=0).astype(np.float64)
        for x in (shown * good, judged * good, shown, judged)
    )


def screen(excess: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give roughly how likely chance gives so much, on either side: two-sided p-values, float64 array (m,)."""
    z = np.maximum(np.abs(excess) - 0.5, 0) / np.sqrt(np.maximum(variance, 1e-12))
    z = np.where(variance > 0, z, 0.0)
    return np.array([math.erfc(x / math.sqrt(2)) for x in z.tolist()])
