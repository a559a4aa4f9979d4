"""Blame without a model: who most likely caused a failure, at which step, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gmem.model import Suspect, Task, Utterance, answers
from gmem.text import fold, words

__all__ = ["blame"]

_TROUBLE = re.compile(
    r"\b(error|exception|traceback|failed|failure|cannot|can't|could not|couldn't|unable|invalid|not found|"
    r"no such|unknown|denied|refused|timed? ?out|wrong|incorrect|nothing happens|undefined)\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(r"\b(assume|assuming|assumption|probably|guess|presumably|might be|i think)\b", re.IGNORECASE)
SUSPECTS = 3


def blame(task: Task, utterances: Sequence[Utterance]) -> tuple[Suspect, ...]:
    """Rank the utterances of a failed run by how likely each was the decisive mistake.

    What counts against an utterance can be checked in the trace: a negative reward, trouble in the
    answer to it, a guess instead of a fact, words that the reason of the failure names, an error
    made before and made again, work that nobody built on.  Environments and tools are never blamed,
    and between equals the earlier one is, since later ones build on it.

    Args:
        task: The task, with its reason and feedback.
        utterances: Its utterances, in order.

    Returns:
        At most three suspects, most likely first, with shares of the blame that sum to at most 1;
        none if the task did not fail or nobody acted.
    """
    accused = [u for u in utterances if u.kind not in ("observation", "tool_result") and not u.echo]
    if task.outcome != "failed" or not accused:
        return ()
    answered = answers(utterances)
    used = {seq for u in utterances for seq in u.inspired_by}
    told_text = fold(f"{task.reason} {task.feedback}").casefold()
    named = set(words(told_text))
    culprits = {agent for agent in {u.agent for u in accused} if agent.casefold() in told_text}
    common = {w for w, n in Counter(w for u in accused for w in set(words(u.content))).items() if n > len(accused) / 2}
    told = named - common
    seen: set[tuple[str, str]] = set()
    weighed: list[tuple[float, Utterance, str]] = []
    for place, u in enumerate(accused):
        charges: list[tuple[float, str]] = []
        answer = answered.get(u.seq)
        reward = u.reward if u.reward is not None else answer.reward if answer is not None else None
        if reward is not None and reward < 0:
            charges.append((3.0, f"it brought a reward of {reward:g}"))
        if answer is not None and (trouble := _TROUBLE.search(answer.content)):
            charges.append((1.5, f'the answer to it says "{trouble.group(0)}"'))
        if guess := _UNSURE.search(u.content):
            charges.append((0.8, f'it says "{guess.group(0)}"'))
        if told and (hits := told & set(words(u.content))):
            charges.append((2.0 * len(hits) / len(told), "the reason of the failure speaks of " + _some(hits)))
        if u.agent in culprits:
            charges.append((1.5, f"the reason of the failure names {u.agent}"))
        pair = (u.agent, fold(u.content))
        if pair in seen:
            charges.append((0.6, "it repeats what had been tried before"))
        seen.add(pair)
        if u.seq not in used and place < len(accused) - 1:
            charges.append((0.5, "nobody built on it"))
        early = 0.5 * (1 - place / len(accused))
        reason = "; ".join(text for _, text in sorted(charges, key=lambda c: -c[0])) or _by_place(place, len(accused))
        weighed.append((sum(w for w, _ in charges) + early, u, reason))
    total = sum(w for w, _, _ in weighed) or 1.0
    weighed.sort(key=lambda x: (-x[0], x[1].seq))
    return tuple(Suspect(u.agent, u.seq, reason, round(w / total, 4)) for w, u, reason in weighed[:SUSPECTS])


def _some(found: set[str]) -> str:
    return ", ".join(f'"{w}"' for w in sorted(found, key=lambda w: (-len(w), w))[:3])


def _by_place(place: int, count: int) -> str:
    return f"nothing speaks against it but its place: {place + 1} of {count}, and later steps build on it"
