"""Ranking learned from use (after RMM): a stream of questions, in which what is told helps or does not.

Each of the four runs that are told helps more often if it is a right answer than if it is not.  What was learned from
one half of the questions is judged on the other; only what helped for another text counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .chance import interval
from .report import Figure

__all__ = ["ALONE", "DEPTHS", "HELPS", "ORDERS", "TWICE", "Asked", "best", "compare", "learned", "precision"]

Floats = NDArray[np.float64]
DEPTHS = (1, 3, 5)
ALONE, TWICE = "the question alone", "second look, as recall has it"
ORDERS, TOLD = 10, 4
OUTCOME = "outcome alone"
HELPS = {"clear": (0.9, 0.1), "noisy": (0.7, 0.3), OUTCOME: (0.9, 0.1), "by chance": (0.5, 0.5)}
"""How often a run that was told helps, if it is right and if it is not.

Where nothing is known but the outcome of what it was told for, all that was told helped or did not, as often as one of
them would.
"""
SURE, DOUBT = 6.0, 10.0
"""Weight of relevance in the odds of helping before anything is learned, and how strongly weights are drawn to that."""
USES = 4
"""How many uses of doubt each run begins with, and each question."""
LEARNED = ("weights of words, work and talk", "runs that helped", "what is like what helped like questions")


@dataclass(frozen=True)
class Asked:
    """A question, and what its memory says of the n runs that are in it, by id.

    Attributes:
        text: What is asked.
        places: Which runs they are, (n,).
        right: Whether each is a right answer, bool (n,).
        forms: Their relevance by each form of the first idea, (n,).
        between: Their relevance for the texts of each other, (n, n).
        seen: What relevance is made of, (n, 4): itself, words, work, talk.
    """

    text: str
    places: NDArray[np.intp]
    right: NDArray[np.bool_]
    forms: Mapping[str, Floats]
    between: Floats
    seen: Floats


@dataclass(frozen=True)
class _Use:
    """What came of a recall.

    Attributes:
        asked: The question.
        at: Its number.
        told: Which of its runs were told.
        helped: Whether each helped, 1 or 0.
    """

    asked: Asked
    at: int
    told: NDArray[np.intp]
    helped: Floats


def compare(found: Mapping[str, Floats]) -> list[list[Figure]]:
    """Lay out precisions by name, (questions, depths) each; the first is what the others are compared with."""
    first, rows = next(iter(found.values())), []
    for name, right in found.items():
        row: list[Figure] = [name, *(float(x) for x in right.mean(axis=0))]
        for gains in (right - first).T:
            low, high = interval(gains.tolist())
            row.append(None if right is first else f"{gains.mean():+.3f} ({low:+.3f} to {high:+.3f})")
        rows.append(row)
    return rows


def precision(asked: Asked, scores: Floats) -> list[float]:
    """Give the share of right answers among the first of each of `DEPTHS`."""
    hits = asked.right[best(scores, max(DEPTHS))]
    return [float(hits[:k].sum() / k) for k in DEPTHS]


def best(scores: Floats, most: int) -> NDArray[np.intp]:
    """Give the places of the highest scores, best first, ties in their order."""
    return np.argsort(-np.round(scores, 6), kind="stable")[:most]


def learned(questions: Sequence[Asked], orders: int) -> list[list[Figure]]:
    """Let the questions come in several orders, and lay out what is gained by what was learned."""
    runs = 1 + max(int(asked.places.max()) for asked in questions)
    found: dict[str, Floats] = {}
    alike = np.array([[_alike(one, other) for other in questions] for one in questions])
    for kind, chances in HELPS.items():
        for form in ("", *LEARNED):
            gained: list[list[list[float]]] = [[] for _ in questions]
            for order in range(orders):
                rng = np.random.default_rng(order)
                shuffled, luck = rng.permutation(len(questions)).tolist(), rng.random((len(questions), runs))
                uses: list[_Use] = []
                for turn, at in enumerate(shuffled):
                    asked = questions[at]
                    scores = _ranked(asked, form, uses, alike[at])
                    if turn < len(shuffled) // 2:
                        told = best(scores, TOLD)
                        chance, drawn = np.where(asked.right[told], *chances), luck[at, asked.places[told]]
                        if kind == OUTCOME:
                            chance, drawn = np.full(len(told), chance.mean()), np.full(len(told), drawn[0])
                        uses.append(_Use(asked, at, told, (drawn < chance).astype(float)))
                    else:
                        gained[at].append(precision(asked, scores))
            if form or not found:  # without learning it makes no difference what helps
                name = f"{form}, {kind}" if form else "nothing learned"
                found[name] = np.array([np.mean(rows, axis=0) if rows else np.full(3, np.nan) for rows in gained])
    judged = ~np.isnan(next(iter(found.values()))).any(axis=1)
    return compare({name: right[judged] for name, right in found.items()})


def _ranked(asked: Asked, form: str, uses: Sequence[_Use], alike: Floats) -> Floats:
    """Rank the runs for a question by what was learned; whatever the order of the uses, but for rounding."""
    scores = asked.forms[TWICE]
    uses = [use for use in uses if use.asked.text != asked.text]  # what helped the very same task is no test
    if not form or not uses:
        return scores
    helped = np.concatenate([use.helped for use in uses])
    usual = helped.mean()
    if form == LEARNED[0]:
        seen = np.concatenate([use.asked.seen[use.told] for use in uses])
        return (asked.seen - seen.mean(axis=0)) @ _weights(seen - seen.mean(axis=0), helped)
    if form == LEARNED[1]:
        places = np.concatenate([use.asked.places[use.told] for use in uses])
        size = 1 + max(int(places.max()), int(asked.places.max()))
        good, often = np.bincount(places, helped, size), np.bincount(places, minlength=size)
        return scores * (1 + 0.5 * ((good + USES * usual) / (often + USES) - usual)[asked.places])
    gain, whole = np.zeros(len(scores)), float(USES)
    for use in uses:
        both, mine, its = np.intersect1d(asked.places, use.asked.places[use.told], return_indices=True)
        whole += float(alike[use.at])
        gain += float(alike[use.at]) * ((use.helped[its] - usual) @ asked.between[mine]) if len(both) else 0.0
    return scores + gain / whole


def _weights(seen: Floats, helped: Floats) -> Floats:
    """Fit a logistic regression, drawn to relevance alone, by Newton's method."""
    rows = np.column_stack([seen, np.ones(len(seen))])
    share = min(max(float(helped.mean()), 0.01), 0.99)
    prior = np.array([SURE, *np.zeros(seen.shape[1] - 1), np.log(share / (1 - share))])
    found = prior.copy()
    for _ in range(8):
        odds = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (odds - helped) + DOUBT * (found - prior)
        found -= np.linalg.solve((rows.T * (odds * (1 - odds))) @ rows + DOUBT * np.eye(len(prior)), slope)
    return found[:-1]


def _alike(one: Asked, other: Asked) -> float:
    """Say how alike two questions are: as far as they find the same runs alike."""
    _, a, b = np.intersect1d(one.places, other.places, return_indices=True)
    left, right = one.forms[ALONE][a], other.forms[ALONE][b]
    return float(left @ right / max(1e-9, np.linalg.norm(left) * np.linalg.norm(right))) ** 4
