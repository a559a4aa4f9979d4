"""The stored form of the data model: nodes as compact JSON, edges as a few bytes; pure functions.

Fields that have their default value are left out, so documents stay small and old ones stay
readable when a field is added.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gmem.model import (
    Cost,
    Deeds,
    Evidence,
    Insight,
    InsightLink,
    Interaction,
    Kind,
    RecallEvent,
    Similar,
    Suspect,
    Task,
    Utterance,
)

__all__ = [
    "edge_key",
    "ends",
    "pack_evidence",
    "pack_insight",
    "pack_interaction",
    "pack_recall",
    "pack_similar",
    "pack_task",
    "pack_vector",
    "unpack_evidence",
    "unpack_insight",
    "unpack_interaction",
    "unpack_link",
    "unpack_recall",
    "unpack_similar",
    "unpack_task",
    "unpack_vector",
]

_SCORE = struct.Struct("<d")
_DEFAULTS = {
    kind: [(f.name, f.default if f.default_factory is MISSING else f.default_factory()) for f in fields(kind)]
    for kind in (Task, Insight, RecallEvent)
}


def edge_key(*ends: str) -> str:
    """Name an edge by its ends; no id holds a NUL, so the name can be taken apart again."""
    return "\0".join(ends)


def ends(key: str) -> list[str]:
    """Take the name of an edge apart."""
    return key.split("\0")


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _load(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"))  # json itself would first guess the encoding


def _changed(value: Any, *skip: str) -> dict[str, Any]:
    """Give the fields of a dataclass value that differ from their defaults."""
    out: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(value)]:
        if name not in skip and (current := getattr(value, name)) != default:
            out[name] = current
    return out


def pack_task(task: Task) -> bytes:
    """Store a task, without its team and id, which are its key."""
    doc = _changed(task, "id", "team", "cost", "blame", "deeds")
    if task.deeds != Deeds():
        doc["deeds"] = [dict(task.deeds.done), task.deeds.handled, dict(task.deeds.said)]
    if task.cost != Cost():
        doc["cost"] = [task.cost.tokens, task.cost.calls, task.cost.seconds]
    if task.blame:
        doc["blame"] = [[s.agent, s.seq, s.reason, s.score] for s in task.blame]
    return _dump(doc)


def unpack_task(team: str, id: str, body: bytes) -> Task:
    """Read a task back."""
    doc = _load(body)
    if "cost" in doc:
        doc["cost"] = Cost(*doc["cost"])
    if "blame" in doc:
        doc["blame"] = tuple(Suspect(*s) for s in doc["blame"])
    if "key_steps" in doc:
        doc["key_steps"] = tuple(doc["key_steps"])
    if "deeds" in doc:
        done, handled, said = doc["deeds"]
        doc["deeds"] = Deeds(done, tuple(handled), said)
    return Task(id=id, team=team, **doc)


def pack_interaction(interaction: Interaction) -> bytes:
    """Store an interaction graph: one compressed document, since its texts repeat each other.

    Raises:
        ValueError: An utterance is out of place, or inspired by one that is not before it.
    """
    for place, u in enumerate(interaction.utterances):
        if u.seq != place:
            raise ValueError(f"utterance {place} has the number {u.seq}; number them 0, 1, 2, ...")
        if any(not 0 <= up < place for up in u.inspired_by):
            raise ValueError(f"utterance {place} is inspired by {u.inspired_by}; only earlier ones can inspire")
    rows = [
        [u.agent, u.role, u.kind, u.content, u.to, u.inspired_by, u.reward, u.time, int(u.echo)]
        for u in interaction.utterances
    ]
    return zlib.compress(_dump(rows), 6)


def unpack_interaction(task_id: str, body: bytes) -> Interaction:
    """Read an interaction graph back."""
    utterances = tuple(
        Utterance(seq, agent, role, cast(Kind, kind), content, tuple(to), tuple(up), reward, time, bool(echo))
        for seq, (agent, role, kind, content, to, up, reward, time, echo) in enumerate(_load(zlib.decompress(body)))
    )
    return Interaction(task_id, utterances)


def pack_insight(insight: Insight) -> bytes:
    """Store an insight, without its team and id, which are its key."""
    return _dump(_changed(insight, "id", "team"))


def unpack_insight(team: str, id: str, body: bytes) -> Insight:
    """Read an insight back."""
    doc = _load(body)
    if "audience" in doc:
        doc["audience"] = tuple(doc["audience"])
    if "taught_by" in doc:
        doc["taught_by"] = tuple((a, b) for a, b in doc["taught_by"])
    return Insight(id=id, team=team, **doc)


def pack_similar(edge: Similar) -> bytes:
    """Store an edge of the query graph; its ends are its key."""
    return _SCORE.pack(edge.score)


def unpack_similar(ends: Sequence[str], body: bytes) -> Similar:
    """Read an edge of the query graph back."""
    return Similar(ends[0], ends[1], _SCORE.unpack(body)[0])


def pack_evidence(edge: Evidence) -> bytes:
    """Store evidence; its ends are its key."""
    return bytes([edge.followed, edge.resolved])


def unpack_evidence(ends: Sequence[str], body: bytes) -> Evidence:
    """Read evidence back."""
    followed, resolved = body
    return Evidence(ends[0], ends[1], bool(followed), bool(resolved))


def unpack_link(ends: Sequence[str]) -> InsightLink:
    """Read a hyper-edge back: it is all key and has no body."""
    return InsightLink(ends[0], ends[1], ends[2])


def pack_recall(event: RecallEvent) -> bytes:
    """Store a ledger entry, without its id."""
    return _dump(_changed(event, "id"))


def unpack_recall(id: str, body: bytes) -> RecallEvent:
    """Read a ledger entry back."""
    doc = _load(body)
    for key in ("shown", "withheld"):
        doc[key] = tuple(doc.get(key, ()))
    return RecallEvent(id=id, **doc)


def pack_vector(vector: NDArray[np.float32]) -> bytes:
    """Store a vector: little-endian float32."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def unpack_vector(body: bytes) -> NDArray[np.float32]:
    """Read a vector back."""
    return np.frombuffer(body, dtype="<f4").astype(np.float32)
