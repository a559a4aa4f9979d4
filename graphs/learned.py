"""What a team's runs teach of work: which words of a task name mere things, and which decide what is done.

Two tasks are alike when the same has to be done, and the memory knows what was done.  Words that name what was
acted upon are put out of sight in the texts, as objects are in the deeds; a regression (`gmem.graphs.ridge`)
learns which of the other words decide what is done.  By leaving each text out it is checked whether all this
finds runs with the same deeds better than the words themselves do, and so how much it may count: nothing in a
memory that is too small or too mixed to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmem.graphs import ridge
from gmem.graphs.ridge import Fit, unit
from gmem.graphs.words import WordIndex

__all__ = ["Learned", "Texts", "learn"]

Ids = NDArray[np.int64]
Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
LEAST_TEXTS = 6
"""Different texts below which nothing is learned."""
MOST_FEATURES = 2048
"""Words and pairs of words that are looked at, the most widespread first."""
MOST_COLUMNS = 384
"""Columns of what was done that are looked at, the most widespread first."""
THING = 0.5
"""A word names a thing if so large a share of the runs whose text has it acted upon it."""
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""How much the same work may count beside the words."""
NEAREST = 3
JUDGED = 128
"""Texts on which the shares are compared."""
_STAR = 0
"""Number of the word that stands for any thing."""
_CHUNK = 32_768


@dataclass(frozen=True)
class Texts:
    """The tasks of a memory, n of them; words and columns of what was done are numbers, packed as uint32.

    Attributes:
        words: Words of each text, in order.
        handled: Words of each text that were acted upon.
        columns: What was done in each.
        weight: How far each tells what has to be done, float (n,), in [0, 1].
        vocabulary: How many words there are; the first stands for any thing.
        names: Place of each column in the order of the columns' names.
    """

    words: Sequence[bytes]
    handled: Sequence[bytes]
    columns: Sequence[bytes]
    weight: Floats
    vocabulary: int
    names: Ids


@dataclass(frozen=True)
class Features:
    """Words and pairs of neighbouring words by which texts are compared, things out of sight.

    Attributes:
        things: Whether each word names a thing, bool (words,); those beyond are unknown, and taken for things.
        codes: The features, ascending.
        idf: What each is worth, float (v,); the fewer texts have it, the more.
        unseen: What a feature is worth that no text had.
    """

    things: NDArray[np.bool_]
    codes: Ids
    idf: Floats
    unseen: float

    def of(self, words: Ids, text: Ids, count: int) -> tuple[Ids, Ids, Floats]:
        """Give the features of texts as (feature, text, value) by text; the values of each are of length 1.

        What the text has beside them makes them shorter: a text of unknown words is like none.

        Args:
            words: Words of all texts, in order; -1 for unknown ones.
            text: The text of each word, ascending.
            count: How many texts there are.
        """
        codes, text, times = _grams(words, text, self.things)
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        known = self.codes[at] == codes
        value = (1 + np.log(times)) * np.where(known, self.idf[at], self.unseen)
        length = np.sqrt(np.bincount(text, value**2, minlength=count))
        value /= np.maximum(length, 1e-12)[text]
        known &= value > 1e-3
        return at[known], text[known], value[known]


@dataclass(frozen=True)
class Learned:
    """What was learned from n tasks, ready to be asked.

    Attributes:
        features: By what texts are compared.
        said: What each feature says of what is done, float32 (v, c).
        least: Length of a guess below which it says little.
        rows: What each task took, float32 (n, c), unit length.
        starts: Where the texts of each feature begin in `text` and `value`, int (v + 1,).
        text: Tasks by feature.
        value: What the feature is worth in them, float32.
        share: How much all this is to count beside the words, in [0, 1).
    """

    features: Features
    said: Matrix
    least: float
    rows: Matrix
    starts: Ids
    text: NDArray[np.int32]
    value: Matrix
    share: float

    def compare(self, words: Ids) -> Matrix:
        """Say how like the work of each task is to what a text will take.

        It is the mean of two figures: how like what was done is to what the words say will be done, and how
        like the words are, things out of sight.

        Args:
            words: Its words, in order; -1 for unknown ones.

        Returns:
            float32 array (n,), each in [0, 1].
        """
        at, _, value = self.features.of(words, np.zeros(len(words), dtype=np.int64), 1)
        guess = value.astype(np.float32) @ self.said[at] if len(at) else np.zeros(self.said.shape[1], np.float32)
        guess /= max(float(np.linalg.norm(guess)), self.least)
        worded = np.zeros(len(self.rows), dtype=np.float32)
        for feature, weight in zip(at.tolist(), value.tolist(), strict=True):
            part = slice(self.starts[feature], self.starts[feature + 1])
            worded[self.text[part]] += np.float32(weight) * self.value[part]
        # One row at a time on one thread, as vectors are compared: so no two computers' threads differ.
        done = np.matmul(self.rows[:, None, :], guess)[:, 0]
        result: Matrix = np.round((np.clip(done, 0, 1) + np.clip(worded, 0, 1)) / 2, 4).astype(np.float32)
        return result


def learn(texts: Texts, sample: NDArray[np.intp]) -> Learned | None:
    """Learn from a sample of the tasks what work each task takes.

    Args:
        texts: All tasks.
        sample: Numbers of those to learn from, ascending.

    Returns:
        What was learned; None where there is too little, or nothing that finds more than the words do.
    """
    groups: dict[bytes, list[int]] = {}
    for row in sample.tolist():
        groups.setdefault(texts.words[row], []).append(row)
    if len(groups) < LEAST_TEXTS:
        return None
    words, text = _flat(list(groups))
    weight = np.array([texts.weight[rows].sum() for rows in groups.values()])
    features = _features(words, text, len(groups), _things(texts, sample))
    kept, done = _done(texts, list(groups.values()))
    worded = _dense(*features.of(words, text, len(groups)), len(groups), len(features.codes))
    kernel = (worded @ worded.T).astype(np.float64)
    fit = ridge.fit(kernel, done, weight)
    if not len(fit.columns):
        return None
    actual = unit((done[:, fit.columns] - fit.mean) * fit.scale)
    guess = unit(fit.left_out)
    proven = (weight / [len(rows) for rows in groups.values()])[:, None]
    found = (np.clip(guess @ unit(proven * actual + (1 - proven) * guess).T, 0, 1) + kernel) / 2
    share = _share(_by_words(words, text, len(groups)), found, _alike(done), weight)
    if not share:
        return None
    said = (worded.T @ fit.dual).astype(np.float32)
    return _prepared(texts, features, fit, kept[fit.columns], said, share)


def _prepared(texts: Texts, features: Features, fit: Fit, kept: Ids, said: Matrix, share: float) -> Learned:
    """Work out for every task what it took: what was done as far as that is proven, else what its words say."""
    count = len(texts.words)
    at, text, value = features.of(*_flat(texts.words), count)
    guess = np.zeros((count, len(kept)), dtype=np.float32)
    unproven = texts.weight[text] < 1
    f, t, v = at[unproven], text[unproven], value[unproven].astype(np.float32)
    for start in range(0, len(f), _CHUNK):
        part = slice(start, start + _CHUNK)
        np.add.at(guess, t[part], said[f[part]] * v[part, None])
    place = np.full(len(texts.names), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    columns, of = _flat(texts.columns)
    columns = place[columns]
    done = np.zeros((count, len(kept)), dtype=np.float32)
    done[of[columns >= 0], columns[columns >= 0]] = 1
    proven = texts.weight[:, None].astype(np.float32)
    rows = unit(proven * unit((done - fit.mean) * fit.scale) + (1 - proven) * unit(guess))
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(len(features.codes) + 1))
    return Learned(
        features, said, max(fit.strength / 2, 1e-9), rows, starts, text[order].astype(np.int32),
        value[order].astype(np.float32), share,
    )  # fmt: skip


def _things(texts: Texts, sample: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which words name things: those that are mostly acted upon where they are asked for.

    Who knows what a word means that no text of the sample has?  It is taken for a thing.
    """
    asked, acted = np.zeros(texts.vocabulary), np.zeros(texts.vocabulary)
    for row in sample.tolist():
        asked[np.unique(np.frombuffer(texts.words[row], dtype=np.uint32))] += texts.weight[row]
        acted[np.frombuffer(texts.handled[row], dtype=np.uint32)] += texts.weight[row]
    return acted >= THING * asked


def _done(texts: Texts, groups: Sequence[Sequence[int]]) -> tuple[Ids, Floats]:
    """Give what was done for each text, as the share of its runs that did each thing.

    Returns:
        The columns that are looked at, and float (texts, columns).
    """
    runs = [np.frombuffer(texts.columns[row], dtype=np.uint32) for rows in groups for row in rows]
    spread = np.bincount(np.concatenate(runs), minlength=len(texts.names))
    kept = np.lexsort((texts.names, -spread))[:MOST_COLUMNS]
    kept = kept[spread[kept] > 1].astype(np.int64)
    place = np.full(len(texts.names), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    done = np.zeros((len(groups), len(kept)))
    for at, rows in enumerate(groups):
        for row in rows:
            found = place[np.frombuffer(texts.columns[row], dtype=np.uint32)]
            done[at, found[found >= 0]] += texts.weight[row] / texts.weight[rows].sum()
    return kept, done


def _by_words(words: Ids, text: Ids, count: int) -> Matrix:
    """Compare texts as `gmem.graphs.words` does: float32 (asking, asked)."""
    index = WordIndex()
    terms = []
    for row in np.split(words, np.flatnonzero(np.diff(text)) + 1):
        found, times = np.unique(row, return_counts=True)
        terms.append({str(word): int(n) for word, n in zip(found, times, strict=True)})
        index.add(terms[-1])
    return np.array([index.scores(row) for row in terms])


def _alike(done: Floats) -> Matrix:
    """Say how alike the deeds for texts were, the rarer a deed the more it counts: float32 (m, m)."""
    rare = unit((done * np.log(1 / np.clip(done.mean(axis=0), 1e-9, 1))).astype(np.float32))
    return rare @ rare.T


def _share(words: Matrix, work: Floats, truth: Matrix, weight: Floats) -> float:
    """Choose how much the same work is to count, by what leaving each text out finds.

    For each text the nearest others are looked up, by words and by work in every mixture, and judged by how
    alike the deeds were.  Of the mixtures that are better than words alone by more than one standard error, and
    as good as the best within one, the one with most work is taken.

    Args:
        words: Similarity of the texts by words, (m, m).
        work: The same by work, each row worked out without its own text.
        truth: The same by what was done.
        weight: How much each text counts, (m,).
    """
    asked = np.argsort(-weight, kind="stable")[:JUDGED]
    by = weight[asked] / weight[asked].sum()
    found = []
    for share in SHARES:
        mixed = np.round((1 - share) * words[asked] + share * work[asked], 5)
        mixed[np.arange(len(asked)), asked] = -1
        nearest = np.argsort(-mixed, axis=1, kind="stable")[:, : min(NEAREST, len(weight) - 1)]
        found.append(truth[asked[:, None], nearest].mean(axis=1))
    gains = np.array(found) - found[0]
    gain = gains @ by
    error = np.sqrt((by * gains - by * gain[:, None]) ** 2 @ np.ones(len(asked)))
    good = (gain > error) & (gain >= gain.max() - error)
    return max(share for share, fine in zip(SHARES, good.tolist(), strict=True) if fine or not share)


# --- words and pairs of words -----------------------------------------------------------------


def _flat(rows: Sequence[bytes]) -> tuple[Ids, Ids]:
    """Give the numbers of all rows in one array, and the row of each."""
    values = np.frombuffer(b"".join(rows), dtype=np.uint32).astype(np.int64)
    lengths = np.fromiter((len(row) // 4 for row in rows), dtype=np.int64, count=len(rows))
    return values, np.repeat(np.arange(len(rows)), lengths)


def _grams(words: Ids, text: Ids, things: NDArray[np.bool_]) -> tuple[Ids, Ids, Ids]:
    """Give the words and the pairs of neighbours of texts, things out of sight: code, text and count of each."""
    known = (words >= 0) & (words < len(things))
    seen = known & ~things[np.where(known, words, _STAR)]
    masked = np.where(seen, words, _STAR)
    within = text[:-1] == text[1:]
    codes = np.concatenate([masked, (((masked[:-1] + 1) << 31) + masked[1:])[within]])
    text = np.concatenate([text, text[:-1][within]])
    order = np.lexsort((codes, text))
    codes, text = codes[order], text[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1).astype(bool) | np.diff(text, prepend=-1).astype(bool))
    return codes[first], text[first], np.diff(np.append(first, len(codes)))


def _features(words: Ids, text: Ids, count: int, things: NDArray[np.bool_]) -> Features:
    codes, spread = np.unique(_grams(words, text, things)[0], return_counts=True)
    if len(codes) > MOST_FEATURES:
        kept = np.sort(np.lexsort((codes, -spread))[:MOST_FEATURES])
        codes, spread = codes[kept], spread[kept]
    return Features(things, codes, np.log((1 + count) / (1 + spread)), float(np.log((1 + count) / 2)))


def _dense(at: Ids, text: Ids, value: Floats, texts: int, features: int) -> Matrix:
    result = np.zeros((texts, features), dtype=np.float32)
    result[text, at] = value
    return result
