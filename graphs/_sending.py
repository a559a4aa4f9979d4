"""From a staged write to the rows of the statements that carry it out; pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gmem.graphs import _cypher, _rows, codec
from gmem.graphs._rows import uid
from gmem.graphs._staging import Key, Staged

__all__ = ["SLICE", "Step", "numbered", "steps"]

SLICE = 500
"""Most rows of one statement."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement with its parameters.

    Attributes:
        statement: One of `gmem.graphs._cypher`.
        parameters: What is bound.
        count: How many things it must report; None if it reports nothing.
    """

    statement: str
    parameters: dict[str, Any]
    count: int | None = None


def numbered(staged: Staged) -> list[Key]:
    """Give the tasks that are new, in the order in which they are numbered."""
    return [
        key
        for key, body in staged.values.items()
        if key[0] == "task" and body is not None and (key in staged.dead or not staged.stored(key))
    ]


def steps(staged: Staged, seq: int, number: int) -> Iterator[Step]:
    """Give the statements of a write, in their order: first what goes, then nodes, then edges.

    Args:
        staged: The write.
        seq: Its number, stamped on all that it writes.
        number: How many tasks were ever written before it.
    """
    yield from _forgetting(staged)
    new = {key: number + place for place, key in enumerate(numbered(staged), 1)}
    puts: dict[str, list[tuple[str, str, bytes]]] = {}
    for (kind, team, id), body in staged.values.items():
        if body is not None:
            puts.setdefault(kind, []).append((team, id, body))
    yield from _nodes(puts, new, seq)
    yield from _edges(puts, seq)


def _forgetting(staged: Staged) -> Iterator[Step]:
    for kind, statement in (
        ("task", _cypher.FORGET_TASKS),
        ("insight", _cypher.FORGET_INSIGHTS),
        ("link", _cypher.FORGET_LINKS),
        ("recall", _cypher.FORGET_RECALLS),
    ):
        uids = sorted(uid(team, k, *codec.ends(id)) for k, team, id in staged.dead if k == kind)
        for part in _sliced(uids):
            yield Step(statement, {"uids": part})


def _nodes(puts: dict[str, list[tuple[str, str, bytes]]], new: dict[Key, int], seq: int) -> Iterator[Step]:
    vectors = {(team, id): codec.unpack_vector(body) for team, id, body in puts.get("vector", ())}
    rows: Rows = []
    for team, id, body in puts.get("task", ()):
        name = uid(team, "task", id)
        values = {**_rows.from_task(codec.unpack_task(team, id, body)), "written": seq}
        if ("task", team, id) in new:
            values["number"] = new["task", team, id]
        if (team, id) in vectors:
            values["embedding"] = _rows.from_vector(vectors.pop((team, id)))
        rows.append({"uid": name, "values": values})
    yield from _put(_cypher.PUT_TASKS, rows)
    yield from _put(
        _cypher.PUT_VECTORS,
        [
            {"uid": uid(team, "task", id), "team": team, "embedding": _rows.from_vector(vector), "written": seq}
            for (team, id), vector in vectors.items()
        ],
    )
    rows = []
    for team, id, body in puts.get("trace", ()):
        interaction = codec.unpack_interaction(id, body)
        said = _rows.from_interaction(team, interaction)
        row = {"uid": uid(team, "task", id), "team": team, "said": said, "inspired": _rows.inspired(interaction)}
        rows.append(row)
    yield from _put(_cypher.PUT_TRACES, rows, SLICE // 10)
    rows = [
        {
            "uid": uid(team, "insight", id),
            "values": {**_rows.from_insight(codec.unpack_insight(team, id, body)), "written": seq},
        }
        for team, id, body in puts.get("insight", ())
    ]
    yield from _put(_cypher.PUT_INSIGHTS, rows)


def _edges(puts: dict[str, list[tuple[str, str, bytes]]], seq: int) -> Iterator[Step]:
    rows: Rows = []
    for team, id, body in puts.get("similar", ()):
        edge = codec.unpack_similar(codec.ends(id), body)
        rows.append({**_ends(team, "task", edge.a, "task", edge.b), "score": edge.score, "written": seq})
    yield from _put(_cypher.PUT_SIMILAR, rows)
    both: dict[str, Rows] = {_cypher.PUT_SUPPORTS: [], _cypher.PUT_CONTRADICTS: []}
    for team, id, body in puts.get("evidence", ()):
        said = codec.unpack_evidence(codec.ends(id), body)
        statement = _cypher.PUT_SUPPORTS if said.type == "SUPPORTS" else _cypher.PUT_CONTRADICTS
        both[statement].append(
            {
                **_ends(team, "task", said.task_id, "insight", said.insight_id),
                "followed": said.followed,
                "resolved": said.resolved,
                "written": seq,
            }
        )
    for statement, rows in both.items():
        yield from _put(statement, rows)
    rows = []
    for team, id, _ in puts.get("link", ()):
        link = codec.unpack_link(codec.ends(id))
        rows.append(
            {
                **_ends(team, "insight", link.source, "insight", link.target),
                "uid": uid(team, "link", link.source, link.target, link.via),
                "via": uid(team, "task", link.via),
                "values": {**_rows.from_link(team, link), "written": seq},
            }
        )
    yield from _put(_cypher.PUT_LINKS, rows)
    rows = []
    for team, id, body in puts.get("recall", ()):
        event = codec.unpack_recall(id, body)
        row = {
            "uid": uid(team, "recall", id),
            "team": team,
            "task": uid(team, "task", event.task_id),
            "shown": _items(team, event.shown),
            "withheld": _items(team, event.withheld),
            "values": {**_rows.from_recall(team, event), "written": seq},
        }
        rows.append(row)
    yield from _put(_cypher.PUT_RECALLS, rows)


def _ends(team: str, kind_a: str, a: str, kind_b: str, b: str) -> dict[str, Any]:
    return {"team": team, "a": uid(team, kind_a, a), "b": uid(team, kind_b, b)}


def _items(team: str, ids: Sequence[str]) -> list[dict[str, str]]:
    """Name what a ledger entry lists: each may be an insight, a task, both or nothing any more."""
    return [{"insight": uid(team, "insight", i), "task": uid(team, "task", i)} for i in dict.fromkeys(ids)]


def _put(statement: str, rows: Rows, size: int = SLICE) -> Iterator[Step]:
    rows.sort(key=lambda row: (row.get("uid", ""), row.get("a", ""), row.get("b", "")))  # one order for all clients
    for part in _sliced(rows, size):
        yield Step(statement, {"rows": part}, len(part))


def _sliced(things: list[Any], size: int = SLICE) -> Iterator[list[Any]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]
