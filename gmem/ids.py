"""Deterministic ids: the same thing always gets the same id, so every write can be repeated."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

__all__ = ["digest", "digests", "insight_id", "new_id", "run_id"]


def digest(*parts: str) -> str:
    """Hash parts so that no two different lists of parts can collide by where they were cut.

    Args:
        parts: Texts; each is hashed with its own length before it, so `("a", "bc")` and
            `("ab", "c")` differ, whatever characters they contain.

    Returns:
        64 lower-case hex digits.
    """
    h = hashlib.sha256()
    for part in parts:
        _feed(h, part)
    return h.hexdigest()


def digests(parts: Iterable[str], last: Iterable[str]) -> list[str]:
    """Hash many lists of parts that differ in their last part only, as `digest` would each."""
    common = hashlib.sha256()
    for part in parts:
        _feed(common, part)
    found = []
    for part in last:
        _feed(h := common.copy(), part)
        found.append(h.hexdigest())
    return found


def _feed(h: hashlib._Hash, part: str) -> None:
    raw = part.encode("utf-8", "surrogatepass")  # half a pair is refused where the text itself is checked
    h.update(len(raw).to_bytes(8, "big"))
    h.update(raw)


def run_id(source: str, original: str) -> str:
    """Name a task that came from elsewhere: the same original always becomes the same task."""
    return "t_" + digest("task", source, original)[:16]


def insight_id(polarity: str, key: str) -> str:
    """Name an insight by what it says: `key` is its pattern, or its text where it has none."""
    return "i_" + digest("insight", polarity, key)[:12]


def new_id(prefix: str) -> str:
    """Name something that happens once, such as a live run (`t_...`) or a recall (`r_...`)."""
    return f"{prefix}_{secrets.token_hex(8)}"
