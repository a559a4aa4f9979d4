"""One team's graphs in memory, built from records: what makes the embedded store fast.

Nothing here is the record: the cache can be thrown away and built anew at any time.  Texts of
conversations never enter it.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gmem.graphs import codec
from gmem.graphs.base import Candidates, Standing, Tally
from gmem.graphs.vectors import VectorIndex
from gmem.graphs.words import WordIndex
from gmem.model import Evidence, Insight, InsightLink, RecallEvent, Task
from gmem.text import terms

__all__ = ["TeamCache", "key"]

_OUTCOME = {"resolved": 1, "failed": -1, "unknown": 0}


def key(*ids: str) -> str:
    """Name an edge by its ends; ids hold no space, so the name can be taken apart again."""
    return " ".join(ids)


class TeamCache:
    """The query and insight tiers of one team.

    Attributes:
        query: networkx Graph of task ids; each edge has `score`.
        insight: networkx DiGraph from task ids to insight ids; each edge has `evidence`.
        insights: Insights by id.
    """

    def __init__(self, team: str) -> None:
        self.team = team
        self.query: nx.Graph[str] = nx.Graph()
        self.insight: nx.DiGraph[str] = nx.DiGraph()
        self.insights: dict[str, Insight] = {}
        self.links: dict[str, InsightLink] = {}
        self.recalls: dict[str, RecallEvent] = {}
        self.recalls_of: dict[str, list[str]] = {}
        self.utterances = 0
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._outcome: array[int] = array("b")
        self._learned: array[int] = array("b")
        self._trust: array[float] = array("f")
        self._length: array[int] = array("I")
        self._words = WordIndex()
        self._vectors = VectorIndex()
        self._standing: dict[str, list[int]] = {}
        self._shown_in: dict[str, set[str]] = {}
        self._withheld_in: dict[str, set[str]] = {}

    # --- building -----------------------------------------------------------------------------

    def apply(self, kind: str, id: str, body: bytes) -> None:
        """Take in one record, new or replaced."""
        if kind == "task":
            self._put_task(codec.unpack_task(self.team, id, body))
        elif kind == "vector":
            self._vectors.set(self._row[id], codec.unpack_vector(body))
        elif kind == "similar":
            edge = codec.unpack_similar(id.split(" "), body)
            self.query.add_edge(edge.a, edge.b, score=edge.score)
        elif kind == "insight":
            self.insights[id] = codec.unpack_insight(self.team, id, body)
        elif kind == "evidence":
            self._put_evidence(codec.unpack_evidence(id.split(" "), body))
        elif kind == "link":
            self.links[id] = codec.unpack_link(id.split(" "))
        elif kind == "recall":
            self._put_recall(codec.unpack_recall(id, body))

    def _put_task(self, task: Task) -> None:
        row = self._row.get(task.id)
        if row is None:
            self._row[task.id] = len(self._ids)
            self._ids.append(task.id)
            self._words.add(terms(task.query))
            self._vectors.add(None)
            self._outcome.append(_OUTCOME[task.outcome])
            self._learned.append(task.learned)
            self._trust.append(task.trust)
            self._length.append(task.length)
            self.utterances += task.length
        else:
            self.utterances += task.length - self._length[row]
            self._outcome[row] = _OUTCOME[task.outcome]
            self._learned[row] = task.learned
            self._trust[row] = task.trust
            self._length[row] = task.length

    def _put_evidence(self, evidence: Evidence) -> None:
        ends = (evidence.task_id, evidence.insight_id)
        counts = self._standing.setdefault(evidence.insight_id, [0, 0, 0, 0])
        if self.insight.has_edge(*ends):
            old: Evidence = self.insight.edges[ends]["evidence"]
            counts[0 if old.resolved else 2] -= 1
            counts[1 if old.resolved else 3] -= old.followed
        counts[0 if evidence.resolved else 2] += 1
        counts[1 if evidence.resolved else 3] += evidence.followed
        self.insight.add_edge(*ends, evidence=evidence)

    def _put_recall(self, event: RecallEvent) -> None:
        if event.id in self.recalls:
            return
        self.recalls[event.id] = event
        self.recalls_of.setdefault(event.task_id, []).append(event.id)
        for ids, index in ((event.shown, self._shown_in), (event.withheld, self._withheld_in)):
            for item in ids:
                index.setdefault(item, set()).add(event.task_id)

    # --- reading ------------------------------------------------------------------------------

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._row

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def with_vector(self) -> int:
        """How many tasks have a vector."""
        return self._vectors.filled

    def task_ids(self, outcome: int | None, learned: bool | None) -> list[str]:
        """Give the ids in the order in which the tasks came, filtered."""
        return [
            id
            for row, id in enumerate(self._ids)
            if (outcome is None or self._outcome[row] == outcome)
            and (learned is None or bool(self._learned[row]) == learned)
        ]

    def count(self, outcome: int) -> int:
        """Count the tasks with an outcome."""
        return self._outcome.count(outcome)

    def unlearned(self) -> int:
        """Count the tasks that nothing has been learned from yet."""
        return self._learned.count(0)

    def candidates(self, query: Mapping[str, int], vector: NDArray[np.float32] | None) -> Candidates:
        """Compare a query with every task; copies, so that later writes do not change the answer."""
        n = len(self._ids)
        compare = vector is not None and self._vectors.filled > 0
        return Candidates(
            ids=tuple(self._ids),
            rows=self._row,  # only ever added to, so it stays true of the rows above
            dense=self._vectors.scores(vector)
            if compare and vector is not None
            else np.zeros(n, dtype=np.float32),
            lexical=self._words.scores(query),
            outcomes=np.array(self._outcome, dtype=np.int8),
            trust=np.array(self._trust, dtype=np.float32),
            has_dense=compare,
        )

    def vector(self, task_id: str) -> NDArray[np.float32] | None:
        """Give the embedding of a task, if it has one."""
        row = self._row.get(task_id)
        return None if row is None else self._vectors.get(row)

    def evidence(self, task_id: str, insight_id: str) -> list[Evidence]:
        """Give the evidence of a task or about an insight, by (task id, insight id)."""
        if task_id:
            edges = self.insight.out_edges(task_id, data=True) if task_id in self.insight else ()
        elif insight_id:
            edges = self.insight.in_edges(insight_id, data=True) if insight_id in self.insight else ()
        else:
            edges = self.insight.edges(data=True)
        found: list[Evidence] = [data["evidence"] for _, _, data in edges]
        if task_id and insight_id:
            found = [e for e in found if e.insight_id == insight_id]
        return sorted(found, key=lambda e: (e.task_id, e.insight_id))

    def standing(self, insight_id: str) -> Standing:
        """Count the evidence about an insight."""
        return Standing(*self._standing.get(insight_id, ()))

    def tally(self, item_id: str) -> Tally:
        """Count how the runs went that were shown an item, and those from which it was withheld."""
        counts = []
        for index in (self._shown_in, self._withheld_in):
            outcomes = [self._outcome[self._row[t]] for t in index.get(item_id, ()) if t in self._row]
            counts += [sum(o != 0 for o in outcomes), sum(o > 0 for o in outcomes)]
        return Tally(*counts)
