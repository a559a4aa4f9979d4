"""Reads a whole record file and says what is wrong with it: the store's own doctor."""

from __future__ import annotations

import struct
import zlib

from gmem.graphs import codec
from gmem.graphs._cache import TeamCache
from gmem.graphs._record import RecordFile

__all__ = ["check"]

_ENDS = {
    "trace": ("task",),
    "vector": ("task",),
    "similar": ("task", "task"),
    "evidence": ("task", "insight"),
    "link": ("insight", "insight", "task"),
}
"""What each kind of record hangs on."""


def check(file: RecordFile) -> list[str]:
    """Verify every page, checksum and document, and that nothing hangs on what is not there.

    Returns:
        One sentence for each thing found wrong.
    """
    teams: dict[str, TeamCache] = {}
    seen: dict[str, set[tuple[str, str]]] = {"task": set(), "insight": set()}
    hanging: list[tuple[str, str, str, str, str]] = []
    problems: list[str] = []

    def take(kind: str, team: str, id: str, body: bytes) -> None:
        if kind in seen:
            seen[kind].add((team, id))
        wants = list(zip(_ENDS.get(kind, ()), codec.ends(id), strict=False))
        try:
            if kind == "trace":
                codec.unpack_interaction(id, body)
            else:
                if kind == "recall":
                    wants = [("task", codec.unpack_recall(id, body).task_id)]
                teams.setdefault(team, TeamCache(team)).apply(kind, id, body)
        except (ValueError, KeyError, TypeError, IndexError, struct.error, zlib.error) as error:
            problems.append(f"{file.path}: the {kind} record {id!r} of team {team!r} cannot be read ({error!r})")
        hanging.extend((team, kind, id, of, end) for of, end in wants)

    problems += file.check(take)
    for team, kind, id, of, end in hanging:
        if (team, end) not in seen[of]:
            problems.append(
                f"{file.path}: the {kind} record {id!r} of team {team!r} hangs on {of} {end!r}, which is not there"
            )
    return problems
