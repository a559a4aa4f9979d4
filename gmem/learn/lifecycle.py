"""The life of an insight: which state its evidence puts it in, and which insights are one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from gmem.graphs.base import Standing
from gmem.learn.gates import USUAL, Gates
from gmem.learn.patterns import is_habit
from gmem.learn.strata import compare
from gmem.model import Insight, InsightState
from gmem.stats import fisher
from gmem.text import words
from gmem.voices import Heard, hear

__all__ = ["duplicates", "negated", "same_lesson", "state_of", "why"]

PROMOTED_BY = 3
"""Verified runs that must support a written lesson before it is recalled: more than the pair that taught it."""
JUDGED_BY = 4
"""Verified runs that must have said something before a lesson can be retired."""
REFUTED = 0.3
"""And one whose evidence chance gives more often than this is retired."""
SAME = 0.85
"""Share of common words from which two lessons of the same polarity are one."""
_NEGATIONS = frozenset(("not", "no", "never", "without", "avoid", "don", "doesn", "cannot", "nor", "unless", "except"))


def state_of(insight: Insight, standing: Standing, verdict: bool | None = None, gates: Gates = USUAL) -> InsightState:
    """Say which state the evidence puts an insight in.

    A mined lesson must keep to be unlikely by chance as evidence comes in (Fisher's exact test); a
    written one must be supported more than contradicted.  A quarantined insight stays so until a
    person frees it.  One that lost part of its support to forgetting (`rebuild`) comes back when
    what is left carries it.

    A lesson about a habit is compared within questions, which its counts alone cannot tell: it becomes
    active when a panel says so (`verdict`), and stays so until a panel or its counts say otherwise.

    Runs count by how far they are trusted, and a source that says more than all others together neither makes
    an insight nor ends it against them (`gmem.voices`).
    """
    if insight.state == "quarantined":
        return "quarantined"
    said = standing.supports + standing.contradicts
    found = hear(standing if gates.in_turn else replace(standing, voices=()), mined=bool(insight.pattern))
    against = found.contradicts >= found.supports
    if insight.pattern:
        chance = _chance(found)
        holds, refuted = chance <= gates.active and not against, against or chance > REFUTED
    else:
        holds, refuted = found.supports >= PROMOTED_BY and not against, against
    if found.others is not None:  # one source alone neither makes an insight nor ends it
        holds, refuted = holds and found.others > 0, refuted and found.others <= 0
    if holds and insight.pattern and is_habit(insight.pattern):
        holds = insight.state in ("active", "rebuild") if verdict is None else verdict
    if holds:
        return "active"
    if said >= JUDGED_BY and refuted:
        return "retired"
    return "retired" if insight.state == "retired" else "candidate"


def _chance(found: Heard) -> float:
    if len(found.tables) == 1:
        return fisher(*found.tables[0])
    # What only tells a talkative source from the others need not be the insight's doing.
    return compare(found.tables).p


def why(insight: Insight, standing: Standing) -> str:
    """Say in words why an insight is in the state that it is in."""
    said = standing.supports + standing.contradicts
    runs = f"{standing.contradicts} of {said} runs contradict it"
    if insight.state == "quarantined":
        return "a person put it aside"
    if insight.state == "rebuild":
        return "it lost runs to forgetting; the next consolidation says whether the others carry it"
    if insight.state == "active":
        return f"it holds: {standing.supports} of {said} runs support it{_weighed(insight, standing)}"
    if standing.contradicts >= standing.supports and said:
        return runs + _weighed(insight, standing)
    if insight.state == "retired":
        return (f"{runs}, and chance gives as much" if insight.pattern else runs) + _weighed(insight, standing)
    doubt = "what speaks for it may still be chance, or holds no more" if insight.pattern else "too few runs support it"
    return doubt + _weighed(insight, standing)


def _weighed(insight: Insight, standing: Standing) -> str:
    """Say in words what the sources of the evidence change; nothing if they change nothing."""
    found = hear(standing, mined=bool(insight.pattern))
    if found.loud:
        leaning = {1: "they lean to it", 0: "they say neither", -1: "they lean against it"}[found.others or 0]
        return f"; most of them are of one source ({found.loud}), heard as much as all others together: {leaning}"
    if (found.supports, found.contradicts) != (standing.supports, standing.contradicts):
        return f"; weighed by trust, {found.supports} for it and {found.contradicts} against"
    return ""


def duplicates(insights: Sequence[Insight]) -> list[tuple[Insight, Insight]]:
    """Find lessons that say the same in nearly the same words.

    Mined patterns are never the same (their id is their pattern); lessons written by a model are.

    Returns:
        Pairs (kept, merged away), the older one kept; each insight is merged away at most once.
    """
    written = sorted((i for i in insights if not i.pattern), key=lambda i: (i.created, i.id))
    out: list[tuple[Insight, Insight]] = []
    gone: set[str] = set()
    for at, kept in enumerate(written):
        if kept.id in gone:
            continue
        for other in written[at + 1 :]:
            if other.id in gone or other.polarity != kept.polarity or other.audience != kept.audience:
                continue
            if same_lesson(kept.text, other.text):
                gone.add(other.id)
                out.append((kept, other))
    return out


def negated(a: str, b: str) -> bool:
    """Tell whether one of two texts has a negation that the other lacks."""
    return bool((set(words(a)) ^ set(words(b))) & _NEGATIONS)


def same_lesson(a: str, b: str) -> bool:
    """Tell whether two texts give the same advice in nearly the same words.

    They must share their words and mostly their order, and differ in no negation: "before A do B" and
    "before B do A" are made of the same words.
    """
    left, right = words(a), words(b)
    if left == right:
        return True
    both, either = set(left) & set(right), set(left) | set(right)
    if not either or len(both) / len(either) < SAME or (either - both) & _NEGATIONS:
        return False
    return SequenceMatcher(None, left, right, autojunk=False).ratio() >= SAME
