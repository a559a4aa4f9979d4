"""What the scripted agents know of language: words, verbs, likeness, and which words of two texts answer each other.

Nothing here knows a task. The command grammar (which words are verbs, that rooms can be reached by teleport, that a
`focus on` cannot be taken back) is the environment's help text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from gmem.demo.team.grammar import verb

IRREVERSIBLE = ("focus on",)
"""Verbs whose effect cannot be taken back."""

FILLER = frozenset(
    {"a", "an", "at", "containing", "door", "from", "in", "into", "inventory"}
    | {"nothing", "of", "on", "substance", "the", "to", "with"}
)
"""Words that say little about which thing is meant."""

_WORD = re.compile(r"[a-z0-9]+(?:[-.'][a-z0-9]+)*")
_CONDITION = re.compile(r"\bif\b([^.]*?(?:\.\d[^.]*?)*)\b(above|below) (-?[\d.]+\d)[^,]*,([^.]*)\.", re.IGNORECASE)
_MEASURED = re.compile(r"(-?\d+(?:\.\d+)?) degrees")


@lru_cache(maxsize=20_000)
def words(text: str) -> tuple[str, ...]:
    """Split a text into its words, in lower case and in order.

    >>> words("Move the red-orange paint to 2 boxes.")
    ('move', 'the', 'red-orange', 'paint', 'to', '2', 'boxes')
    """
    return tuple(_WORD.findall(text.lower()))


def objects(command: str) -> str:
    """Return what a command is about: everything after its verb."""
    return command[len(verb(command)) :].strip().lower()


def likeness(one: str, other: str, weight: Mapping[str, float] | None = None) -> float:
    """Say how alike two phrases are.

    Args:
        one: A phrase.
        other: Another phrase.
        weight: How much a word counts, 1 for a word that is not in it.

    Returns:
        0 to 1: shared words over all words, by weight, with a small part for likeness of spelling.
    """
    a, b = set(words(one)) - FILLER, set(words(other)) - FILLER
    if not a or not b:
        return float(one.strip().lower() == other.strip().lower())
    count = (lambda ws: sum(weight.get(w, 1.0) for w in ws)) if weight else len
    shared = count(a & b) / count(a | b)
    return 0.85 * shared + 0.15 * SequenceMatcher(None, one.lower(), other.lower()).ratio()


def telling(phrases: Sequence[str], named: str) -> dict[str, float]:
    """Weigh words by how well they tell phrases apart, twice as much when a text names them.

    Args:
        phrases: The phrases among which one is to be chosen.
        named: The text, such as the task, whose words matter more.

    Returns:
        Per word of the phrases a weight: 1 or 2 for a word of one phrase, less the more phrases share it.
    """
    spread = Counter(word for phrase in phrases for word in set(words(phrase)))
    matters = set(words(named))
    return {word: (2.0 if word in matters else 1.0) / n**0.5 for word, n in spread.items()}


def correspondences(old: str, new: str, longest: int = 5) -> tuple[dict[str, str], int]:
    """Find the words in which two texts of the same shape differ.

    Args:
        old: The text that is known.
        new: The text at hand.
        longest: The most words that one side of a pair may have.

    Returns:
        What replaces what, and how often the texts contradict that (the same old words stand for two new ones).
    """
    a, b = words(old), words(new)
    votes: dict[str, Counter[str]] = {}
    kept: Counter[str] = Counter()
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "replace" and j - i <= longest and m - k <= longest:
            source, target = " ".join(a[i:j]), " ".join(b[k:m])
            if not (_is_number(source) or _is_number(target)):
                votes.setdefault(source, Counter())[target] += 1
        elif tag == "equal":
            kept.update(a[i:j])
    pairs = {source: targets.most_common(1)[0][0] for source, targets in votes.items()}
    against = sum(sum(t.values()) - t.most_common(1)[0][1] for t in votes.values())
    against += sum(kept[source] for source in votes if " " not in source)
    return pairs, against


def rewrite(text: str, pairs: Mapping[str, str]) -> str:
    """Replace phrases by others, all at once, longer ones first, whole words only.

    >>> rewrite("move cat to bed", {"cat": "dog", "bed": "cat"})
    'move dog to cat'
    """
    if not pairs:
        return text
    alternatives = "|".join(re.escape(source) for source in sorted(pairs, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{alternatives})(?![\w-])", lambda m: pairs[m.group(0).lower()], text, flags=re.I)


def bindings(meant: str, done: str) -> dict[str, str]:
    """Read from a step and the command that was carried out in its place which words stood in for which.

    A word is bound together with the one behind it, so that a wire of another colour does not repaint the boxes.

    >>> bindings("connect black wire terminal 2 to motor", "connect red wire terminal 2 to buzzer")
    {'black wire': 'red wire', 'motor': 'buzzer'}
    """
    a, b = words(objects(meant)), words(objects(done))
    out = {}
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "replace":
            behind = int(j < len(a) and m < len(b) and a[j] not in FILLER)
            out[" ".join(a[i : j + behind])] = " ".join(b[k : m + behind])
    return out


def decide(task: str, observations: Iterable[str]) -> tuple[str, str] | None:
    """Read the task's "if above ... if below" sentences against the last temperature that was measured.

    Args:
        task: The text of the task.
        observations: What was observed so far, oldest first.

    Returns:
        The clause to follow and the clause to leave, or None when the task has no such pair or nothing was measured.
    """
    found = {side.lower(): (float(limit), clause) for _, side, limit, clause in _CONDITION.findall(task)}
    measured = [float(n) for text in observations for n in _MEASURED.findall(text) if "measures" in text]
    if set(found) != {"above", "below"} or not measured:
        return None
    follow = "above" if measured[-1] > found["above"][0] else "below"
    leave = "below" if follow == "above" else "above"
    return found[follow][1].strip(), found[leave][1].strip()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
