"""Moves of talk: the few things that people who work together say whatever the task is.

A move is what a sentence does, not what it is about: to verify, to assume, to apologise.  The list is
short, general and English, since that is what teams of models mostly speak; what a team says beyond it
is learned from its own runs (see `gmem.learn.panel`).  No word of a task belongs here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["MOVES", "marker", "moves_in", "wording"]

_WORD = re.compile(r"[a-z][a-z-]+")


@dataclass(frozen=True, slots=True)
class _Move:
    """How a move is recognised (stems of words, whole words, phrases), and how it is put as advice."""

    stems: str
    whole: str
    phrases: tuple[str, ...]
    do: str
    avoid: str


_TABLE = {
    "verify": _Move(
        "verif validat double-check cross-check re-check recheck confirm",
        "check checks checked checking prove proves proved", (),
        "check the result", "spend words on checking what is known",
    ),
    "error": _Move(
        "error traceback exception", "fail fails failed failure invalid", ("exitcode: 1", "exit code: 1"),
        "name errors openly", "go on from a step that ended in an error",
    ),
    "assume": _Move(
        "assum presum hypothetical", "suppose supposed supposing", (),
        "say what is assumed", "assume what the task does not say",
    ),
    "guess": _Move(
        "guess", "probably maybe perhaps likely might seem seems", (),
        "say what is only likely", "go on from a guess",
    ),
    "doubt": _Move(
        "ambigu uncertain", "unclear unsure insufficient impossible unknown",
        ("not sure", "not clear", "not certain", "not specif", "not provid", "not possible", "not enough", "n't clear",
         "n't specif", "n't provid"),
        "say what is unclear", "leave open what the task means",
    ),
    "sorry": _Move(
        "apolog", "sorry oops oversight", ("my mistake",),
        "own up to mistakes", "let it come to apologies: get it right before you say it",
    ),
    "object": _Move(
        "incorrect wrong discrepan inconsisten disagree", "mistake mistakes mistaken",
        ("not correct", "not right", "not true"),
        "object to what looks wrong", "let it come to objections: settle doubts before you speak",
    ),
    "agree": _Move(
        "agree", "consistent", ("is correct", "are correct", "was correct", "is right", "well done", "great job"),
        "say whether the others are right", "agree without a reason of your own",
    ),
    "revise": _Move(
        "revis adjust modif reconsider reevaluat", "instead", ("try again", "let's try", "let's correct", "let's fix"),
        "revise the plan when it does not work", "change the approach midway",
    ),
    "still": _Move(
        "", "still again remaining missed", ("so far",),
        "say what is still missing", "go over the same ground again",
    ),
    "plan": _Move(
        "", "plan plans", ("step 1", "step one", "steps:", "the steps", "following steps"),
        "lay out the steps first", "lay out steps at length",
    ),
    "ask": _Move("", "", ("? ", "?\n"), "ask questions", "ask questions instead of settling them"),
    "code": _Move("", "", ("```",), "write code", "write code"),
    "conclude": _Move(
        "", "terminate",
        ("final answer", "final result", "final solution", "final decision", "in conclusion", "successfully completed",
         "\\boxed"),
        "state the final answer", "declare the work finished",
    ),
}  # fmt: skip
MOVES = tuple(_TABLE)
_STEMS = tuple((stem, name) for name, move in _TABLE.items() for stem in move.stems.split())
_WHOLE = {word: name for name, move in _TABLE.items() for word in move.whole.split()}
_PHRASES = tuple((phrase, name) for name, move in _TABLE.items() for phrase in move.phrases)
_LONGEST = 16_384
"""Characters of an utterance that are looked at: what comes later says no more about its kind."""
_WORD_MARK = "="


def moves_in(text: str) -> set[str]:
    """Find the moves that a text makes.

    >>> sorted(moves_in("I assume that it holds. Please verify it."))
    ['assume', 'verify']
    """
    low = text[:_LONGEST].lower()
    found = {name for phrase, name in _PHRASES if phrase in low}
    if low.endswith("?"):
        found.add("ask")
    found.update(map(_move, set(_WORD.findall(low))))
    found.discard("")
    return found


@lru_cache(maxsize=16_384)
def _move(word: str) -> str:
    return _WHOLE.get(word) or next((name for stem, name in _STEMS if word.startswith(stem)), "")


def marker(word: str) -> str:
    """Give a word that a team uses itself the form that it has among moves."""
    return _WORD_MARK + word


def wording(move: str, *, do: bool) -> str:
    """Put a move as advice, as it stands after "do" or "do not"."""
    if move.startswith(_WORD_MARK):
        return f'say "{move[1:]}"'
    if move not in _TABLE:
        return move
    return _TABLE[move].do if do else _TABLE[move].avoid
