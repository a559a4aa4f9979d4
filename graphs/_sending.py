"""From a staged write to the rows of the statements that carry it out; pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gmem.graphs import _cypher, _rows, codec
from gmem.graphs._rows import uid
from gmem.graphs._staging import Key, Staged
from gmem.model import Model

__all__ = ["SLICE", "forgotten", "named", "nothing", "numbered", "slices"]

SLICE = 500
"""Most rows of one list in one statement."""
TRACES = 50
"""Most interaction graphs of one statement; each holds many nodes."""
LISTS = (
    "tasks", "vectors", "traces", "insights", "similar", "supports", "contradicts", "links", "recalls", "teams", "ops",
)  # fmt: skip
"""What `_cypher.PUT` takes, in the order in which it writes."""
Rows = list[dict[str, Any]]
Puts = Mapping[str, Sequence[tuple[str, str, bytes]]]
"""Team, id and body of each record that is written, by kind."""


def nothing() -> dict[str, list[Any]]:
    """Give the lists of a write that writes nothing."""
    return {name: [] for name in LISTS}


def named(model: Model | None) -> dict[str, Any]:
    """Give an embedding model as `_cypher.SET_EMBEDDER` takes it."""
    return {"name": None, "dimension": None} if model is None else {"name": model.name, "dimension": model.dimension}


def numbered(staged: Staged) -> list[Key]:
    """Give the tasks that are new, in the order in which they are numbered."""
    return [
        key
        for key, body in staged.values.items()
        if key[0] == "task" and body is not None and (key in staged.dead or not staged.stored(key))
    ]


def forgotten(staged: Staged) -> Iterator[tuple[str, list[Any]]]:
    """Give the statements that remove something, each with the names of the nodes that go, or that stay without the
    edge between them; all other edges go with their ends."""
    said = sorted(ends for k, team, id in staged.dead if k == "evidence" and (ends := _parted(staged, team, id)))
    for start in range(0, len(said), SLICE):
        yield _cypher.FORGET_EVIDENCE, said[start : start + SLICE]
    for kind, statement in (
        ("task", _cypher.FORGET_TASKS),
        ("insight", _cypher.FORGET_INSIGHTS),
        ("link", _cypher.FORGET_LINKS),
        ("recall", _cypher.FORGET_RECALLS),
    ):
        uids = sorted(uid(team, k, *codec.ends(id)) for k, team, id in staged.dead if k == kind)
        for start in range(0, len(uids), SLICE):
            yield statement, uids[start : start + SLICE]


def _parted(staged: Staged, team: str, id: str) -> list[str]:
    """Name the ends of evidence that was removed, if both stay."""
    task, insight = codec.ends(id)
    if ("task", team, task) in staged.dead or ("insight", team, insight) in staged.dead:
        return []
    return [uid(team, "task", task), uid(team, "insight", insight)]


def slices(staged: Staged, seq: int, number: int) -> Iterator[dict[str, list[Any]]]:
    """Give the lists of a write, cut to sizes that a server takes well; nodes come before what ties them.

    Args:
        staged: The write.
        seq: Its number, stamped on all that it writes.
        number: How many tasks were ever written before it.
    """
    new = {key: number + place for place, key in enumerate(numbered(staged), 1)}
    puts: dict[str, list[tuple[str, str, bytes]]] = {}
    for (kind, team, id), body in staged.values.items():
        if body is not None:
            puts.setdefault(kind, []).append((team, id, body))
    lists: dict[str, list[Any]] = {**_nodes(puts, new, seq), **_edges(puts, seq)}
    for rows in lists.values():  # one order for all clients
        rows.sort(key=_order)
    lists["teams"] = [
        {"uid": uid(team, "team"), "team": team, "forgets": gone} for team, gone in sorted(staged.teams.items())
    ]
    lists["ops"] = sorted(staged.ops)
    part = nothing()
    for name in LISTS:
        size = TRACES if name == "traces" else SLICE
        for start in range(0, len(lists[name]), size):
            if part[name]:  # this list goes on, so what was collected is sent first
                yield part
                part = nothing()
            part[name] = lists[name][start : start + size]
    yield part


def _order(row: Any) -> Any:
    return row if isinstance(row, list) else (row.get("uid", ""), row.get("a", ""), row.get("b", ""))


def _nodes(puts: Puts, new: dict[Key, int], seq: int) -> dict[str, list[Any]]:
    tasks: Rows = []
    for team, id, body in puts.get("task", ()):
        values = {**_rows.from_task(codec.unpack_task(team, id, body)), "written": seq}
        if ("task", team, id) in new:  # nothing is there that would have to go
            values = {name: value for name, value in values.items() if value is not None}
            values["number"] = new["task", team, id]
        tasks.append({"uid": uid(team, "task", id), "values": values})
    vectors = [
        {"uid": uid(team, "task", id), "team": team, **_rows.from_vector(codec.unpack_vector(body))}
        for team, id, body in puts.get("vector", ())
    ]
    traces = [
        _rows.from_interaction(team, codec.unpack_interaction(id, body)) for team, id, body in puts.get("trace", ())
    ]
    insights = [
        {
            "uid": uid(team, "insight", id),
            "values": {**_rows.from_insight(codec.unpack_insight(team, id, body)), "written": seq},
        }
        for team, id, body in puts.get("insight", ())
    ]
    return {"tasks": tasks, "vectors": vectors, "traces": traces, "insights": insights}


def _edges(puts: Puts, seq: int) -> dict[str, list[Any]]:
    similar: list[list[Any]] = []  # without names for what is in them, since there are many
    for team, id, body in puts.get("similar", ()):
        edge = codec.unpack_similar(codec.ends(id), body)
        similar.append([team, uid(team, "task", edge.a), uid(team, "task", edge.b), edge.score])
    evidence: dict[str, Rows] = {"SUPPORTS": [], "CONTRADICTS": []}
    for team, id, body in puts.get("evidence", ()):
        said = codec.unpack_evidence(codec.ends(id), body)
        ends = _ends(team, "task", said.task_id, "insight", said.insight_id)
        evidence[said.type].append({**ends, "followed": said.followed, "resolved": said.resolved})
    links: Rows = []
    for team, id, _ in puts.get("link", ()):
        link = codec.unpack_link(codec.ends(id))
        links.append(
            {
                **_ends(team, "insight", link.source, "insight", link.target),
                "uid": uid(team, "link", link.source, link.target, link.via),
                "via": uid(team, "task", link.via),
                "values": {**_rows.from_link(team, link), "written": seq},
            }
        )
    recalls: Rows = []
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
        recalls.append(row)
    supports, contradicts = evidence["SUPPORTS"], evidence["CONTRADICTS"]
    return {
        "similar": similar, "supports": supports, "contradicts": contradicts, "links": links, "recalls": recalls,
    }  # fmt: skip


def _ends(team: str, kind_a: str, a: str, kind_b: str, b: str) -> dict[str, Any]:
    return {"team": team, "a": uid(team, kind_a, a), "b": uid(team, kind_b, b)}


def _items(team: str, ids: Sequence[str]) -> list[dict[str, str]]:
    """Name what a ledger entry lists: each may be an insight, a task, both or nothing any more."""
    return [{"insight": uid(team, "insight", i), "task": uid(team, "task", i)} for i in dict.fromkeys(ids)]
