"""Of tasks with the very same text, those are told that differ in what was done; they would crowd each other out.

A team that is asked the same thing again and again has solved it again and again, mostly in the way that it was told
of.  Three such runs say what one says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gmem.model import Interaction, Task, answers
from gmem.text import is_relation, words

__all__ = ["alike", "handled", "proof", "spread"]

MOST_EARNED = 1e100
"""What a deed counts at most, so that no sum of such figures is infinite."""


def spread(proofs: Sequence[tuple[Any, ...]], deeds: Sequence[Mapping[str, float]], most: int) -> list[int]:
    """Choose from runs of the same task: the best proof first, then what is least like those chosen.

    Args:
        proofs: What speaks for each of n runs, as `proof` gives it.
        deeds: What was handled in each, as `handled` gives it.
        most: How many to choose.

    Returns:
        The places of the chosen ones, in the order of choice.
    """
    left, chosen = list(range(len(proofs))), list[int]()
    near = [0.0] * len(proofs)
    while left and len(chosen) < most:
        # Hundredths, so that of runs that are as good as equally far the better proof comes first.
        best = min(left, key=lambda at: (round(near[at], 2), proofs[at]))
        left.remove(best)
        chosen.append(best)
        for at in left:
            near[at] = max(near[at], alike(deeds[best], deeds[at]))
    return chosen


def proof(task: Task, interaction: Interaction) -> tuple[float, float, int, float, str]:
    """Say how well a run shows how its task is done, for sorting: the better, the smaller.

    That is trust, then score, then few steps, then youth.
    """
    acts = sum(u.kind in ("action", "tool_call") for u in interaction.utterances)
    return -task.trust, -(task.score or 0.0), acts or len(interaction.utterances), -task.started, task.id


def handled(task: Task, interaction: Interaction) -> dict[str, float]:
    """Say what a run dealt with: the words for the things that its deeds were done to.

    Args:
        task: The task, with its key steps.
        interaction: All its utterances.

    Returns:
        The share of each word; a deed weighs as much as it earned, or each the same where nothing was earned.
    """
    answered, key = answers(interaction.utterances), set(task.key_steps)
    earned: dict[str, float] = {}
    for u in interaction.utterances:
        if u.kind in ("action", "tool_call") and not u.echo and (u.seq in key or not key):
            answer = answered.get(u.seq)
            gain = min(max(0.0, u.reward or 0.0, (answer.reward or 0.0) if answer else 0.0), MOST_EARNED)
            earned[u.content] = earned.get(u.content, 0.0) + gain
    even = not any(earned.values())
    shares: dict[str, float] = {}
    for content, gain in earned.items():
        if not (even or gain):
            continue
        things = {word for at, word in enumerate(words(content)) if at and not is_relation(word)}
        for word in things:
            shares[word] = shares.get(word, 0.0) + (1.0 if even else gain) / len(things)
    total = sum(shares.values()) or 1.0
    return {word: share / total for word, share in sorted(shares.items())}


def alike(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Say how much of what two runs dealt with is the same, in [0, 1]."""
    either = a.keys() | b.keys()
    larger = sum(max(a.get(w, 0.0), b.get(w, 0.0)) for w in sorted(either))
    return sum(min(a.get(w, 0.0), b.get(w, 0.0)) for w in sorted(either)) / larger if larger else 1.0
