"""What a batch does to the record: every check that a write must pass, and every trace of what is forgotten.

Nothing here looks at the cache: what is true while writing is what the transaction sees.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gmem import checks
from gmem.errors import EmbedderMismatch, InvalidInput, WriteConflict
from gmem.graphs import codec
from gmem.graphs._cache import OUTCOMES
from gmem.graphs._transaction import Transaction
from gmem.graphs.base import Batch
from gmem.ids import digest, new_id
from gmem.model import Evidence, Insight, Model, RecallEvent, Task

__all__ = ["Records", "carry_out", "check_model", "check_vector", "read_model", "replace_vectors"]

_STATES = ("candidate", "active", "quarantined", "rebuild", "retired")
_POLARITIES = ("do", "avoid")
_MAX_LENGTH = 2**31 - 1


class Records(Protocol):
    """What a batch is carried out on: the records as they stand within one transaction."""

    def begin(self, op_id: str, forgets: bool = False) -> bool: ...

    def meta(self, key: str) -> str | None: ...

    def has(self, kind: str, team: str, id: str) -> bool: ...

    def get(self, kind: str, team: str, id: str) -> bytes | None: ...

    def ids(self, kind: str, team: str) -> list[str]: ...

    def put(self, kind: str, team: str, id: str, body: bytes) -> None: ...

    def delete(self, kind: str, team: str, id: str) -> None: ...


def carry_out(tx: Records, batch: Batch) -> bool:
    """Do what a batch says; False, and nothing done, if a batch of its name was carried out before.

    Raises:
        InvalidInput: Something in it cannot be stored; the transaction must be undone.
        WriteConflict: An insight, or what is said about it, was changed since it was read; likewise.
        EmbedderMismatch: It was embedded by another model than the recorded one; likewise.
    """
    checks.name(batch.team, "the team")
    checks.name(batch.op_id, "the op id")
    forgets = bool(batch.forget_tasks or batch.forget_insights or batch.forget_evidence)
    if not tx.begin(digest(batch.team, batch.op_id), forgets=forgets):
        return False
    try:
        _check_embedder(tx, batch)
        _check_seen(tx, batch)
        _put_nodes(tx, batch)
        _put_edges(tx, batch)
        _forget_evidence(tx, batch.team, set(batch.forget_evidence))
        _forget(tx, batch.team, set(batch.forget_tasks), set(batch.forget_insights))
    except (InvalidInput, WriteConflict, EmbedderMismatch):
        raise
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"write {batch.op_id!r}: a text holds half a surrogate pair at position {error.start}, which is no "
            "character; decode its source with errors='replace'"
        ) from error
    except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise InvalidInput(f"write {batch.op_id!r} holds what cannot be stored: {error}") from error
    return True


def _check_embedder(tx: Records, batch: Batch) -> None:
    """Check that the memory was not moved to another embedding model since a batch was embedded."""
    recorded = read_model(tx.meta("embedder")) if batch.embedder is not None else None
    if batch.embedder is not None and recorded is not None and recorded != batch.embedder:
        raise EmbedderMismatch(
            f"write {batch.op_id!r} was embedded by {batch.embedder.name} ({batch.embedder.dimension} numbers), and "
            f"the memory was moved to {recorded.name} ({recorded.dimension}); open it again, and repeat it"
        )


def _check_seen(tx: Records, batch: Batch) -> None:
    """Check that the evidence about some insights is what the writer of a batch had read."""
    stored: dict[str, list[Evidence]] = {insight: [] for insight in batch.seen}
    for name in tx.ids("evidence", batch.team) if stored else ():
        ends = codec.ends(name)
        if ends[1] in stored and (body := tx.get("evidence", batch.team, name)) is not None:
            stored[ends[1]].append(codec.unpack_evidence(ends, body))
    for insight, seen in batch.seen.items():
        if set(stored[insight]) != set(seen):
            raise WriteConflict(
                f"what is said about insight {insight!r} was changed since it was read; read it again and repeat"
            )


def _put_nodes(tx: Records, batch: Batch) -> None:
    team = batch.team
    _once([t.id for t in batch.tasks], "task")
    _once([i.task_id for i in batch.interactions], "interaction")
    for task in batch.tasks:
        _check_task(task, team)
        tx.put("task", team, task.id, codec.pack_task(task))
    for interaction in batch.interactions:
        _need(tx, team, "task", interaction.task_id)
        tx.put("trace", team, interaction.task_id, codec.pack_interaction(interaction))
    model = read_model(tx.meta("embedder")) if batch.vectors else None
    for task_id, vector in batch.vectors.items():
        _need(tx, team, "task", task_id)
        check_vector(vector, model, f"the vector of task {task_id!r}")
        tx.put("vector", team, task_id, codec.pack_vector(vector))
    for insight in batch.insights:
        _put_insight(tx, team, insight)


def _put_edges(tx: Records, batch: Batch) -> None:
    team = batch.team
    for edge in batch.similar:
        if not edge.a < edge.b:
            raise InvalidInput(f"a similarity joins two tasks, smaller id first, not {edge.a!r} and {edge.b!r}")
        checks.share(edge.score, "the score of a similarity")
        _need(tx, team, "task", edge.a, edge.b)
        tx.put("similar", team, codec.edge_key(edge.a, edge.b), codec.pack_similar(edge))
    for evidence in batch.evidence:
        _need(tx, team, "task", evidence.task_id)
        _need(tx, team, "insight", evidence.insight_id)
        name = codec.edge_key(evidence.task_id, evidence.insight_id)
        tx.put("evidence", team, name, codec.pack_evidence(evidence))
    for link in batch.links:
        _need(tx, team, "insight", link.source, link.target)
        _need(tx, team, "task", link.via)
        tx.put("link", team, codec.edge_key(link.source, link.target, link.via), b"")
    for event in batch.recalls:
        _check_recall(event)
        _need(tx, team, "task", event.task_id)
        tx.put("recall", team, event.id, codec.pack_recall(event))


def _once(ids: Collection[str], what: str) -> None:
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if list(ids).count(i) > 1)
        raise InvalidInput(f"{what} {twice!r} is in the batch twice; write it once")


def _need(tx: Records, team: str, kind: str, *ids: str) -> None:
    for id in ids:
        if not tx.has(kind, team, id):
            raise InvalidInput(f"there is no {kind} {id!r} in team {team!r} to tie anything to; write it first")


def _same_team(given: str, team: str, what: str) -> None:
    if given != team:
        raise InvalidInput(f"{what} is of team {given!r}, and the batch of team {team!r}; use one batch a team")


def _check_task(task: Task, team: str) -> None:
    # A cache that meets what it cannot take would call the file damaged, so it must not get there.
    checks.name(task.id, "the id of a task")
    _same_team(task.team, team, f"task {task.id!r}")
    if not isinstance(task.query, str):
        raise InvalidInput(f"the query of task {task.id!r} must be a str, not {type(task.query).__name__}")
    if task.outcome not in OUTCOMES:
        raise InvalidInput(f"the outcome of task {task.id!r} must be one of {list(OUTCOMES)}, not {task.outcome!r}")
    checks.share(task.trust, f"the trust of task {task.id!r}")
    if not isinstance(task.learned, bool) or not isinstance(task.length, int):
        raise InvalidInput(f"task {task.id!r}: `learned` must be a bool and `length` an int")
    if not 0 <= task.length <= _MAX_LENGTH:
        raise InvalidInput(f"the length of task {task.id!r} must lie between 0 and {_MAX_LENGTH}")


def _check_recall(event: RecallEvent) -> None:
    checks.name(event.id, "the id of a recall")
    checks.number(event.time, f"the time of recall {event.id!r}")
    for item in (*event.shown, *event.withheld):
        checks.name(item, f"an id in recall {event.id!r}")


def _put_insight(tx: Records, team: str, insight: Insight) -> None:
    checks.name(insight.id, "the id of an insight")
    _same_team(insight.team, team, f"insight {insight.id!r}")
    if insight.state not in _STATES or insight.polarity not in _POLARITIES:
        raise InvalidInput(
            f"insight {insight.id!r} has state {insight.state!r} and polarity {insight.polarity!r}; use one of "
            f"{list(_STATES)} and one of {list(_POLARITIES)}"
        )
    stored = tx.get("insight", team, insight.id)
    version = codec.unpack_insight(team, insight.id, stored).version if stored is not None else 0
    if insight.version != version + 1:
        raise WriteConflict(
            f"insight {insight.id!r} is at version {version}, so version {insight.version} cannot follow; "
            "read it again and repeat the change"
        )
    tx.put("insight", team, insight.id, codec.pack_insight(insight))


def _forget_evidence(tx: Records, team: str, tasks: set[str]) -> None:
    """Remove what tasks say about insights; both stay."""
    for name in tx.ids("evidence", team) if tasks else ():
        if codec.ends(name)[0] in tasks:
            tx.delete("evidence", team, name)


def _forget(tx: Records, team: str, tasks: set[str], insights: set[str]) -> None:
    """Remove tasks and insights with every edge and ledger entry that names one of them."""
    if not (tasks or insights):
        return
    for id in sorted(tasks):
        for kind in ("task", "trace", "vector"):
            tx.delete(kind, team, id)
    for id in sorted(insights):
        tx.delete("insight", team, id)
    for name in tx.ids("similar", team):
        if tasks.intersection(codec.ends(name)):
            tx.delete("similar", team, name)
    for name in tx.ids("evidence", team):
        task, insight = codec.ends(name)
        if task in tasks or insight in insights:
            tx.delete("evidence", team, name)
    for name in tx.ids("link", team):
        source, target, via = codec.ends(name)
        if via in tasks or source in insights or target in insights:
            tx.delete("link", team, name)
    gone = tasks | insights
    for id in tx.ids("recall", team):
        event = codec.unpack_recall(id, tx.get("recall", team, id) or b"{}")
        if event.task_id in tasks:
            tx.delete("recall", team, id)
        elif gone.intersection(event.shown) or gone.intersection(event.withheld):
            kept = replace(
                event,
                shown=tuple(i for i in event.shown if i not in gone),
                withheld=tuple(i for i in event.withheld if i not in gone),
            )
            tx.put("recall", team, id, codec.pack_recall(kept))


def replace_vectors(
    tx: Transaction, model: Model | None, vectors: Iterable[tuple[str, str, NDArray[np.float32]]], first: bool
) -> None:
    """Record an embedding model, remove every vector of the old one, and put those given in their place."""
    if first and read_model(tx.meta("embedder")) is not None:
        return
    tx.begin(new_id("embedder"), forgets=True)  # caches hold the old vectors: they must be built anew
    tx.set_meta("embedder", f"{model.dimension} {model.name}" if model else "")
    tx.delete_all("vector")
    for team, id, vector in vectors:
        _need(tx, team, "task", id)
        check_vector(vector, model, f"the vector of task {id!r} of team {team!r}")
        tx.put("vector", team, id, codec.pack_vector(vector))


def read_model(stored: str | None) -> Model | None:
    """Read back which embedding model is recorded; None if there is none."""
    if not stored:
        return None
    dimension, _, name = stored.partition(" ")
    return Model(name, int(dimension))


def check_model(model: Model | None) -> None:
    """Check that an embedding model can be recorded.

    Raises:
        InvalidInput: It has no name, or no dimension.
    """
    if model is not None:
        checks.name(model.name, "the name of the embedding model")
        if not isinstance(model.dimension, int) or model.dimension < 0:
            raise InvalidInput(f"the dimension of {model.name!r} must be 0 or more, not {model.dimension!r}")


def check_vector(vector: NDArray[np.float32], model: Model | None, what: str) -> None:
    """Check that a vector is one of a model's: float32 array (d,), finite, of unit length.

    Raises:
        InvalidInput: It is not, or there is no model.
    """
    if model is None:
        raise InvalidInput(f"{what} is given, but the memory has no embedding model; record one first")
    if vector.shape != (model.dimension,):
        raise InvalidInput(
            f"{what} has shape {vector.shape}; {model.name!r} gives {(model.dimension,)}, so embed it anew"
        )
    length = float(np.linalg.norm(vector))
    if not abs(length - 1.0) < 1e-3:  # written so that NaN fails, too
        raise InvalidInput(
            f"{what} has length {length:g}; only finite vectors of length 1 are kept, so divide it by its own"
        )
