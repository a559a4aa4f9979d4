"""Which words of a task decide what is done: a ridge regression in closed form, checked by leaving each text out.

Rows are texts, each with what was done in the runs of that text.  A column of what was done counts as much as
the words predict it (its R-squared over texts left out), so what is done in every run weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "fit", "inverted", "product", "unit"]

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
Number = TypeVar("Number", np.float32, np.float64)
BLOCK, DEPTH = 1 << 18, 64
"""Multiplications in a block, and how many of them make one number."""
PENALTY = 0.1
"""Of the regression, for rows of unit length and weight 1."""
MOST_COLUMNS = 128
"""Columns that are kept, those that words predict best."""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Fit:
    """A regression from m texts with v features to c columns of what was done.

    Attributes:
        columns: Which of the given columns are kept: int array (c,).
        mean: Their weighted mean, float32 (c,).
        scale: What a difference from the mean counts, float32 (c,): root of R-squared over standard deviation.
        dual: float32 (m, c): the scaled prediction for a text is its similarity to the m texts times this.
        left_out: float32 (m, c): the scaled prediction for each text by all others.
        strength: Usual length of such a prediction; a much shorter one says little.
    """

    columns: NDArray[np.intp]
    mean: Matrix
    scale: Matrix
    dual: Matrix
    left_out: Matrix
    strength: float


def fit(kernel: Floats, done: Floats, weight: Floats) -> Fit:
    """Fit the regression.

    Args:
        kernel: Similarity of the texts, float (m, m), 1 on the diagonal.
        done: What was done in the runs of each text, on average: float (m, k), each in [0, 1].
        weight: How much each text counts, float (m,), above 0.
    """
    share = weight / weight.sum()
    mean = share @ done
    spread = np.sqrt(np.maximum(share @ np.square(done - mean), 0.0))
    varied = np.flatnonzero(spread > LEAST_SPREAD)
    root = np.sqrt(weight)[:, None]
    target = root * ((done[:, varied] - mean[varied]) / spread[varied])
    gram = root * kernel * root.T
    inverse = inverted(gram + PENALTY * np.eye(len(gram)))
    hat = product(gram, inverse)
    own = np.minimum(np.diag(hat), 1.0 - 1e-6)[:, None]
    left_out = (product(hat, target) - own * target) / (1.0 - own)
    missed = np.square(target - left_out).sum(axis=0) / np.maximum(np.square(target).sum(axis=0), 1e-12)
    predicted = np.clip(1.0 - missed, 0.0, 1.0)
    # Rounded, so that the order in which floats were summed does not decide which column is in.
    best = np.lexsort((varied, -np.round(predicted, 6)))[:MOST_COLUMNS]
    best = np.sort(best[predicted[best] > 0])
    counts = np.sqrt(predicted[best])
    dual = root * product(inverse, target[:, best]) * counts
    guesses = left_out[:, best] / root * counts
    lengths = np.linalg.norm(guesses, axis=1)
    return Fit(
        columns=varied[best],
        mean=mean[varied[best]].astype(np.float32),
        scale=(counts / spread[varied[best]]).astype(np.float32),
        dual=dual.astype(np.float32),
        left_out=guesses.astype(np.float32),
        strength=float(np.median(lengths)) if len(lengths) else 0.0,
    )


def product(a: NDArray[Number], b: NDArray[Number]) -> NDArray[Number]:
    """Multiply two matrices in blocks that are too small for a library to spread them over threads.

    All that is multiplied here takes a thread some milliseconds; threads that wait for each other on a busy machine
    take a hundred times that.
    """
    result = np.zeros((a.shape[0], b.shape[1]), dtype=np.result_type(a, b))
    rows = max(2, BLOCK // (DEPTH * max(b.shape[1], 1)))
    for row in range(0, a.shape[0], rows):
        for at in range(0, a.shape[1], DEPTH):
            result[row : row + rows] += a[row : row + rows, at : at + DEPTH] @ b[at : at + DEPTH]
    return result


def inverted(a: Floats) -> Floats:
    """Invert a symmetric, positive definite matrix, by halves (Schur complements) and so in small blocks, too."""
    half = len(a) // 2
    if len(a) <= DEPTH:
        return np.asarray(np.linalg.inv(a), dtype=np.float64)
    first = inverted(a[:half, :half])
    across = product(first, a[:half, half:])
    last = inverted(a[half:, half:] - product(a[half:, :half], across))
    corner = product(across, last)
    return np.block([[first + product(corner, across.T), -corner], [-corner.T, last]])


def unit(rows: Matrix | Floats) -> Matrix:
    """Scale rows to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: Matrix = (rows / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)
    return result
