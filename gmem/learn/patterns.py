"""Patterns of a run: what was done before what, who spoke to whom, and how; the matter of lessons.

A pattern is a text such as `act|put * in *`, `before|clean * with *|put * in *`, `talk|planner|critic`
or `last|critic`.  It names kinds of action, roles and moves of talk, never single things.

Some hold for one kind of task only (what was done, who spoke to whom): `patterns` gives those, to be
compared among runs that are alike.  The others are ways to work, whatever the task: `habits` gives them,
to be compared over all runs of a team.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from functools import lru_cache
from itertools import takewhile

from gmem.learn.moves import marker
from gmem.learn.profile import Profile, profile

__all__ = [
    "Profile", "audience", "bearing", "family", "follows", "habits", "had", "is_habit", "join", "occasion",
    "pattern_order", "patterns", "profile", "split",
]  # fmt: skip

MOST_KINDS = 24
"""Kinds of action of one run that are looked at for order, first ones first."""
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
"""How often something may have happened: at least so many times."""
AIMS = ("conclude", "code")
"""Moves before which other moves are looked for."""
COUNTED = ("turns", "length", "acts", "repeats", "idle")
"""Names of patterns whose last part says how often."""
_OCCASION = {
    "act": "deeds", "acts": "acts", "repeats": "acts", "idle": "acts", "think": "acts", "length": "turns",
    "ends": "said",
}  # fmt: skip
_SIMPLEST_FIRST = (
    "act", "says", "check", "talk", "last", "first", "think", "repeats", "idle", "length", "acts", "next", "ends",
    "then", "turns", "before",
)  # fmt: skip


# What stands in a pattern is named by agents and tools, so it may hold the very bar that parts it.


def join(*parts: str) -> str:
    """Write a pattern from its parts."""
    return "|".join(map(_escaped, parts))


@lru_cache(maxsize=16_384)
def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace("|", "%7C")


@lru_cache(maxsize=16_384)
def split(pattern: str) -> tuple[str, ...]:
    """Give the parts of a pattern, its name first."""
    return tuple(part.replace("%7C", "|").replace("%25", "%") for part in pattern.split("|"))


def patterns(p: Profile) -> set[str]:
    """Give every pattern of deeds and talk that a run shows."""
    kinds = sorted(p.first, key=lambda kind: (p.first[kind], kind))[:MOST_KINDS]
    found = {join("act", kind) for kind in kinds}
    for i, later in enumerate(kinds):
        for earlier in kinds[:i]:
            found.add(join("before", earlier, later))
    found |= {join("talk", a, b) for a, b in p.talk}
    if p.closer:
        found.add(join("last", p.closer))
    return found


def habits(p: Profile) -> set[str]:
    """Give every way of working that a run shows; words of a team's own are not among them."""
    found = {join("next", a, b) for a, b in p.handed} | {join("check", a, b) for a, b in p.checks}
    found |= {join("talk", a, b) for a, b in p.talk}
    if p.closer:
        found |= {join("last", p.closer), join("first", p.opener)}
    for move, roles in p.moves.items():
        found |= {join("says", role, move) for role in ("", *roles)}
    found |= {join("ends", move) for move in p.closing}
    for aim in AIMS:
        at = p.order.get(aim, -1)
        found |= {join("then", move, aim) for move, place in p.order.items() if place < at}
    for role, often in p.turns.items():
        found |= {join("turns", role, str(n)) for n in takewhile(often.__ge__, STEPS) if n > 1}
    for name, often in (("length", p.length), ("acts", p.acts), ("repeats", p.repeats), ("idle", p.idle)):
        found |= {join(name, str(n)) for n in takewhile(often.__ge__, STEPS)}
    if p.thought:
        found.add("think")
    return found


@lru_cache(maxsize=16_384)
def occasion(pattern: str) -> tuple[str, ...]:
    """Give what a run must have had in it to be judged by a pattern: patterns with the same answer share it."""
    name, *args = split(pattern)
    if name in ("talk", "next", "check"):
        return ("roles", *sorted(set(args)))
    if name in ("last", "first", "turns"):
        return ("roles", args[0])
    if name == "says":
        return ("said", args[0]) if args[0] else ("said",)
    if name == "then":
        return ("move", args[1])
    if name == "before":
        return ("deed", args[1])
    return (_OCCASION.get(name, "never"),)


def had(occasion: tuple[str, ...], p: Profile) -> bool:
    """Say whether a run had the occasion to show a pattern.

    Order is judged only in runs that did the later thing; who speaks, and how, is judged only in runs
    where the roles took part.
    """
    what, *args = occasion
    if what == "roles":
        return p.speakers.issuperset(args)
    if what == "said":
        return bool(p.order or p.words) and p.speakers.issuperset(args)
    if what == "move":
        return args[0] in p.order
    if what == "deed":
        return args[0] in p.first
    return {"deeds": bool(p.first), "acts": p.thought is not None, "turns": bool(p.speakers)}.get(what, False)


def bearing(what: str, p: Profile) -> Hashable:
    """Give what decides whether a run had the occasions of one name: runs with the same had the same of them."""
    if what == "move":
        return frozenset(p.order)
    if what == "deed":
        return frozenset(p.first)
    return p.speakers, bool(p.order or p.words), bool(p.first), p.thought is not None


def follows(pattern: str, p: Profile) -> bool | None:
    """Say whether a run shows a pattern; None where it had no occasion to, or the pattern cannot be read."""
    try:
        return _shows(pattern, p) if had(occasion(pattern), p) else None
    except (ValueError, IndexError):
        return None  # it was written by hand, or by another gmem


def _shows(pattern: str, p: Profile) -> bool:
    name, *args = split(pattern)
    if name == "act":
        return args[0] in p.first
    if name == "before":
        return p.first.get(args[0], 1 << 30) < p.first[args[1]]
    if name in ("talk", "next", "check"):
        return (args[0], args[1]) in {"talk": p.talk, "next": p.handed, "check": p.checks}[name]
    if name in ("last", "first"):
        return (p.closer if name == "last" else p.opener) == args[0]
    if name == "turns":
        return p.turns.get(args[0], 0) >= int(args[1])
    if name in COUNTED:
        return bool(getattr(p, name) >= int(args[0]))
    if name == "says":
        role, move = args
        return role in p.moves.get(move, ()) if role else move in p.moves or _said(move, p)
    if name == "ends":
        return args[0] in p.closing
    if name == "then":
        return p.order.get(args[0], 1 << 30) < p.order[args[1]]
    return bool(p.thought)


def _said(move: str, p: Profile) -> bool:
    word = move.removeprefix(marker(""))
    at = bisect_left(p.words, word)
    return move != word and at < len(p.words) and p.words[at] == word


def is_habit(pattern: str) -> bool:
    """Say whether a pattern is a way of working, whatever the task."""
    return pattern.partition("|")[0] not in ("act", "before")


def family(pattern: str) -> str:
    """Give what patterns have in common that differ only in how often; of each family one lesson is enough."""
    return pattern.rpartition("|")[0] if pattern.partition("|")[0] in COUNTED else pattern


def pattern_order(pattern: str) -> tuple[int, str]:
    """Order equally good patterns: the simpler one applies more often and is the better advice."""
    return _SIMPLEST_FIRST.index(pattern.partition("|")[0]), pattern


def audience(pattern: str) -> tuple[str, ...]:
    """Give the roles that a pattern concerns, sorted; empty for everybody.

    Whoever acts is concerned, and so is whoever talks to those who act, since plans and vetoes are
    made there: so lessons about actions are for everybody, and lessons about talk for the talkers.
    """
    name, *args = split(pattern)
    if name in ("talk", "next", "check"):
        return tuple(sorted(set(args)))
    if name in ("last", "first", "turns", "says"):
        return (args[0],) if args[0] else ()
    return ()
