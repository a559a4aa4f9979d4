"""Condensing a run to its key steps: what the result depends on."""

from __future__ import annotations

from collections.abc import Sequence

from gmem.model import Outcome, Utterance, answers
from gmem.text import fold, template

__all__ = ["condense"]

BRIEF = 3
"""Words of an answer up to which it may be a bare receipt, such as "ok": that is no sign that nothing changed."""
DENIES = frozenset((
    "no", "not", "nothing", "never", "none", "cannot", "can't", "couldn't", "don't", "doesn't", "didn't", "isn't",
    "unable", "invalid", "unknown", "illegal", "error", "failed", "failure", "wrong", "impossible", "denied", "refused",
))  # fmt: skip
"""Words by which even a brief answer says so."""


def condense(utterances: Sequence[Utterance], outcome: Outcome) -> tuple[int, ...]:
    """Choose the utterances that the result of a run depends on.

    Left out are steps that changed nothing (the environment gave the same answer to different kinds
    of action, and no bare receipt), echoes of the memory itself, and whatever the result does not build on; of resolved
    runs also steps that brought a negative reward, of others repetitions. A failure keeps what was
    punished: that is what went wrong, and what the next team has to be told.

    Args:
        utterances: All utterances of the run, in order.
        outcome: What came of it.

    Returns:
        Their numbers, ascending; all of them where nothing would be left.
    """
    useless = _without_effect(utterances) | {u.seq for u in utterances if u.echo}
    punished = _punished(utterances)
    useless |= punished if outcome == "resolved" else _repeated(utterances)
    reached = _reaching(utterances, _sinks(utterances, useless) | (punished - useless))
    kept = tuple(u.seq for u in utterances if u.seq in reached and u.seq not in useless)
    return kept or tuple(u.seq for u in utterances)


def _without_effect(utterances: Sequence[Utterance]) -> set[int]:
    answered = answers(utterances)
    kinds: dict[str, set[str]] = {}
    helped: set[str] = set()
    for u in utterances:
        if u.seq in answered:
            said = fold(answered[u.seq].content)
            kinds.setdefault(said, set()).add(template(u.content))
            if (u.reward or 0) > 0 or (answered[u.seq].reward or 0) > 0:
                helped.add(said)
    empty = {
        said for said, templates in kinds.items() if len(templates) > 1 and said not in helped and not _is_receipt(said)
    }
    idle = [act for act, answer in answered.items() if fold(answer.content) in empty]
    return {*idle, *(answered[act].seq for act in idle)}


def _is_receipt(answer: str) -> bool:
    words = answer.casefold().split()
    return len(words) <= BRIEF and not any(word.strip(".,:;!?") in DENIES for word in words)


def _punished(utterances: Sequence[Utterance]) -> set[int]:
    answered = answers(utterances)
    out: set[int] = set()
    for u in utterances:
        answer = answered.get(u.seq)
        reward = u.reward if u.reward is not None else answer.reward if answer else None
        if reward is not None and reward < 0:
            out |= {u.seq, answer.seq} if answer else {u.seq}
    return out


def _repeated(utterances: Sequence[Utterance]) -> set[int]:
    answered = answers(utterances)
    seen: set[tuple[str, str, str]] = set()
    out: set[int] = set()
    for u in utterances:
        if u.seq not in answered:
            continue
        pair = (u.agent, fold(u.content), fold(answered[u.seq].content))
        if pair in seen:
            out |= {u.seq, answered[u.seq].seq}
        seen.add(pair)
    return out


def _sinks(utterances: Sequence[Utterance], useless: set[int]) -> set[int]:
    """Give what the result is: rewarded steps and the last step, or else everybody's last word."""
    useful = [u for u in utterances if u.seq not in useless]
    rewarded = {u.seq for u in useful if (u.reward or 0) > 0}
    if rewarded:
        return rewarded | {useful[-1].seq}
    return set({u.agent: u.seq for u in useful}.values())


def _reaching(utterances: Sequence[Utterance], sinks: set[int]) -> set[int]:
    """Walk INSPIRED backwards from the result; an answer counts with its action."""
    answered = answers(utterances)
    reached: set[int] = set()
    waiting = list(sinks)
    while waiting:
        seq = waiting.pop()
        if seq in reached:
            continue
        reached.add(seq)
        waiting += utterances[seq].inspired_by
        if seq in answered:
            waiting.append(answered[seq].seq)
    return reached
