"""What a judge of the user's says of a run, put into gmem's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args

from gmem import checks
from gmem.errors import InvalidInput
from gmem.model import Outcome

__all__ = ["Judge", "Verdict", "verdict"]

Judge = Callable[[Any], "Verdict | bool | float | str | Awaitable[Verdict | bool | float | str | None] | None"]
"""Looks at what a team gave back, and says what came of the task."""
PASSED = 0.5
"""A judge's figure from which on the task counts as resolved."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run.

    Attributes:
        outcome: Resolved, failed, or unknown if nobody can tell.
        score: The figure of the judge, if it gives one.
        reason: Why the task failed.
        feedback: What else the judge said.
    """

    outcome: Outcome = "unknown"
    score: float | None = None
    reason: str = ""
    feedback: str = ""


def verdict(said: object) -> Verdict:
    """Read what a judge said.

    Args:
        said: A `Verdict`; True or False; a score in [0, 1], resolved from 0.5 on; the name of an
            outcome; or None for unknown.

    Raises:
        InvalidInput: It is none of these.

    >>> verdict(True).outcome, verdict(0.2), verdict(None).outcome
    ('resolved', Verdict(outcome='failed', score=0.2, reason='', feedback=''), 'unknown')
    """
    if isinstance(said, Verdict):
        return said
    if said is None:
        return Verdict()
    if isinstance(said, str):
        if said in get_args(Outcome):
            return Verdict(said)  # type: ignore[arg-type]
    elif isinstance(said, (bool, type(None))) or type(said).__name__ in ("bool", "bool_"):
        return Verdict("resolved" if said else "failed")
    else:
        score = checks.share(said, "the figure of the judge")
        return Verdict("resolved" if score >= PASSED else "failed", score)
    raise InvalidInput(
        f"the judge said {said!r}; it must say True or False, a figure from 0 to 1, 'resolved', 'failed', "
        "'unknown', None, or a Verdict"
    )
