"""Small deterministic values for tests, and one way to read a whole store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmem.graphs.base import Batch, GraphStore
from gmem.model import Deeds, Insight, Interaction, Model, RecallEvent, Similar, Task, Utterance
from gmem.text import terms

__all__ = [
    "EXAMPLE_MODEL",
    "example_batch",
    "example_insight",
    "example_interaction",
    "example_recall",
    "example_task",
    "example_vector",
    "read_everything",
    "similar",
]

EXAMPLE_MODEL = Model("example", 8)
_ACTIONS = ("take the kettle", "fill the kettle with water", "put the kettle on the stove", "wait", "pour the tea")


def example_task(id: str = "t1", team: str = "team", **changes: Any) -> Task:
    """Make a task; its query follows from its id, and every field can be given another value."""
    fields: dict[str, Any] = {
        "query": f"boil water for {id}",
        "context": "a kitchen with a stove and a kettle",
        "outcome": "resolved",
        "score": 0.75,
        "agents": {"Ada": "planner", "Bob": "actor"},
        "key_steps": (0, 2),
        "deeds": Deeds({"put * on *": 2, "wait": 1}, ("kettle", "water"), {"t\u00e9a": 1}),
        "started": 1000.5,
        "ended": 1060.25,
        "length": 3,
        "metadata": {"level": "1"},
    }
    return Task(id=id, team=team, **{**fields, **changes})


def example_interaction(task_id: str = "t1", length: int = 3) -> Interaction:
    """Make an interaction graph in which a planner and an actor take turns, each inspired by the last."""
    return Interaction(
        task_id,
        tuple(
            Utterance(
                seq=seq,
                agent=("Ada", "Bob")[seq % 2],
                role=("planner", "actor")[seq % 2],
                kind=("message", "action")[seq % 2],
                content=f"{task_id}: {_ACTIONS[seq % len(_ACTIONS)]}",
                to=(("Bob",), ())[seq % 2],
                inspired_by=(seq - 1,) if seq else (),
                reward=(None, 0.5)[seq % 2],
                time=1000.123456 + seq,
            )
            for seq in range(length)
        ),
    )


def example_vector(number: int = 0, dimension: int = EXAMPLE_MODEL.dimension) -> NDArray[np.float32]:
    """Make a unit vector: float32 array (dimension,); another number gives another direction."""
    raw = np.cos(np.arange(1, dimension + 1, dtype=np.float64) * (number + 1))
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float32)


def example_insight(id: str = "i1", team: str = "team", **changes: Any) -> Insight:
    """Make an insight at version 1; every field can be given another value."""
    fields: dict[str, Any] = {
        "text": f"Fill the kettle before you heat it ({id}).",
        "audience": ("actor",),
        "state": "active",
        "pattern": "fill * < put * on *",
        "taught_by": (("t1", "t2"),),
        "created": 1100.0,
        "updated": 1100.0,
    }
    return Insight(id=id, team=team, **{**fields, **changes})


def example_recall(id: str = "r1", task_id: str = "t1", shown: Sequence[str] = ("i1",), **changes: Any) -> RecallEvent:
    """Make a ledger entry; every field can be given another value."""
    fields: dict[str, Any] = {"role": "actor", "tokens": 12, "time": 1200.0}
    return RecallEvent(id=id, task_id=task_id, shown=tuple(shown), **{**fields, **changes})


def example_batch(id: str = "t1", team: str = "team", *, vector: int | None = None, **changes: Any) -> Batch:
    """Make the write of one finished task: the task, its three utterances, and a vector if one is numbered."""
    return Batch(
        team=team,
        op_id=f"task {id}",
        tasks=[example_task(id, team, **changes)],
        interactions=[example_interaction(id)],
        vectors={} if vector is None else {id: example_vector(vector)},
    )


def similar(a: str, b: str, score: float = 0.5) -> Similar:
    """Make an edge of the query graph, whichever way round its ends are given."""
    return Similar(min(a, b), max(a, b), score)


def read_everything(store: GraphStore) -> dict[str, Any]:
    """Read all that a store answers, through its public reads only, so that two stores can be compared."""
    everything: dict[str, Any] = {"embedder": store.embedder(), "teams": store.teams()}
    for team in store.teams():
        ids = store.task_ids(team)
        insights = store.insights(team)
        tasks = store.tasks(team, ids)
        found = store.candidates(team, terms(" ".join(t.query for t in tasks[:3])), None)
        order = [found.rows[id] for id in ids]
        everything[team] = {
            "ids": ids,
            "tasks": tasks,
            "outcomes": {o: store.task_ids(team, outcome=o) for o in ("resolved", "failed", "unknown")},
            "learned": store.task_ids(team, learned=True),
            "interactions": [store.interaction(team, id) for id in ids],
            "insights": insights,
            "active": [i.id for i in store.insights(team, states=["active"])],
            "vectors": {id: v.tobytes() for id, v in store.vectors(team, ids).items()},
            "neighbours": [store.neighbours(team, id) for id in ids],
            "evidence": store.evidence(team),
            "evidence of": [store.evidence(team, task_id=id) for id in ids],
            "evidence about": [store.evidence(team, insight_id=i.id) for i in insights],
            "standing": [store.standing(team, i.id) for i in insights],
            "links": store.links(team),
            "links at": [store.links(team, i.id) for i in insights],
            "recalls": store.recalls(team),
            "recalls of": [store.recalls(team, id) for id in ids],
            "tally": [store.tally(team, id) for id in [*ids, *(i.id for i in insights)]],
            "lexical": [round(float(found.lexical[row]), 4) for row in order],
            "found": [(int(found.outcomes[row]), round(float(found.trust[row]), 4)) for row in order],
            "stats": {k: v for k, v in asdict(store.stats(team)).items() if k != "bytes"},
        }
    return everything
