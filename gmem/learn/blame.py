"""Blame without a model: who most likely caused a failure, at which step, and why.

What can be seen of each utterance (`gmem.learn.clues`) is weighed, and the weights (`gmem.learn.weights`)
were fitted to failures in which people had marked the decisive mistake.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from gmem.learn.clues import ERROR, GUESS, clues, replies
from gmem.learn.ranking import shares
from gmem.learn.refine import SHIPPED, Weights
from gmem.model import Suspect, Task, Utterance

__all__ = ["blame", "ordered"]

SUSPECTS = 3
MOST = 0.99
"""A whole share of the blame is for those whom a person blamed."""
REASONS = 3
_WHY = {
    "punished": "it brought a negative reward",
    "opening": "it opens the run, and all that follows builds on it",
    "opening_restates": "it puts the task in words of its own",
    "about_the_task": "it speaks of the task itself",
    "early": "it came early, and later steps build on it",
    "first_deliveries": "it is among the first three things that were delivered to the one who leads",
    "leads": "it decided what the others did",
    "numbers": "it states many numbers",
    "length": "it is long",
    "list": "it lists many items",
    "links": "it gives many links",
    "address": "it relies on a web address",
    "guess": "it guesses",
    "errors": "it speaks of errors",
    "short": "it says next to nothing",
    "first_code": "it is the first code of the run",
    "after_machine": "it draws on what a tool had answered",
    "after_code": "it builds on code of the step before",
    "little_came": "what it ran gave next to nothing",
    "much_came": "what it ran gave more than could be read",
    "error_answered": "the answer to it speaks of an error",
    "final_numbers": "it is the first to state a number that the end of the run repeats",
    "new_from_machine": "it takes over a number that a tool had given",
    "assists": "it answers from what it knows, without a tool",
    "files": "it depends on reading a file",
    "last_word": "its agent had the last word",
    "asks": "it asks",
    "search": "it searches",
    "told_agent": "the reason of the failure names the agent",
    "told_other": "the reason of the failure names somebody else",
    "told_best": "no other step has more of the words of the reason",
    "told_words": "it has words of the reason of the failure",
    "told_answer": "the answer to it has words of the reason of the failure",
    "told_code": "the reason of the failure speaks of code, and this is code",
    "told_plan": "the reason of the failure speaks of the plan, and this is where it was made",
    "told_end": "the reason of the failure speaks of a conclusion, and this is none of the code",
    "told_step": "the reason of the failure names this step",
}


def blame(task: Task, utterances: Sequence[Utterance], weights: Weights = SHIPPED) -> tuple[Suspect, ...]:
    """Rank the utterances of a failed run by how likely each was the decisive mistake.

    What counts against an utterance can be checked in the trace, and is said: its place, errors and
    guesses in it and in the answer to it, numbers that the result repeats, words of the reason that
    somebody gave for the failure.  Environments and tools are never blamed.

    Args:
        task: The task, with its reason and feedback.
        utterances: Its utterances, in order.
        weights: What each clue counts: those that ship with gmem, or those that a team's confirmed blame refined.

    Returns:
        At most three suspects, most likely first, with shares of the blame that sum to at most 1;
        none if the task did not fail or nobody acted.
    """
    if task.outcome != "failed":
        return ()
    told = f"{task.reason}\n{task.feedback}".strip()
    counts = weights.told if told else weights.plain
    seen = clues(task, utterances, told)
    rows = [row for _, row in seen]
    placed = ordered(seen, counts)
    usual = _means(rows)
    said = replies(utterances)
    best = [(seen[i][0], rows[i], min(MOST, part)) for i, part in placed[:SUSPECTS]]
    top = best[0][2] if best else 0.0
    learned = f" (weighed as {weights.confirmed} confirmed failures of this team suggest)" if weights.confirmed else ""
    return tuple(
        Suspect(u.agent, u.seq, _why(u, said.get(u.seq, ""), row, usual, counts) + learned, round(min(top, p), 4))
        for u, row, p in best
    )


def ordered(
    seen: Sequence[tuple[Utterance, Mapping[str, float]]], weights: Mapping[str, float]
) -> list[tuple[int, float]]:
    """Order the candidates of a run by how likely each is to blame.

    Args:
        seen: The candidates with their clues, in order.
        weights: What each clue counts.

    Returns:
        Place in `seen` and share of the blame: the likeliest step of a likely agent first, then the
        others by their share.
    """
    parts = shares([row for _, row in seen], weights)
    by_agent: dict[str, float] = defaultdict(float)
    for (u, _), part in zip(seen, parts, strict=True):
        by_agent[u.agent] += part
    places = sorted(range(len(seen)), key=lambda i: (-round(parts[i], 9), i))
    first = max(places, key=lambda i: parts[i] * math.sqrt(by_agent[seen[i][0].agent]), default=0)
    places.sort(key=lambda i: i != first)
    return [(i, parts[i]) for i in places]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def _why(
    u: Utterance, answer: str, row: Mapping[str, float], usual: Mapping[str, float], weights: Mapping[str, float]
) -> str:
    """Say what counts most against an utterance, compared with the others of its run."""
    against = [
        (weights.get(name, 0.0) * (value - usual[name]), name)
        for name, value in row.items()
        if value > usual[name] and name in _WHY
    ]
    against += [(0.1, name) for name in ("punished", "guess", "error_answered") if row[name] > 0]
    strongest: dict[str, None] = {}
    for weight, name in sorted(against, key=lambda pair: (-pair[0], pair[1])):
        if weight > 0.01:
            strongest.setdefault(name)
    if not strongest:
        return "nothing speaks against it but its place among the others"
    return "; ".join(_say(name, u, answer) for name in list(strongest)[:REASONS])


def _say(name: str, u: Utterance, answer: str) -> str:
    if name == "guess" and (found := GUESS.search(u.content)):
        return f'it says "{found[0]}"'
    if name == "errors" and (found := ERROR.search(u.content)):
        return f'it says "{found[0]}"'
    if name == "error_answered" and (found := ERROR.search(answer)):
        return f'the answer to it says "{found[0]}"'
    return _WHY[name]
