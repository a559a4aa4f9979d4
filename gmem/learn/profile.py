"""The profile of a run: what was done and said in it, without the things it was done to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from sys import intern

from gmem.learn.moves import moves_in
from gmem.model import Interaction, Task, Utterance, answers
from gmem.text import clip, fold, template, words

__all__ = ["Profile", "place", "profile"]

_LONGEST_TOOL = 100
"""Characters of the name of a tool that tell it from others."""
MOST_WORDS = 240
"""Words of one run that may become moves of the team's own."""
_SHORTEST_WORD = 4
_LONGEST_WORD = 20


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
        opener: Role that spoke first; likewise.
        turns: How often each role spoke.
        handed: Pairs of roles of which the second spoke right after the first.
        moves: Roles that made each move of talk, by its name.
        order: Place of the first of each move.
        closing: Moves of the last thing said.
        checks: Pairs of roles of which the second made a checking move right after the first spoke.
        length: How much was said and done, answers of the environment not counted.
        acts: How many actions and calls of tools there were.
        repeats: How many of them repeated one that had got the same answer.
        idle: How many of them changed nothing: the answer was one that other kinds of action got too.
        thought: Whether somebody thought or spoke before the first action; None without actions.
        asked: Hash of the text of its task.
        whole: Whether what was said, and what was wasted, was looked at; a contrast needs only the deeds.
        words: Words that were said and are no matter of the task, sorted; for moves of the team's own.
    """

    first: dict[str, int]
    last: dict[str, int]
    doers: dict[str, frozenset[str]]
    talk: frozenset[tuple[str, str]]
    speakers: frozenset[str]
    closer: str
    opener: str = ""
    turns: Mapping[str, int] = field(default_factory=dict)
    handed: frozenset[tuple[str, str]] = frozenset()
    moves: Mapping[str, frozenset[str]] = field(default_factory=dict)
    order: Mapping[str, int] = field(default_factory=dict)
    closing: frozenset[str] = frozenset()
    checks: frozenset[tuple[str, str]] = frozenset()
    length: int = 0
    acts: int = 0
    repeats: int = 0
    idle: int = 0
    thought: bool | None = None
    asked: int = 0
    whole: bool = True
    words: tuple[str, ...] = ()


def place(text: str) -> int:
    """Give a text its place in a random order that is the same everywhere."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def profile(task: Task, interaction: Interaction, *, whole: bool = True) -> Profile:
    """Reduce a run to its profile; echoes of the memory do not count.

    Args:
        task: The run's task.
        interaction: Its interaction graph.
        whole: Whether to look at what was said and wasted, too, which takes most of the time.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    doers: dict[str, set[str]] = {}
    talk: set[tuple[str, str]] = set()
    speakers: list[str] = []
    handed: set[tuple[str, str]] = set()
    checks: set[tuple[str, str]] = set()
    moves: dict[str, set[str]] = {}
    order: dict[str, int] = {}
    closing: set[str] = set()
    said: list[str] = []
    asked = fold(task.query).casefold()
    acting = [u for u in interaction.utterances if not u.echo and u.kind not in ("observation", "tool_result")]
    for u in acting:
        role = _role(u, task)
        before = speakers[-1] if speakers else role
        speakers.append(role)
        if before != role:
            handed.add((before, role))
        if u.kind in ("action", "tool_call"):
            kind = _kind(u)
            if kind:
                first.setdefault(kind, u.seq)
                last[kind] = u.seq
                doers.setdefault(kind, set()).add(role)
        # Who only puts the task says nothing about how it was worked on.
        elif whole and not (u.seq < 2 and asked in fold(u.content).casefold()):
            closing = moves_in(u.content)
            for move in closing:
                moves.setdefault(move, set()).add(role)
                order.setdefault(move, u.seq)
            if "verify" in closing and before != role:
                checks.add((before, role))
            said.append(u.content)
        # A deed may be put to an agent as a word is; addressed to anything else it is not talk.
        heard = u.to if u.kind in ("message", "handoff") else [name for name in u.to if name in task.agents]
        talk |= {(role, other) for name in heard if (other := task.agents.get(name, name)) != role}
    repeats, idle = _wasted(interaction.utterances) if whole else (0, 0)
    deeds = [u.seq for u in acting if u.kind in ("action", "tool_call")]
    return Profile(
        first, last, {k: frozenset(v) for k, v in doers.items()}, frozenset(talk),
        frozenset(speakers), speakers[-1] if speakers else "", speakers[0] if speakers else "",
        dict(Counter(speakers)), frozenset(handed), {k: frozenset(v) for k, v in moves.items()}, order,
        frozenset(closing), frozenset(checks), len(acting), len(deeds), repeats, idle,
        acting[0].seq < deeds[0] if deeds else None,
        place(asked), whole,
        _own_words(said, task, interaction.utterances) if whole else (),
    )  # fmt: skip


def _role(u: Utterance, task: Task) -> str:
    return u.role or task.agents.get(u.agent, "") or u.agent


def _kind(u: Utterance) -> str:
    if u.kind == "tool_call":
        return clip(fold(u.content[:_LONGEST_TOOL].partition("(")[0]), _LONGEST_TOOL)
    return template(u.content)


def _wasted(utterances: Sequence[Utterance]) -> tuple[int, int]:
    """Count the actions that repeated one with the same answer, and those that changed nothing."""
    seen: set[tuple[str, str]] = set()
    kinds: dict[str, set[str]] = {}
    repeats = 0
    said: list[str] = []
    answered = answers(utterances)
    for u in utterances:
        if u.seq not in answered or u.echo:
            continue
        act, answer = fold(u.content), fold(answered[u.seq].content)
        repeats += (act, answer) in seen
        seen.add((act, answer))
        kinds.setdefault(answer, set()).add(template(u.content))
        said.append(answer)
    return repeats, sum(len(kinds[answer]) > 1 for answer in said)


def _own_words(said: Sequence[str], task: Task, utterances: Sequence[Utterance]) -> tuple[str, ...]:
    """Give words that were said and are no matter of the task: neither asked, nor acted on, nor answered."""
    matter = set(words(task.query)) | set(words(task.context))
    for u in utterances:
        if u.kind in ("action", "observation", "tool_call", "tool_result"):
            matter.update(words(u.content))
    found: dict[str, None] = {}
    for text in said:
        found.update(
            (word, None)
            for word in dict.fromkeys(words(text))
            if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD and word not in matter and word.isalpha()
        )
        if len(found) >= MOST_WORDS:
            break
    return tuple(sorted(map(intern, islice(found, MOST_WORDS))))
