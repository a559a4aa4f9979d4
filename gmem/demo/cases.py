"""Turn a remembered case into a plan for the task at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gmem.demo.language import correspondences, halves, head, located, names, objects, rewrite, words
from gmem.demo.notes import Case
from gmem.demo.team.grammar import verb, was_refused

_PLACE = re.compile(r"\bcalled the ([a-z ]+?)\.", re.IGNORECASE)
_UNPLACED = 2.0
"""Misfit of a case that does not say where it began to act."""
_CONTRADICTED = 4.0
"""Misfit of words that would have to be replaced by two different ones."""
_REPLACED = 0.5
"""Misfit of a word that is another one here, where the steps speak of it: they can be put in the new words."""
_UNTOLD = 2.0
"""Misfit of a word that only one of the two tasks has and that no step speaks of: who knows what it changes?"""
_MISSING = 0.5
"""Misfit of a step that the notes leave out."""
_STEP = 0.1
"""Misfit of a step: of cases that fit alike the shorter is the better plan."""


@dataclass(frozen=True)
class Plan:
    """Commands after the example of a case.

    Attributes:
        case_id: The case.
        steps: The commands.
        misfit: The lower, the better the case fits the task.
        foreign: Whether the tasks differ in words that no step speaks of, so that it may be other work.
    """

    case_id: str
    steps: tuple[str, ...]
    misfit: float
    foreign: bool = False


def plan_from(case: Case, task: str) -> Plan:
    """Rewrite a case for a task.

    Args:
        case: A solved case from the notes.
        task: The text of the task at hand.
    """
    pairs, contradictions = correspondences(case.task, task)
    steps, placed = shorten_routes(adapt(case, task), _first_place(case))
    steps = carry(steps, located(task))
    spoken = " ".join(" ".join(words(step.action)) for step in case.steps)
    told = {source: target for source, target in pairs.items() if rewrite(spoken, {source: target}) != spoken}
    untold = (set(words(case.task)) ^ set(words(task))) - set(words(" ".join((*told, *told.values()))))
    misfit = _CONTRADICTED * contradictions + _REPLACED * len(words(" ".join(told))) + _UNTOLD * len(untold)
    misfit += _MISSING * case.missing + _STEP * len(steps) + (0.0 if placed else _UNPLACED)
    return Plan(case.id, tuple(steps), misfit, bool(untold))


def adapt(case: Case, task: str) -> list[str]:
    """Return a case's commands in the words of the task at hand, without those that did nothing."""
    pairs, _ = correspondences(case.task, task)
    return [
        rewrite(step.action, pairs)
        for step in case.steps
        if not step.action.isdigit() and not was_refused(step.observation)
    ]


def shorten_routes(steps: Iterable[str], start: str | None) -> tuple[list[str], bool]:
    """Replace each walk through rooms by one teleport to where it ends.

    Args:
        steps: Commands in order.
        start: The room in which they began, None when it is not known.

    Returns:
        The shorter list, and whether it is known where its first deed took place.
    """
    out: list[str] = []
    room, look = start, False
    placed: bool | None = None
    for step in steps:
        kind = verb(step)
        if kind in ("go to", "teleport to"):
            room, look = objects(step), False
        elif kind == "look around":
            look = True
        elif not step.startswith("open door"):
            placed = room is not None or bool(out) if placed is None else placed
            out += [f"teleport to {room}"] if room else []
            out += ["look around"] if look else []
            out.append(step)
            room, look = None, False
    if room and out:
        out.append(f"teleport to {room}")
    return out, bool(placed)


def carry(steps: Iterable[str], rooms: Mapping[str, str]) -> list[str]:
    """Go where a thing is before something is brought to it.

    Args:
        steps: Commands in order.
        rooms: Where things are, by the word that says what kind of thing it is.

    >>> carry(["teleport to hall", "pick up cup", "move cup to red box"], {"box": "attic"})
    ['teleport to hall', 'pick up cup', 'teleport to attic', 'move cup to red box']
    """
    out: list[str] = []
    room = ""
    for step in steps:
        aim = halves(step)[1]
        there = "" if names(aim, "inventory") else rooms.get(head(aim), "")
        if verb(step) == "teleport to":
            room = objects(step)
        elif there and room and there != room:
            room = there
            out.append(f"teleport to {room}")
        out.append(step)
    return out


def _first_place(case: Case) -> str | None:
    """Return the room that a case names before its first walk."""
    for step in case.steps:
        if verb(step.action) in ("go to", "teleport to"):
            return None
        found = _PLACE.search(step.observation)
        if found:
            return found.group(1)
    return None
