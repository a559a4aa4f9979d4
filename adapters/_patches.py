"""Attributes of other people's objects, replaced for a while and put back exactly."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

__all__ = ["Patches"]

log = logging.getLogger("gmem")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class _Patch:
    owner: Any
    name: str
    before: Any
    after: Any


class Patches:
    """What was replaced, so that it can be put back in reverse order.

    Only attributes of single objects are replaced, never those of a class: other objects of the same
    kind are not touched.
    """

    def __init__(self) -> None:
        self._made: list[_Patch] = []

    def __len__(self) -> int:
        return len(self._made)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute of one object."""
        before = vars(owner).get(name, _ABSENT)
        # Past the object's own checks (pydantic's, say), which know nothing of this attribute.
        object.__setattr__(owner, name, value)
        self._made.append(_Patch(owner, name, before, value))

    def undo(self) -> None:
        """Put everything back; what somebody else has replaced since is left to them, and said."""
        while self._made:
            patch = self._made.pop()
            if vars(patch.owner).get(patch.name, _ABSENT) is not patch.after:
                log.warning(
                    "gmem: %s of %r was replaced by somebody else since, and is left as it is",
                    patch.name, type(patch.owner).__name__,
                )  # fmt: skip
            elif patch.before is _ABSENT:
                object.__delattr__(patch.owner, patch.name)
            else:
                object.__setattr__(patch.owner, patch.name, patch.before)
