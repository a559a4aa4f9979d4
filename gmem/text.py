"""Words, templates and token counts of a text; pure functions, no state."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

__all__ = ["clip", "common", "fold", "is_relation", "overlap", "shingles", "template", "terms", "tokens", "words"]

_WORD = re.compile(r"\w+", re.UNICODE)
_STEP = 4096
"""Characters that are folded at once: a run of n accents takes n * n steps to put in order."""
_LONGEST_ACTION = 4096
_LONGEST_WORD = 64

# Words that tell how the things in an action relate, not which things they are: with the verb they
# are what remains of "put the red book in drawer 3" -> "put * in *".
_RELATIONS = {
    *("to", "on", "onto", "in", "into", "inside", "from", "with", "without", "at", "of", "off", "out", "up"),
    *("down", "over", "under", "through", "by", "for", "as", "and", "then", "is"),
}


# Words of English talk that say nothing of what it is about.
_COMMON = frozenset(
    _WORD.findall(
        """
        a about above after again all also am an and any are as at be because been before being below both but by can
        could did do does doing done down during each few for from further get give given gives go going has have
        having he her here hers him his how if in into is it its itself just let like make may me might more most must
        my need needs no nor not now of off on once one only or other our out over own please same see shall she should
        so some such sure than that the their them then there these they this those through to too under until up us
        use used using very was we well were what when where whether which while who whom why will with would yes you
        your
        """
    )
)


def common(word: str) -> bool:
    """Say whether a word tells nothing of what a talk is about: a function word, or too short a one."""
    return word in _COMMON or (len(word) < 3 and word.isascii())


def is_relation(word: str) -> bool:
    """Say whether a word of an action relates things to each other, as `in` and `with` do."""
    return word in _RELATIONS


def words(text: str) -> list[str]:
    """Split a text into its words: Unicode letters, digits and `_`, compatibility-folded, lower case."""
    if text.isascii():
        return _WORD.findall(text.lower())
    folded = (unicodedata.normalize("NFKC", text[i : i + _STEP]) for i in range(0, len(text), _STEP))
    return _WORD.findall("".join(folded).casefold())


def terms(text: str) -> dict[str, int]:
    """Count the words of a text, for BM25."""
    return dict(Counter(words(text)))


def tokens(text: str) -> int:
    """Estimate how many tokens a language model makes of a text.

    One token per four bytes of UTF-8, and at least three per four words: the usual rule of thumb, a
    little generous for English, near enough for scripts without spaces, and it needs no tokenizer.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return max((size + 3) // 4, (3 * text.count(" ") + 3) // 4)


def fold(text: str) -> str:
    """Put a text on one line: each run of white space becomes a space, line ends become ` / `."""
    return " / ".join(part for line in text.splitlines() if (part := " ".join(line.split())))


def clip(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters; a cut is shown as an ellipsis in its middle."""
    if len(text) <= limit:
        return text
    if limit < 8:
        return text[:limit]
    head = (limit - 1) * 2 // 3
    return text[:head].rstrip() + "\u2026" + text[len(text) - (limit - 1 - head) :].lstrip()


def template(action: str) -> str:
    """Reduce an action to what is done, without what it is done to.

    The first word stays, and the words that relate things; whatever stands between becomes `*`:
    `take book 2 from shelf 1` and `take mug 1 from desk 3` both become `take * from *`.
    """
    kept: list[str] = []
    for i, word in enumerate(words(action[:_LONGEST_ACTION])[:40]):
        if i == 0 or word in _RELATIONS:
            kept.append(word[:_LONGEST_WORD])
        elif kept[-1] != "*":
            kept.append("*")
    return " ".join(kept)


def shingles(text: str, size: int = 5) -> set[tuple[str, ...]]:
    """Give the runs of `size` words that occur in a text, to tell whether one text quotes another."""
    found = words(text)
    return set(zip(*(found[i:] for i in range(size)), strict=False))


def overlap(a: Iterable[str], b: Iterable[str]) -> float:
    """Give the share of the words of `a` that are in `b`, in [0, 1]."""
    left, right = set(a), set(b)
    return len(left & right) / len(left) if left else 0.0
