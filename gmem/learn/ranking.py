"""Ranking by a weighted sum of clues, and fitting the weights: numpy only, no randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit", "shares"]

FloatArray = NDArray[np.float64]
ROUNDS = 25


def shares(rows: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> list[float]:
    """Give each candidate's share of the blame: softmax of its weighted sum; the shares sum to 1."""
    if not rows:
        return []
    scores = np.array([sum(weights.get(k, 0.0) * v for k, v in row.items()) for row in rows])
    grown = np.exp(scores - scores.max())
    return [float(x) for x in grown / grown.sum()]


def fit(
    runs: Sequence[tuple[Sequence[Mapping[str, float]], Sequence[float]]],
    names: Sequence[str],
    prior: Mapping[str, float],
    strength: float,
) -> dict[str, float]:
    """Fit weights to judged runs by listwise softmax, drawn towards prior weights.

    Args:
        runs: For each run, the clues of each candidate, and how much of the blame it should have.
        names: The clues to weigh.
        prior: Weights to be drawn to; 0 where there is none.
        strength: How strongly, in judged runs per standard deviation.

    Returns:
        The weight of each clue; one that shows no difference keeps its prior.
    """
    start = {name: prior.get(name, 0.0) for name in names}
    kept = [(rows, blame) for rows, blame in runs if rows and sum(blame) > 0]
    if not kept:
        return start
    x = np.array([[row.get(name, 0.0) for name in names] for rows, _ in kept for row in rows])
    spread = x.std(0)
    spread[spread < 1e-9] = 1.0
    x = x / spread
    y = np.array([v for _, blame in kept for v in blame])
    sizes = [len(rows) for rows, _ in kept]
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    run = np.repeat(np.arange(len(kept)), sizes)
    mass = np.add.reduceat(y, first)
    centre: FloatArray = np.array([start[name] for name in names]) * spread
    w = centre.copy()
    for _ in range(ROUNDS):
        scores = x @ w
        grown = np.exp(scores - np.maximum.reduceat(scores, first)[run])
        p = grown / np.add.reduceat(grown, first)[run]
        expected = p * mass[run]
        mean = np.add.reduceat(x * p[:, None], first, axis=0)
        slope = x.T @ (expected - y) + strength * (w - centre)
        bend = x.T @ (x * expected[:, None]) - mean.T @ (mean * mass[:, None]) + strength * np.eye(len(names))
        step = np.linalg.solve(bend, slope)
        w = w - step
        if float(np.abs(step).max()) < 1e-7:
            break
    return {name: float(value) for name, value in zip(names, w / spread, strict=True)}
