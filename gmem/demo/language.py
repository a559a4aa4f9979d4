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
_AIMED = {"connect": ("to",), "dunk": ("into", "in"), "move": ("to",), "pour": ("into", "in"), "use": ("on",)}
"""Verbs that bring one thing to another, with the words that part the two, the clearer one first."""
_LOCATED = re.compile(
    r"([\w' -]+?),?(?: which)? (?:is|are) (?:located |found )?(?:around|in|at) the '?([\w -]+?)'?(?: location)?[.,]",
    re.IGNORECASE,
)
_KEPT = re.compile(r"([\w' -]+?) containing ([\w' -]+?)(?= and | in | to | into |$)")
_HOLDER = re.compile(r"([\w'-][\w' -]*?) \(containing ([^()]*)\)")
_ARTICLE = re.compile(r"^(?:an?|the) ")
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


def halves(command: str) -> tuple[str, str]:
    """Part a command that brings one thing to another into the two things, the second one empty for other commands.

    >>> halves("pour cup in hall in jug"), halves("connect wire 2 to anode in bulb"), halves("open door to hall")
    (('cup in hall', 'jug'), ('wire 2', 'anode in bulb'), ('door to hall', ''))
    """
    said = objects(command)
    for between in _AIMED.get(verb(command), ()):
        thing, found, other = said.rpartition(f" {between} ")
        if found:
            return thing, other
    return said, ""


def telltale(phrase: str) -> frozenset[str]:
    """Return the words of a phrase that say which thing is meant."""
    return frozenset(words(phrase)) - FILLER


def mentions(thing: str, commands: Iterable[str]) -> set[str]:
    """Find the fuller names by which commands speak of a thing.

    >>> sorted(mentions("dove", ["pick up dove", "move egg dove egg to red box", "focus on cat"]))
    ['dove', 'egg dove egg']
    """
    own = telltale(thing)
    named = {halves(command)[0].split(" in ")[0] for command in commands}
    return {name for name in named if own and own <= telltale(name)}


def head(phrase: str) -> str:
    """Return the word that says what kind of thing a phrase names, its last one that is no number.

    >>> head("adult apple tree"), head("flower pot 8"), head("")
    ('tree', 'pot', '')
    """
    said = [word for word in words(phrase) if word not in FILLER and not _is_number(word)]
    return said[-1] if said else ""


def holders(steps: Iterable[str], stand_ins: Mapping[str, str], observations: Iterable[str]) -> dict[str, str]:
    """Find in what the things of a plan are kept here, where that is another holder than in the plan.

    Args:
        steps: The plan, in which a holder may be named with what it contains.
        stand_ins: What stands in for what.
        observations: What was observed so far, oldest first.

    Returns:
        The holder here, by the holder in the plan.

    >>> seen = ["Here is a pot 1 (containing a pea, soil), a pot 4 (containing a fern, soil)."]
    >>> holders(["pick up pot 7", "move pot 7 containing moss and soil to box"], {"moss": "fern"}, seen)
    {'pot 7': 'pot 4'}
    """
    found = [pair for text in observations for pair in _HOLDER.findall(text.lower())]
    seen = [(_ARTICLE.sub("", place), content) for place, content in found]
    out: dict[str, str] = {}
    for step in steps:
        for holder, kept in _KEPT.findall(objects(step)):
            wanted = set(words(rewrite(kept, stand_ins)))
            here = [place for place, content in seen if wanted <= set(words(content))]
            if here and not set(words(holder)) <= set(words(here[-1])):
                out[holder.strip()] = here[-1]
    return out


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


def names(text: str, phrase: str) -> bool:
    """Say whether a text names something, in these very words.

    >>> names("pick up red wire", "red wire"), names("pick up red wire", "wire 2")
    (True, False)
    """
    return re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text, re.IGNORECASE) is not None


def located(task: str) -> dict[str, str]:
    """Read where a task says that things are.

    Returns:
        The room, by the word that says what kind of thing it is.

    >>> located("Find the cup, which is located around the hall. The boxes are located in the red room.")
    {'cup': 'hall', 'box': 'red room'}
    """
    out = {}
    for thing, room in _LOCATED.findall(task):
        kind = head(thing)
        out[re.sub(r"(?<=[xs])es$|(?<=[^s])s$", "", kind)] = " ".join(words(room))
    return out


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
