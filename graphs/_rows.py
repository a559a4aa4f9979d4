"""How the data model looks in Neo4j: properties that a person can read, and back; pure functions.

A property that would hold its default value is left out.  Lists stand side by side where the model
has pairs, since a property holds no nested values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmem.ids import digest, digests
from gmem.model import Cost, Deeds, Insight, InsightLink, Interaction, RecallEvent, Suspect, Task, Utterance

__all__ = [
    "from_deeds",
    "from_insight",
    "from_interaction",
    "from_link",
    "from_recall",
    "from_task",
    "from_vector",
    "to_deeds",
    "to_insight",
    "to_interaction",
    "to_recall",
    "to_task",
    "to_vector",
    "uid",
]

Row = Mapping[str, Any]


def uid(team: str, kind: str, *ids: str) -> str:
    """Name a node: no two of them, of whatever team and kind, share a name."""
    return digest(team, kind, *ids)


def from_task(task: Task) -> dict[str, Any]:
    """Give the properties of a task; None removes what an earlier version had."""
    blame, cost = task.blame, task.cost
    return {
        "id": task.id,
        "team": task.team,
        "query": task.query,
        "context": task.context or None,
        "outcome": task.outcome,
        "score": task.score,
        "reason": task.reason or None,
        "feedback": task.feedback or None,
        "error": task.error or None,
        "agents": list(task.agents) or None,
        "roles": list(task.agents.values()) or None,
        "key_steps": list(task.key_steps) or None,
        "deeds": from_deeds(task.deeds),
        "blamed": [s.agent for s in blame] or None,
        "blamed_steps": [s.seq for s in blame] or None,
        "blamed_reasons": [s.reason for s in blame] or None,
        "blamed_scores": [float(s.score) for s in blame] or None,
        "tokens": cost.tokens or None,
        "calls": cost.calls or None,
        "seconds": cost.seconds or None,
        "source": task.source,
        "trust": task.trust,
        "started": task.started,
        "ended": task.ended,
        "length": task.length,
        "learned": task.learned,
        "metadata": json.dumps(dict(task.metadata), ensure_ascii=False) if task.metadata else None,
    }


def to_task(row: Row) -> Task:
    """Read a task back."""
    blamed = zip(
        row.get("blamed") or (),
        row.get("blamed_steps") or (),
        row.get("blamed_reasons") or (),
        row.get("blamed_scores") or (),
        strict=True,
    )
    return Task(
        id=row["id"],
        team=row["team"],
        query=row["query"],
        context=row.get("context") or "",
        outcome=row["outcome"],
        score=row.get("score"),
        reason=row.get("reason") or "",
        feedback=row.get("feedback") or "",
        error=row.get("error") or "",
        agents=dict(zip(row.get("agents") or (), row.get("roles") or (), strict=True)),
        key_steps=tuple(row.get("key_steps") or ()),
        deeds=to_deeds(row.get("deeds")),
        blame=tuple(Suspect(*suspect) for suspect in blamed),
        cost=Cost(row.get("tokens") or 0, row.get("calls") or 0, row.get("seconds") or 0.0),
        source=row["source"],
        trust=row["trust"],
        started=row["started"],
        ended=row["ended"],
        length=row["length"],
        learned=row["learned"],
        metadata=json.loads(row["metadata"]) if row.get("metadata") else {},
    )


def from_deeds(deeds: Deeds) -> str | None:
    """Give what was done in a task as one text: the driver takes a list in a list of rows far more slowly."""
    full = {"done": dict(deeds.done), "handled": list(deeds.handled), "said": dict(deeds.said)}
    return json.dumps({k: v for k, v in full.items() if v}, ensure_ascii=False) if deeds != Deeds() else None


def to_deeds(text: str | None) -> Deeds:
    """Read what was done in a task back."""
    found = json.loads(text) if text else {}
    return Deeds(found.get("done", {}), tuple(found.get("handled", ())), found.get("said", {}))


def from_interaction(team: str, interaction: Interaction) -> dict[str, Any]:
    """Give the properties of a task's utterances, a list for each property; None for one that none of them has.

    Lists of texts take the driver a fraction of the time that it takes for a map an utterance.

    Returns:
        Those lists, each in the order of the utterances; `uids` is all their names one after the other.
    """
    task, said = interaction.task_id, interaction.utterances
    numbers = [str(u.seq) for u in said]
    columns: dict[str, list[Any] | None] = {
        "agent": [u.agent for u in said],
        "role": [u.role for u in said],
        "kind": [u.kind for u in said],
        "content": [u.content for u in said],
        "to": [list(u.to) or None for u in said],
        "inspired_by": [list(u.inspired_by) or None for u in said],
        "reward": [u.reward for u in said],
        "time": [u.time for u in said],
        "echo": [u.echo or None for u in said],
    }
    for name in ("to", "inspired_by", "reward", "echo"):
        if not any(value is not None for value in columns[name] or ()):
            columns[name] = None
    return {
        "uid": uid(team, "task", task),
        "uids": "".join(digests((team, "utterance", task), numbers)),
        "team": team,
        "task": task,
        **columns,
    }


def to_interaction(task_id: str, rows: Sequence[Row]) -> Interaction:
    """Read an interaction graph back from its utterances in order."""
    return Interaction(
        task_id,
        tuple(
            Utterance(
                row["seq"],
                row["agent"],
                row["role"],
                row["kind"],
                row["content"],
                tuple(row.get("to") or ()),
                tuple(row.get("inspired_by") or ()),
                row.get("reward"),
                row["time"],
                bool(row.get("echo")),
            )
            for row in rows
        ),
    )


def from_insight(insight: Insight) -> dict[str, Any]:
    """Give the properties of an insight; None removes what an earlier version had."""
    return {
        "id": insight.id,
        "team": insight.team,
        "text": insight.text,
        "polarity": insight.polarity,
        "audience": list(insight.audience) or None,
        "state": insight.state,
        "origin": insight.origin,
        "pattern": insight.pattern or None,
        "taught_by_resolved": [resolved for resolved, _ in insight.taught_by] or None,
        "taught_by_failed": [failed for _, failed in insight.taught_by] or None,
        "created": insight.created,
        "updated": insight.updated,
        "version": insight.version,
    }


def to_insight(row: Row) -> Insight:
    """Read an insight back."""
    pairs = zip(row.get("taught_by_resolved") or (), row.get("taught_by_failed") or (), strict=True)
    return Insight(
        id=row["id"],
        team=row["team"],
        text=row["text"],
        polarity=row["polarity"],
        audience=tuple(row.get("audience") or ()),
        state=row["state"],
        origin=row["origin"],
        pattern=row.get("pattern") or "",
        taught_by=tuple(pairs),
        created=row["created"],
        updated=row["updated"],
        version=row["version"],
    )


def from_link(team: str, link: InsightLink) -> dict[str, Any]:
    """Give the properties of a hyper-edge between insights."""
    return {"team": team, "source": link.source, "target": link.target, "via": link.via}


def from_recall(team: str, event: RecallEvent) -> dict[str, Any]:
    """Give the properties of a ledger entry."""
    return {
        "id": event.id,
        "team": team,
        "task": event.task_id,
        "role": event.role,
        "shown": list(event.shown) or None,
        "withheld": list(event.withheld) or None,
        "tokens": event.tokens,
        "time": event.time,
    }


def to_recall(row: Row) -> RecallEvent:
    """Read a ledger entry back."""
    return RecallEvent(
        id=row["id"],
        task_id=row["task"],
        role=row["role"],
        shown=tuple(row.get("shown") or ()),
        withheld=tuple(row.get("withheld") or ()),
        tokens=row["tokens"],
        time=row["time"],
    )


def from_vector(vector: NDArray[np.float32]) -> dict[str, Any]:
    """Give a vector twice: as bytes, which gmem reads back, and as text that the server makes a list of floats from.

    A list of floats is what Neo4j's own vector functions take, but the driver takes a hundred times as long to
    send or fetch one as for bytes.  Nine digits are enough to tell any two float32 numbers apart.
    """
    numbers = vector.tolist()
    return {
        "vector": np.ascontiguousarray(vector, dtype="<f4").tobytes(),
        "embedding": " ".join(["%.9g"] * len(numbers)) % tuple(numbers),
    }


def to_vector(stored: bytes | Sequence[float]) -> NDArray[np.float32]:
    """Read a vector back, bit for bit; one that a gmem of format 1 wrote while others brought it up is a list."""
    if isinstance(stored, (bytes, bytearray)):
        return np.frombuffer(stored, dtype="<f4").astype(np.float32)
    return np.array(stored, dtype=np.float32)
