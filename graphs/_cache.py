"""One team's graphs in memory, built from records: what makes the embedded store fast.

Nothing here is the record: the cache can be thrown away and built anew at any time.  Texts of
conversations never enter it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from gmem.graphs import codec
from gmem.graphs.base import TRUST, Candidates, Standing, Tally, Voice, Work
from gmem.graphs.learned import heard, mixed
from gmem.graphs.talk import TalkIndex
from gmem.graphs.vectors import VectorIndex
from gmem.graphs.words import Rows, WordIndex
from gmem.graphs.work import WorkIndex
from gmem.model import Evidence, Insight, InsightLink, RecallEvent, Similar, Task
from gmem.text import words

__all__ = ["OUTCOMES", "TeamCache"]

Number = TypeVar("Number", np.int8, np.float32)
OUTCOMES = {"resolved": 1, "failed": -1, "unknown": 0}


class _First(Sequence[str]):
    """The first n entries of a list that only grows, without copying them."""

    def __init__(self, entries: list[str]) -> None:
        self._entries = entries
        self._places = range(len(entries))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self._entries[place] for place in self._places[at]]
        return self._entries[self._places[at]]


class TeamCache:
    """The query and insight tiers of one team.

    Attributes:
        query: networkx Graph of task ids; each edge has `score`.
        insight: networkx DiGraph from task ids to insight ids; each edge has `said`, what
            the task says in one number: an object for each would keep the garbage collector busy.
        insights: Insights by id.
    """

    def __init__(self, team: str) -> None:
        self.team = team
        import networkx as nx  # here, since importing it takes longer than importing all the rest of gmem

        self.query: nx.Graph[str] = nx.Graph()
        self.insight: nx.DiGraph[str] = nx.DiGraph()
        self.insights: dict[str, Insight] = {}
        self.links: dict[str, InsightLink] = {}
        self.recalls: dict[str, RecallEvent] = {}
        self.utterances = 0
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._outcome: array[int] = array("b")
        self._learned: array[int] = array("b")
        self._trust: array[float] = array("f")
        self._length: array[int] = array("I")
        self._source: list[str] = []
        self._confirmed: set[str] = set()
        self._words = WordIndex()
        self._talk = TalkIndex()
        self._vectors = VectorIndex()
        self._work = WorkIndex(self._vectors)
        self._standing: dict[str, list[int]] = {}
        self._voices: dict[str, dict[str, list[int]]] = {}
        self._query: array[int] = array("q")
        self._links_at: dict[str, set[str]] = {}
        self._recalls_of: dict[str, set[str]] = {}
        self._shown_in: dict[str, set[str]] = {}
        self._withheld_in: dict[str, set[str]] = {}

    # --- building -----------------------------------------------------------------------------

    def apply(self, kind: str, id: str, body: bytes) -> None:
        """Take in one record, new or replaced."""
        if kind == "task":
            self.put_task(codec.unpack_task(self.team, id, body))
        elif kind == "vector":
            self.put_vector(id, codec.unpack_vector(body))
        elif kind == "similar":
            self.put_similar(codec.unpack_similar(codec.ends(id), body))
        elif kind == "insight":
            self.put_insight(codec.unpack_insight(self.team, id, body))
        elif kind == "evidence":
            self.put_evidence(codec.unpack_evidence(codec.ends(id), body))
        elif kind == "link":
            self.put_link(codec.unpack_link(codec.ends(id)))
        elif kind == "recall":
            self.put_recall(codec.unpack_recall(id, body))

    def put_vector(self, task_id: str, vector: NDArray[np.float32]) -> None:
        """Take in the embedding of a task that is there."""
        self._vectors.set(self._row[task_id], vector)
        self._work.embedded(self._row[task_id])

    def put_similar(self, edge: Similar) -> None:
        """Take in an edge of the query graph, new or replaced."""
        self.query.add_edge(edge.a, edge.b, score=edge.score)

    def put_insight(self, insight: Insight) -> None:
        """Take in an insight, new or replaced."""
        self.insights[insight.id] = insight

    def put_link(self, link: InsightLink) -> None:
        """Take in a hyper-edge."""
        name = codec.edge_key(link.source, link.target, link.via)
        self.links[name] = link
        self._links_at.setdefault(link.source, set()).add(name)
        self._links_at.setdefault(link.target, set()).add(name)

    def put_task(self, task: Task) -> None:
        """Take in a task, new or replaced; of its texts only the query is looked at."""
        (self._confirmed.add if task.confirmed else self._confirmed.discard)(task.id)
        row = self._row.get(task.id)
        place = len(self._ids) if row is None else row
        self._talk.put(place, task.deeds.said)
        asked = words(task.query)
        self._work.put(place, task.id, asked, task.deeds, task.outcome, task.trust)
        if row is None:
            self._row[task.id] = len(self._ids)
            self._ids.append(task.id)
            self._words.add(dict(Counter(asked)))
            self._query.append(hash(task.query))
            self._vectors.add(None)
            self._outcome.append(OUTCOMES[task.outcome])
            self._learned.append(task.learned)
            self._trust.append(task.trust)
            self._length.append(task.length)
            self._source.append(intern(task.source))
            self.utterances += task.length
        else:
            if self._query[row] != hash(task.query):
                self._query[row] = hash(task.query)
                self._words.replace(row, dict(Counter(asked)))
            self.utterances += task.length - self._length[row]
            self._outcome[row] = OUTCOMES[task.outcome]
            self._learned[row] = task.learned
            said = self.evidence(task.id, "") if self._origin(row) != (task.source, _weight(task.trust)) else []
            for evidence in said:
                self._count(evidence, -1)
            self._trust[row] = task.trust
            self._source[row] = intern(task.source)
            for evidence in said:
                self._count(evidence, 1)
            self._length[row] = task.length

    def put_evidence(self, evidence: Evidence) -> None:
        """Take in what a task says about an insight, new or replaced."""
        ends = (evidence.task_id, evidence.insight_id)
        if self.insight.has_edge(*ends):
            self._count(_evidence(*ends, self.insight.edges[ends]["said"]), -1)
        self._count(evidence, 1)
        self.insight.add_edge(*ends, said=2 * evidence.followed + evidence.resolved)

    def _count(self, evidence: Evidence, sign: int) -> None:
        """Count evidence, or take it out of the counts again."""
        row = self._row.get(evidence.task_id)
        source, weight = ("", 0) if row is None else self._origin(row)  # `check` reads damaged stores, too
        counts = self._standing.setdefault(evidence.insight_id, [0, 0, 0, 0])
        voice = self._voices.setdefault(evidence.insight_id, {}).setdefault(source, [0, 0, 0, 0])
        for each, amount in ((counts, sign), (voice, sign * weight)):
            each[0 if evidence.resolved else 2] += amount
            each[1 if evidence.resolved else 3] += amount * evidence.followed

    def _origin(self, row: int) -> tuple[str, int]:
        return self._source[row], _weight(self._trust[row])

    def put_recall(self, event: RecallEvent) -> None:
        """Take in a ledger entry, new or replaced."""
        if (old := self.recalls.get(event.id)) is not None:
            for index, item in self._places(old):
                index[item].discard(old.id)
        self.recalls[event.id] = event
        for index, item in self._places(event):
            index.setdefault(item, set()).add(event.id)

    def _places(self, event: RecallEvent) -> Iterator[tuple[dict[str, set[str]], str]]:
        """Give each index that leads to a ledger entry, and the id under which it stands there."""
        yield self._recalls_of, event.task_id
        for item in event.shown:
            yield self._shown_in, item
        for item in event.withheld:
            yield self._withheld_in, item

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

    def confirmed(self) -> list[str]:
        """Give the failed tasks for which a person blamed somebody, sorted."""
        return sorted(self._confirmed)

    def wordings(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Give the words of the texts of those of the tasks that are there, cut off after so many."""
        return {id: self._work.wording(self._row[id]) for id in ids if id in self._row}

    def origins(self, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
        """Give source and trust of those of the tasks that are there."""
        rows = {id: self._row[id] for id in ids if id in self._row}
        return {id: (self._source[row], self._origin(row)[1] / TRUST) for id, row in rows.items()}

    def done(self, ids: Sequence[str]) -> dict[str, NDArray[np.uint32]]:
        """Give numbers of what was done in those of the tasks that are there."""
        return {id: self._work.done(self._row[id]) for id in ids if id in self._row}

    def count(self, outcome: int) -> int:
        """Count the tasks with an outcome."""
        return self._outcome.count(outcome)

    def unlearned(self) -> int:
        """Count the tasks that nothing has been learned from yet."""
        return self._learned.count(0)

    def candidates(
        self,
        query: Mapping[str, int],
        vector: NDArray[np.float32] | None,
        words: Sequence[str] = (),
        among: Sequence[str] | None = None,
    ) -> Candidates:
        """Compare a query with every task, or with some; later writes do not change the answer."""
        rows = None
        if among is not None:
            rows = np.array(sorted({self._row[id] for id in among if id in self._row}), dtype=np.uint32)
        ids = _First(self._ids) if rows is None else [self._ids[row] for row in rows.tolist()]
        compare = vector is not None and self._vectors.filled > 0
        asked = self._work.ask(words, rows)
        lexical, telling, known = self._words.both_scores(query, asked.telling if asked else (), rows)
        work: Work | None = None
        if asked is not None:
            alike = mixed(asked.done, telling, asked.proven)
            known = float(heard(np.array(known)))
            work = Work(alike, asked.share * known, tuple(sorted(asked.telling)), asked.expected, known, asked.cosine)
        return Candidates(
            ids=ids,
            # That of all is only ever added to, so it stays true of the ids above.
            rows=self._row if rows is None else {id: place for place, id in enumerate(ids)},
            dense=self._vectors.scores(vector, rows)
            if compare and vector is not None
            else np.zeros(len(ids), dtype=np.float32),
            lexical=lexical,
            talk=self._talk.scores(query, rows),
            work=work,
            outcomes=_picked(np.array(self._outcome, dtype=np.int8), rows),
            trust=_picked(np.array(self._trust, dtype=np.float32), rows),
            has_dense=compare,
            age=_picked(np.arange(len(self._ids) - 1, -1, -1, dtype=np.float32), rows),
        )

    def vector(self, task_id: str) -> NDArray[np.float32] | None:
        """Give the embedding of a task, if it has one."""
        row = self._row.get(task_id)
        return None if row is None else self._vectors.get(row)

    def similar(self) -> list[Similar]:
        """Give every edge of the query graph, by its ends."""
        edges = sorted((min(a, b), max(a, b)) for a, b in self.query.edges)
        return [Similar(a, b, self.query.edges[a, b]["score"]) for a, b in edges]

    def evidence(self, task_id: str, insight_id: str) -> list[Evidence]:
        """Give the evidence of a task or about an insight, by (task id, insight id)."""
        if task_id:
            about = self.insight.adj[task_id].items() if task_id in self.insight else ()
            found = [_evidence(task_id, insight, edge["said"]) for insight, edge in about]
        elif insight_id:
            by = self.insight.pred[insight_id].items() if insight_id in self.insight else ()
            found = [_evidence(task, insight_id, edge["said"]) for task, edge in by]
        else:
            edges: Iterable[tuple[str, str, int]] = self.insight.edges(data="said")
            found = [_evidence(task, insight, said) for task, insight, said in edges]
        if task_id and insight_id:
            found = [e for e in found if e.insight_id == insight_id]
        return sorted(found, key=lambda e: (e.task_id, e.insight_id))

    def standing(self, insight_id: str) -> Standing:
        """Count the evidence about an insight."""
        voices = self._voices.get(insight_id, {})
        a, b, c, d = self._standing.get(insight_id, (0, 0, 0, 0))
        heard = tuple(Voice(source, *voices[source]) for source in sorted(voices) if any(voices[source]))
        return Standing(a, b, c, d, heard)

    def links_at(self, insight_id: str) -> list[InsightLink]:
        """Give the hyper-edges at an insight, or all, by (source, target, via)."""
        names = self._links_at.get(insight_id, set()) if insight_id else self.links
        return sorted((self.links[n] for n in names), key=lambda x: (x.source, x.target, x.via))

    def recalls_of(self, task_id: str) -> list[RecallEvent]:
        """Give the ledger entries of a run, or all, by (time, id)."""
        names = self._recalls_of.get(task_id, set()) if task_id else self.recalls
        return sorted((self.recalls[n] for n in names), key=lambda e: (e.time, e.id))

    def tally(self, item_id: str) -> Tally:
        """Count how the runs went that were shown an item, and those from which it was withheld."""
        shown, withheld = (
            {self.recalls[e].task_id for e in index.get(item_id, ())} for index in (self._shown_in, self._withheld_in)
        )
        counts = []
        for runs in (shown, withheld - shown):  # who saw it once is no control, whatever was kept back later
            outcomes = [self._outcome[self._row[run]] for run in runs if run in self._row]
            counts += [sum(o != 0 for o in outcomes), sum(o > 0 for o in outcomes)]
        return Tally(*counts)


def _picked(values: NDArray[Number], rows: Rows | None) -> NDArray[Number]:
    return values if rows is None else values[rows]


def _evidence(task_id: str, insight_id: str, said: int) -> Evidence:
    return Evidence(task_id, insight_id, bool(said & 2), bool(said & 1))


def _weight(trust: float) -> int:
    return round(trust * TRUST)
