"""What may enter a memory: each check returns the value, or raises `InvalidInput` and names it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import SupportsFloat

from gmem.errors import InvalidInput

__all__ = [
    "MAX_MESSAGE",
    "MAX_MESSAGES",
    "MAX_NAME",
    "MAX_QUERY",
    "blame",
    "choice",
    "id",
    "mapping",
    "name",
    "names",
    "number",
    "share",
    "text",
]

MAX_NAME = 256
"""Longest name of a team, agent or role, in bytes of UTF-8."""
MAX_QUERY = 64 * 1024
"""Longest query, in bytes of UTF-8."""
MAX_MESSAGE = 256 * 1024
"""Longest utterance, context, reason or feedback, in bytes of UTF-8."""
MAX_MESSAGES = 10_000
"""Most utterances of one task."""


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def text(value: object, what: str, limit: int = MAX_MESSAGE, *, empty: bool = False) -> str:
    """Check a text: a `str` of Unicode characters that can be stored and shown.

    Args:
        value: What was given.
        what: Its name in the error message.
        limit: Largest size in bytes of UTF-8.
        empty: Whether a text of nothing but white space will do.

    Raises:
        InvalidInput: It is no text, empty, too long, or holds a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a str, not {type(value).__name__} ({_shown(value)})")
    if not empty and not value.strip():
        raise InvalidInput(f"{what} is empty; give it some text, or leave the call out")
    if "\0" in value:
        raise InvalidInput(f"{what} holds a NUL character at position {value.index(chr(0))}; remove it first")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds half a surrogate pair at position {error.start} ({value[error.start]!r}), "
            "which is no character; decode the source with errors='replace'"
        ) from None
    if size > limit:
        raise InvalidInput(f"{what} is {size:,} bytes long; at most {limit:,} are kept, so shorten or split it")
    return value


def name(value: object, what: str) -> str:
    """Check the name of a team, agent, role or source."""
    return text(value, what, MAX_NAME)


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,127}")


def id(value: object, what: str) -> str:
    """Check an id: letters, digits and `_ . : / @ -`, at most 128 of them, no space."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidInput(
            f"{what} must be 1 to 128 letters, digits or any of _.:/@-, starting with a letter or digit, "
            f"not {_shown(value)}; leave it out to get one made"
        )
    return value


def names(value: str | Sequence[str] | None, what: str) -> tuple[str, ...]:
    """Check one name or several; None means nobody in particular."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (name(value, what),)
    if not isinstance(value, Sequence):
        raise InvalidInput(f"{what} must be a name or a list of names, not {type(value).__name__} ({_shown(value)})")
    return tuple(dict.fromkeys(name(v, what) for v in value))


def number(value: object, what: str) -> float:
    """Check a figure such as a reward or a score: finite, and really a number."""
    # Numpy scalars and Decimals will do; plain numbers come first, since the protocol is slow to check.
    if isinstance(value, bool) or not isinstance(value, (int, float, SupportsFloat)):
        raise InvalidInput(f"{what} must be a number, not {type(value).__name__} ({_shown(value)})")
    try:
        result = float(value)
    except (OverflowError, ValueError):
        result = math.inf
    if not math.isfinite(result):
        raise InvalidInput(f"{what} must be a finite number, not {_shown(value)}")
    return result


def share(value: object, what: str) -> float:
    """Check a figure that must lie in [0, 1]."""
    result = number(value, what)
    if not 0.0 <= result <= 1.0:
        raise InvalidInput(f"{what} must lie between 0 and 1, not {_shown(value)}")
    return result


def choice(value: object, what: str, among: Sequence[str]) -> str:
    """Check a text that must be one of a few."""
    if not isinstance(value, str) or value not in among:
        raise InvalidInput(f"{what} must be {', '.join(among[:-1])} or {among[-1]}, not {_shown(value)}")
    return value


def mapping(value: Mapping[str, str] | None, what: str) -> dict[str, str]:
    """Check a mapping from names to texts, such as the agents of a team and their roles."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must map names to texts, not be a {type(value).__name__} ({_shown(value)})")
    return {name(k, f"a name in {what}"): text(v, f"{what}[{k!r}]", MAX_MESSAGE) for k, v in value.items()}


def blame(value: object) -> tuple[str, int, str]:
    """Check whom a person blames; whether that step is there is for the caller to check."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise InvalidInput(f"blame must be (agent, number of the utterance, why), not {value!r:.200}")
    agent, seq, why = value
    if isinstance(seq, bool) or not isinstance(seq, int):
        raise InvalidInput(f"blame must name its utterance by number, not {seq!r:.200}")
    return name(agent, "agent"), seq, text(why, "the reason of the blame", empty=True)
