"""Plain BM25 (Okapi) over a handful of texts: what a memory's search is to be measured against."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["BM25"]

K1, B = 1.5, 0.75
_WORD = re.compile(r"[a-z0-9]+")


class BM25:
    """Texts that can be ranked by a query.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(_WORD.findall(text.lower())) for text in texts]
        self._lengths = [counts.total() for counts in self._counts]
        spread = Counter(word for counts in self._counts for word in counts)
        n = len(self._counts)
        self._weight = {word: math.log(1 + (n - df + 0.5) / (df + 0.5)) for word, df in spread.items()}

    def scores(self, query: str) -> list[float]:
        """Give the score of each text.

        >>> [round(s, 2) for s in BM25(["boil water", "boil the gold"]).scores("gold and water")]
        [0.76, 0.64]
        """
        words = [word for word in _WORD.findall(query.lower()) if word in self._weight]
        mean = sum(self._lengths) / max(1, len(self._lengths))
        out = []
        for counts, length in zip(self._counts, self._lengths, strict=True):
            norm = K1 * (1 - B + B * length / mean)
            out.append(sum(self._weight[w] * counts[w] * (K1 + 1) / (counts[w] + norm) for w in words))
        return out

    def best(self, query: str) -> int:
        """Give the place of the best text, the first of equally good ones."""
        scores = self.scores(query)
        return max(range(len(scores)), key=scores.__getitem__)
