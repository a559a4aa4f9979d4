"""What a message of a team is, as utterances, where its user knows better than the adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gmem.model import Kind

__all__ = ["Said", "Utterances"]


class Said(NamedTuple):
    """One utterance in a message.

    Attributes:
        agent: Who; the name of the environment for an observation.
        text: What.
        kind: What sort of utterance it is.
        reward: What an environment gave for it.
        to: Whom it was addressed to; nobody for everybody.
    """

    agent: str
    text: str
    kind: Kind = "message"
    reward: float | None = None
    to: tuple[str, ...] = ()


Utterances = Callable[[Any], "Iterable[Said | tuple[Any, ...]] | None"]
"""Looks at one message of a team, and says as which utterances it is kept; None to leave it to the adapter."""
