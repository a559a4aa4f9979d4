"""Who says what about an insight: the doubted count less, and one source that talks a lot does not decide alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gmem.graphs.base import TRUST, Standing, Voice
from gmem.model import Evidence

__all__ = ["Heard", "hear", "updated"]

LOUD = 24
"""Runs of a source on one insight from which it is talkative, if they are more than those of all others."""
ENOUGH = 8
"""Runs of others from which a talkative source is held against them: fewer could not speak against it."""
SHARE = 0.1
"""And what they say must be so much of what it says: who does ten times what all others do is the team."""

Table = tuple[int, int, int, int]
"""Resolved runs that followed an insight and that did not, then the failed ones."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the evidence about an insight comes to, each run counted by how far it is trusted.

    Attributes:
        tables: What was counted; two tables that are not to be compared with each other, where one source is
            talkative: that of the others, and its own, scaled down to as many runs.
        loud: The source that says more than all others, who have something to say as well; '' if there is none.
        others: How the others lean then: 1 for the insight, -1 against it, 0 neither; else None.
    """

    tables: tuple[Table, ...]
    loud: str = ""
    others: int | None = None

    @property
    def supports(self) -> int:
        """Runs that speak for it."""
        return sum(_sides(table)[0] for table in self.tables)

    @property
    def contradicts(self) -> int:
        """Runs that speak against it."""
        return sum(_sides(table)[1] for table in self.tables)


def hear(standing: Standing, *, mined: bool) -> Heard:
    """Weigh the evidence about an insight.

    Args:
        standing: The evidence, counted; where no sources are told all of it is one.
        mined: Whether following the insight is compared with not following it; else whether it held at all counts.
    """
    voices = standing.voices or (_all(standing),)
    told = {v.source: v.successes + v.failures for v in voices}
    loud = max(voices, key=lambda v: (told[v.source], v.source))
    most = told[loud.source]
    rest = sum(told.values()) - most
    if most <= max(rest, LOUD * TRUST) or rest < max(ENOUGH * TRUST, SHARE * most):
        return Heard((_table(voices),))
    others = _table([v for v in voices if v is not loud])
    return Heard((others, _table([loud], rest / most)), loud.source, _leaning(others, mined))


def updated(
    standing: Standing,
    changes: Iterable[tuple[Evidence | None, Evidence | None]],
    origins: Mapping[str, tuple[str, float]],
) -> Standing:
    """Count evidence that is new, that replaces what was said before, or that is taken back.

    Args:
        standing: The counts before.
        changes: What each run said before, and what it says now; None for nothing.
        origins: Source and trust of each run, by id.
    """
    counts = [standing.successes, standing.successes_followed, standing.failures, standing.failures_followed]
    voices = {v.source: [v.successes, v.successes_followed, v.failures, v.failures_followed] for v in standing.voices}
    for old, new in changes:
        for e, sign in ((old, -1), (new, 1)):
            if e is None:
                continue
            source, trust = origins.get(e.task_id, ("", 0.0))
            voice = voices.setdefault(source, [0, 0, 0, 0])
            for each, amount in ((counts, sign), (voice, sign * round(trust * TRUST))):
                each[0 if e.resolved else 2] += amount
                each[1 if e.resolved else 3] += amount * e.followed
    a, b, c, d = counts
    heard = tuple(Voice(source, *voices[source]) for source in sorted(voices) if any(voices[source]))
    return Standing(a, b, c, d, heard)


def _all(standing: Standing) -> Voice:
    counts = (standing.successes, standing.successes_followed, standing.failures, standing.failures_followed)
    return Voice("", *(TRUST * n for n in counts))


def _table(voices: Sequence[Voice], scale: float = 1.0) -> Table:
    good = sum(v.successes_followed for v in voices)
    bad = sum(v.failures_followed for v in voices)
    sums = (good, sum(v.successes for v in voices) - good, bad, sum(v.failures for v in voices) - bad)
    a, b, c, d = (round(scale * x / TRUST) for x in sums)
    return a, b, c, d


def _sides(table: Table) -> tuple[int, int]:
    a, b, c, d = table
    return a + d, b + c


def _leaning(table: Table, mined: bool) -> int:
    a, b, c, d = table
    good, bad = (a * d, b * c) if mined else _sides(table)
    return (good > bad) - (good < bad)
