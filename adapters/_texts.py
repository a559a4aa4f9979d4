"""What frameworks hand over as text, made fit to be stored; a memory must not refuse what a team said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gmem import checks

__all__ = ["named", "storable", "text_of"]

NOTHING = "(nothing)"
"""Stands for an utterance without text, so that what builds on it has something to build on."""
CUT = " [... cut]"


def storable(text: object, limit: int = checks.MAX_MESSAGE, *, empty: str = NOTHING) -> str:
    r"""Make a text fit to be stored: no NUL, no half character, not too long, not blank.

    Args:
        text: Anything; what is no text is written as one.
        limit: Largest size in bytes of UTF-8.
        empty: What to give for a blank text.

    >>> storable("a\0b") == "a\ufffdb", storable("  "), storable("x" * 20, 16)
    (True, '(nothing)', 'xxxxxx [... cut]')
    """
    if type(text) is str and text.isascii() and len(text) <= limit and "\0" not in text and text.strip():
        return text  # as nearly all are
    raw = text_of(text).replace("\0", "\ufffd").encode("utf-8", "replace")
    if len(raw) > limit:
        raw = raw[: limit - len(CUT)].decode("utf-8", "ignore").encode() + CUT.encode()
    return raw.decode() if raw.strip() else empty


def named(name: object) -> str:
    """Make a name fit to be stored, by the same rules."""
    return storable(name, checks.MAX_NAME, empty="unnamed")


def text_of(content: object) -> str:
    """Write the content of a message as text: parts one below the other, pictures and other data by their kind."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return _part(content)
    if isinstance(content, Iterable) and not isinstance(content, (bytes, bytearray)):
        return "\n".join(filter(None, map(text_of, content)))
    dump = getattr(content, "model_dump_json", None)
    return str(dump()) if callable(dump) else str(content)


def _part(part: Mapping[Any, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    kind = str(part.get("type", ""))
    if kind and kind != "text":
        return f"[{kind}]"
    return json.dumps(part, ensure_ascii=False, default=str)
