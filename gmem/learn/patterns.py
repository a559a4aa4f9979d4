"""Patterns of a run: what was done before what, and who spoke to whom; the matter of lessons.

A pattern is a text such as `act|put * in *`, `before|clean * with *|put * in *`,
`talk|planner|critic` or `last|critic`.  It names kinds of action and roles, never single things.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmem.model import Interaction, Polarity, Task, Utterance
from gmem.text import clip, fold, template

__all__ = ["Profile", "audience", "follows", "pattern_order", "patterns", "profile", "sentence"]

_LONGEST_TOOL = 100
"""Characters of the name of a tool that tell it from others."""
MOST_KINDS = 24
"""Kinds of action of one run that are looked at for order, first ones first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run did, without the things it did it to.

    Attributes:
        first: Place of the first action of each kind, by template.
        last: Place of the last action of each kind, by template.
        doers: Roles that did each kind of action.
        talk: Pairs of roles of which the first addressed the second.
        speakers: Roles that said or did anything.
        closer: Role that spoke last; '' if nobody did.
    """

    first: dict[str, int]
    last: dict[str, int]
    doers: dict[str, frozenset[str]]
    talk: frozenset[tuple[str, str]]
    speakers: frozenset[str]
    closer: str


def profile(task: Task, interaction: Interaction) -> Profile:
    """Reduce a run to its profile; echoes of the memory do not count."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    doers: dict[str, set[str]] = {}
    talk: set[tuple[str, str]] = set()
    speakers: list[str] = []
    for u in interaction.utterances:
        if u.echo or u.kind in ("observation", "tool_result"):
            continue
        role = _role(u, task)
        speakers.append(role)
        if u.kind in ("action", "tool_call"):
            kind = _kind(u)
            if kind:
                first.setdefault(kind, u.seq)
                last[kind] = u.seq
                doers.setdefault(kind, set()).add(role)
        # A deed may be put to an agent as a word is; addressed to anything else it is not talk.
        heard = u.to if u.kind in ("message", "handoff") else [name for name in u.to if name in task.agents]
        talk |= {(role, other) for name in heard if (other := task.agents.get(name, name)) != role}
    return Profile(
        first, last, {k: frozenset(v) for k, v in doers.items()}, frozenset(talk),
        frozenset(speakers), speakers[-1] if speakers else "",
    )  # fmt: skip


def _role(u: Utterance, task: Task) -> str:
    return u.role or task.agents.get(u.agent, "") or u.agent


def _kind(u: Utterance) -> str:
    if u.kind == "tool_call":
        return clip(fold(u.content[:_LONGEST_TOOL].partition("(")[0]), _LONGEST_TOOL)
    return template(u.content)


# What stands in a pattern is named by agents and tools, so it may hold the very bar that parts it.


def _pattern(*parts: str) -> str:
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def _parts(pattern: str) -> list[str]:
    return [part.replace("%7C", "|").replace("%25", "%") for part in pattern.split("|")]


def patterns(p: Profile) -> set[str]:
    """Give every pattern that a run shows."""
    kinds = sorted(p.first, key=lambda kind: (p.first[kind], kind))[:MOST_KINDS]
    found = {_pattern("act", kind) for kind in kinds}
    for i, later in enumerate(kinds):
        for earlier in kinds[:i]:
            found.add(_pattern("before", earlier, later))
    found |= {_pattern("talk", a, b) for a, b in p.talk}
    if p.closer:
        found.add(_pattern("last", p.closer))
    return found


def follows(pattern: str, p: Profile) -> bool | None:
    """Say whether a run shows a pattern; None where it had no occasion to.

    Order between two kinds of action is judged only in runs that did the later one; who speaks is
    judged only in runs where the roles took part.
    """
    name, *args = _parts(pattern)
    if name == "act":
        return args[0] in p.first if p.first else None
    if name == "before":
        earlier, later = args
        return p.first.get(earlier, 1 << 30) < p.first[later] if later in p.first else None
    if name == "talk":
        return (args[0], args[1]) in p.talk if {args[0], args[1]} <= p.speakers else None
    if name == "last":
        return p.closer == args[0] if args[0] in p.speakers else None
    return None


def pattern_order(pattern: str) -> tuple[int, str]:
    """Order equally good patterns: the simpler one applies more often and is the better advice."""
    return ("act", "talk", "last", "before").index(pattern.partition("|")[0]), pattern


def sentence(pattern: str, polarity: Polarity) -> str:
    """Write a pattern as advice."""
    name, *args = _parts(pattern)
    do = polarity == "do"
    if name == "act":
        return f"{'Do' if do else 'Avoid'} `{args[0]}`"
    if name == "before":
        return f"Before `{args[1]}`, {'do' if do else 'avoid'} `{args[0]}`"
    if name == "talk":
        return f"Let the {args[0]} {'address' if do else 'not address'} the {args[1]}"
    return f"Let the {args[0]} {'have' if do else 'not have'} the last word"


def audience(pattern: str) -> tuple[str, ...]:
    """Give the roles that a pattern concerns, sorted; empty for everybody.

    Whoever acts is concerned, and so is whoever talks to those who act, since plans and vetoes are
    made there: so lessons about actions are for everybody, and lessons about talk for the talkers.
    """
    name, *args = _parts(pattern)
    if name == "talk":
        return tuple(sorted(set(args)))
    if name == "last":
        return (args[0],)
    return ()
