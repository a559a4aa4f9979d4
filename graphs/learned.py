"""What a team's runs teach of work: which words of a task name mere things, and which decide what is done.

Two tasks are alike when the same has to be done, and the memory knows what was done.  Words that name what was
acted upon are put out of sight in the texts, as objects are in the deeds; a regression (`gmem.graphs.ridge`)
learns which of the other words decide what is done.  By leaving each text out it is checked whether all this
finds runs with the same deeds better than the words themselves do, and so how much it may count: nothing in a
memory that is too small or too mixed to tell.  The same is asked of the vectors, where there are some.

All here are pure functions of the runs in the order given; texts, not numbers, decide between equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gmem.graphs import ridge
from gmem.graphs.ridge import product, unit
from gmem.graphs.words import FLOOR, K1, B

__all__ = ["Column", "Learned", "Ran", "heard", "learn", "mixed"]

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
Column = tuple[str, int]
"""A kind of deed, and how often at least it was done; or a key term, and 0."""
LEAST_TEXTS = 6
"""Different texts below which nothing is learned."""
MOST_FEATURES = 1024
"""Words and pairs of words that are looked at, the most widespread first."""
MOST_COLUMNS = 256
"""Columns of what was done that are looked at, the most widespread first."""
THING = 0.5
"""A word names a thing if so large a share of the runs whose text has it acted upon it."""
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""How much the same work may count beside the words, for a text of known words."""
COSINE = 0.5
"""What the cosine counts beside the words in a memory where that finds the same work better."""
NEAREST = 3
SURE, NAMED = 0.1, 3
"""How sure a memory is of what it names as expected, at least, and how much it names."""
UNHEARD = 0.25
"""Known words that are no larger a share of a text tell nothing of its work: those are its "of" and "the"."""
ANY = "*"
"""Stands for any thing, in the texts as in the deeds."""


@dataclass(frozen=True)
class Ran:
    """One run to learn from.

    Attributes:
        words: Words of the task's text, in order.
        handled: Those that were acted upon.
        columns: What was done.
        weight: How far that tells what has to be done, in (0, 1].
    """

    words: tuple[str, ...]
    handled: frozenset[str]
    columns: tuple[Column, ...]
    weight: float


@dataclass(frozen=True)
class Learned:
    """What was learned, ready to be asked.

    Attributes:
        telling: Words that are known not to name things.
        features: Place of each word or pair of words by which texts are compared.
        idf: What each is worth, float (v,); the fewer texts have it, the more.
        unseen: What any other is worth.
        said: What each feature says of what is done, float32 (v, c).
        least: Length of a guess below which it says little.
        columns: Place of each column that words predict.
        mean: Mean of each, float32 (c,).
        scale: What a difference from the mean counts, float32 (c,).
        share: How much all this is to count beside the words, in (0, 1), for a text of known words.
        cosine: How much the cosine is to count beside the words, at least, in [0, 1].
    """

    telling: frozenset[str]
    features: Mapping[str, int]
    idf: Floats
    unseen: float
    said: Matrix
    least: float
    columns: Mapping[Column, int]
    mean: Matrix
    scale: Matrix
    share: float
    cosine: float = 0.0

    def guess(self, words: Sequence[str]) -> Matrix:
        """Guess what a text will take: float32 array (c,), of length 1, or less if the words say little."""
        at, value = _weighed(words, self.telling, self.features, self.idf, self.unseen)
        guess: Matrix = value.astype(np.float32) @ self.said[at] if len(at) else np.zeros(len(self.mean), np.float32)
        return guess / np.float32(max(float(np.linalg.norm(guess)), self.least))

    def expects(self, guess: Matrix) -> tuple[str, ...]:
        """Name the kinds of deed that a guess expects more than usual, most surely expected first."""
        sure = {name: round(float(guess[at]), 4) for name, at in self.columns.items() if name[1]}
        best = sorted((column for column in sure if sure[column] > SURE), key=lambda column: (-sure[column], column))
        return tuple(dict.fromkeys(kind for kind, _ in best))[:NAMED]

    def took(self, done: Matrix) -> Matrix:
        """Give what tasks took, ready to be compared with a guess.

        Args:
            done: 1 where a task has a column, else 0: float32 (n, c).

        Returns:
            float32 array (n, c) of unit rows.
        """
        return unit((done - self.mean) * self.scale)


def learn(runs: Sequence[Ran], cosine: Matrix | None = None) -> Learned | None:
    """Learn from runs what work a text takes.

    Args:
        runs: Those to learn from; none in which nothing was done.
        cosine: How alike the vectors of the texts are, float32 array (runs, runs); None if there are none.

    Returns:
        What was learned; None where there is too little, or nothing that finds more than the words do.
    """
    groups: dict[tuple[str, ...], list[Ran]] = {}
    for run in runs:
        groups.setdefault(run.words, []).append(run)
    if len(groups) < LEAST_TEXTS:
        return None
    texts = list(groups)
    weight = np.array([sum(run.weight for run in rows) for rows in groups.values()])
    telling = _telling(runs)
    names, done = _done(list(groups.values()))
    features, idf, unseen, worded = _features(texts, telling)
    kernel = product(worded, worded.T).astype(np.float64)
    np.fill_diagonal(kernel, 1.0)
    fit = ridge.fit(kernel, done, weight)
    if not len(fit.columns):
        return None
    actual = unit((done[:, fit.columns] - fit.mean) * fit.scale)
    proven = weight / [len(rows) for rows in groups.values()]
    by_words, by_telling, known = _by_words(texts, telling)
    found = mixed(np.clip(product(unit(fit.left_out), actual.T), 0, 1), by_telling, proven[None, :])
    truth, sure = _alike(_beyond(texts, names, done)), heard(known)
    share = _share(by_words, by_words + sure * (found - by_words), truth, weight)
    if not share:
        return None
    finds = 0.0
    if cosine is not None:
        places = {run.words: at for at, run in reversed(list(enumerate(runs)))}
        first = [places[words] for words in texts]
        both = by_words + COSINE * (np.clip(cosine[np.ix_(first, first)], 0, 1) - by_words)
        without, helped = (_found(now + share * sure * (found - now), truth) for now in (by_words, both))
        finds = COSINE if _surely(helped - without, weight / weight.sum()) else 0.0
    return Learned(
        telling, features, idf, unseen, product(worded.T, fit.dual), max(fit.strength / 2, 1e-9),
        {names[at]: place for place, at in enumerate(fit.columns.tolist())}, fit.mean, fit.scale, share, finds,
    )  # fmt: skip


def heard(known: Matrix | Floats) -> Floats:
    """Say how far what was learned is to be trusted for a text: all the way from half of it being known on, or none.

    Args:
        known: How much of its information is in words that the memory has met, each in [0, 1].

    Returns:
        The same where that is at least twice `UNHEARD`, 0 below `UNHEARD`, and what lies between them between.
    """
    result: Floats = known * np.clip(known / UNHEARD - 1, 0, 1)
    return result


def mixed(done: Matrix, telling: Matrix, proven: Matrix | Floats) -> Matrix:
    """Say how alike the work is: by what was done as far as that is proven, and by the words that are not things.

    Args:
        done: How like what was done is to what the words ask for, in [0, 1].
        telling: How like the words are, things out of sight, in [0, 1].
        proven: How far what was done tells what has to be done, in [0, 1].
    """
    result: Matrix = done - telling
    result *= np.asarray(proven, dtype=np.float32) / 2
    result += telling
    return result


def _telling(runs: Sequence[Ran]) -> frozenset[str]:
    """Give the words that do not name things: those that are mostly not acted upon where they are asked for."""
    asked: Counter[str] = Counter()
    acted: Counter[str] = Counter()
    for run in runs:
        for word in set(run.words):
            asked[word] += run.weight  # type: ignore[assignment]
            if word in run.handled:
                acted[word] += run.weight  # type: ignore[assignment]
    return frozenset(word for word, times in asked.items() if acted[word] < THING * times)


def _done(groups: Sequence[Sequence[Ran]]) -> tuple[list[Column], Floats]:
    """Give what was done for each text, as the share of its runs that did each thing.

    Returns:
        The columns that are looked at, and float (texts, columns).
    """
    spread = Counter(column for rows in groups for run in rows for column in run.columns)
    names = sorted(sorted(c for c in spread if spread[c] > 1), key=lambda c: -spread[c])[:MOST_COLUMNS]
    place = {name: at for at, name in enumerate(names)}
    done = np.zeros((len(groups), len(names)))
    for at, rows in enumerate(groups):
        whole = sum(run.weight for run in rows)
        for run in rows:
            done[at, [place[c] for c in run.columns if c in place]] += run.weight / whole
    return names, done


def _beyond(texts: Sequence[Sequence[str]], names: Sequence[Column], done: Floats) -> Floats:
    """Leave out the key terms that are words of the text itself: that those are said again proves nothing."""
    place = {name: at for at, name in enumerate(names)}
    result = done.copy()
    for row, words in enumerate(texts):
        result[row, [place[word, 0] for word in words if (word, 0) in place]] = 0
    return result


def _alike(done: Floats) -> Matrix:
    """Say how alike the deeds for texts were, the rarer a deed the more it counts: float32 (m, m)."""
    rare = unit((done * np.log(1 / np.clip(done.mean(axis=0), 1e-9, 1))).astype(np.float32))
    return product(rare, rare.T)


def _share(words: Matrix, work: Matrix, truth: Matrix, weight: Floats) -> float:
    """Choose how much the same work is to count, by what leaving each text out finds.

    For each text the nearest others are looked up, by words and by work in every mixture, and judged by how
    alike the deeds were.  Of the mixtures that are better than words alone by more than one standard error, and
    not worse than the best by more than one, the one with least work is taken: words need not prove themselves.

    Args:
        words: Similarity of the texts by words, (m, m).
        work: The same by work, each row worked out without its own text.
        truth: The same by what was done.
        weight: How much each text counts, (m,).
    """
    by = weight / weight.sum()
    found = []
    for share in SHARES:
        found.append(_found((1 - share) * words + share * work, truth))
    best = found[int(np.argmax(np.round(np.array(found) @ by, 6)))]
    for share, got in zip(SHARES, found, strict=True):
        if share and _surely(got - found[0], by) and not _surely(best - got, by):
            return share
    return 0.0


def _found(alike: Matrix | Floats, truth: Matrix) -> Matrix:
    """Say how alike the deeds of each text's nearest others were: float32 (m,)."""
    others = np.round(np.asarray(alike, dtype=np.float64), 5)
    np.fill_diagonal(others, -1)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, : min(NEAREST, len(truth) - 1)]
    result: Matrix = truth[np.arange(len(truth))[:, None], nearest].mean(axis=1)
    return result


def _surely(gains: Floats | Matrix, by: Floats) -> bool:
    """Say whether a mean of gains, weighed by `by`, is above zero by more than one standard error."""
    mean = float(gains @ by)
    return mean > float(np.sqrt(np.square(by * (gains - mean)).sum())) + 1e-6


# --- words and pairs of words -----------------------------------------------------------------


def _grams(words: Sequence[str], telling: frozenset[str]) -> Counter[str]:
    seen = [word if word in telling else ANY for word in words]
    return Counter(seen + [f"{a} {b}" for a, b in pairwise(seen)])


def _features(texts: Sequence[Sequence[str]], telling: frozenset[str]) -> tuple[dict[str, int], Floats, float, Matrix]:
    """Choose the features, those that several texts have, and give their idf, that of all others, and the texts."""
    spread = Counter(gram for words in texts for gram in _grams(words, telling))
    kept = sorted(sorted(g for g in spread if spread[g] > 1), key=lambda g: -spread[g])[:MOST_FEATURES]
    features = {gram: at for at, gram in enumerate(kept)}
    idf = np.log((1 + len(texts)) / (1 + np.array([spread[gram] for gram in kept], dtype=np.float64)))
    unseen = float(np.log((1 + len(texts)) / 2))
    result = np.zeros((len(texts), len(kept)), dtype=np.float32)
    for row, words in enumerate(texts):
        at, value = _weighed(words, telling, features, idf, unseen)
        result[row, at] = value
    return features, idf, unseen, result


def _weighed(
    words: Sequence[str], telling: frozenset[str], features: Mapping[str, int], idf: Floats, unseen: float
) -> tuple[NDArray[np.intp], Floats]:
    """Give the features of a text and their values; the values of all that it has are of length 1.

    What it has beside the known features makes these shorter: a text of unknown words is like none.
    """
    grams = _grams(words, telling)
    at = np.array([features.get(gram, -1) for gram in grams], dtype=np.intp)
    times = 1 + np.log(np.fromiter(grams.values(), dtype=np.float64, count=len(grams)))
    known = at >= 0
    value = times * np.where(known, idf[at] if len(idf) else 0.0, unseen)
    value /= max(float(np.sqrt(np.square(value).sum())), 1e-12)
    return at[known], value[known]


def _by_words(texts: Sequence[Sequence[str]], telling: frozenset[str]) -> tuple[Matrix, Matrix, Matrix]:
    """Compare texts by BM25 as `gmem.graphs.words` does, by all words and by those that are not things.

    Returns:
        Two float32 arrays (asking, asked); and how much of each text's information is in words that others have,
        float32 (asking, 1).
    """
    spread = Counter(word for words in texts for word in set(words))
    place = {word: at for at, word in enumerate(sorted(spread))}
    count = np.zeros((len(texts), len(place)), dtype=np.float32)
    for row, words in enumerate(texts):
        for word, times in Counter(words).items():
            count[row, place[word]] = times
    n, lengths = len(texts), count.sum(axis=1)
    df = np.array([spread[word] for word in place], dtype=np.float64)
    idf, without = _idf(n, df), _idf(n, df - 1)
    norm = (K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1e-9))).astype(np.float32)
    asked = count * idf
    had = count * np.float32(K1 + 1) / (count + norm[:, None])
    tells = np.array([word in telling for word in place])
    found = []
    for columns in (np.ones_like(tells), tells):
        own = (asked[:, columns] * had[:, columns]).sum(axis=1, keepdims=True)
        shared = columns & (df > 1)  # others add to the comparison of a text with itself alone
        scores = product(asked[:, shared], had[:, shared].T)
        found.append(np.minimum(scores / np.maximum(own, 1e-9), 1))
    whole = (count * without).sum(axis=1, keepdims=True)
    known = (count * without * (df > 1)).sum(axis=1, keepdims=True) / np.maximum(whole, 1e-9)
    return found[0], found[1], known.astype(np.float32)


def _idf(n: int, df: Floats) -> Matrix:
    rare = np.log1p((n - df + 0.5) / (df + 0.5)) / np.log1p((n + 0.5) / 0.5)
    result: Matrix = (rare + FLOOR).astype(np.float32)
    return result
