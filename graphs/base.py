"""The `GraphStore` contract: what a backend keeps, and the order in which it gives it back.

A store keeps the three tiers of every team, yields candidates and walks edges.  It ranks nothing:
ranking is the engine's (`gmem.recall`), the same for all stores.

Promises of every store, checked by `gmem.testing.GraphStoreConformance`:

* One `write` is one transaction: when it returns, everything in it survives the death of this
  process and is seen by every other one; if it raises, nothing of it is there.
* A batch whose `op_id` was already written changes nothing, so every write can be repeated.
* Every read and every edge belongs to one team; no call can reach another team's data.
* Where a list is returned, its order is stated, and ties are broken by id, so that two stores with
  the same content give the same answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gmem.errors import UnknownId
from gmem.graphs.work import MOST_WORDS, columns
from gmem.model import (
    Evidence,
    Insight,
    InsightLink,
    InsightState,
    Interaction,
    Model,
    Outcome,
    RecallEvent,
    Similar,
    Task,
)
from gmem.text import words

__all__ = ["TRUST", "Batch", "Candidates", "GraphStore", "Standing", "Tally", "TeamStats", "Voice", "Work"]

FloatArray = NDArray[np.float32]
TRUST = 1000
"""A run that is trusted fully, in voices: trust is summed in whole thousandths, so that no order gives another sum."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one write does, for one team.

    Attributes:
        team: The namespace that all of it belongs to.
        op_id: Name of the write; within a team, the same name is carried out once.
        tasks: Tasks to add or replace, each at most once; a replaced one keeps its place in the order.
        interactions: Interaction graphs to add or replace; their tasks must exist or be in `tasks`.
        vectors: Embedding of a task's query, by task id: float32 array (d,), unit length.
        similar: Edges of the query graph to add or replace.
        insights: Insights to add (version 1) or replace (version one above the stored one).
        evidence: Edges from tasks to insights to add or replace.
        links: Hyper-edges between insights to add.
        recalls: Ledger entries to add or replace.
        forget_tasks: Ids of tasks to remove, after all else was done, with all that hangs on them (in the
            ledger, entries of their runs go and other entries lose the id); unknown ids are passed over.
        forget_insights: Ids of insights to remove with all that hangs on them; likewise.
        forget_evidence: Ids of tasks that no longer say anything about any insight: their evidence is
            removed, that of this batch included, and nothing else; likewise.
        seen: All evidence about an insight as it was read, by insight id; where it is not so any more, the
            write is refused as a conflict.  Whoever removes an insight, or moves its evidence, says so here.
        embedder: The embedding model that the tasks were embedded by; where another one is recorded, the
            write is refused.  None where there is nothing to check.
    """

    team: str
    op_id: str
    tasks: Sequence[Task] = ()
    interactions: Sequence[Interaction] = ()
    vectors: Mapping[str, FloatArray] = field(default_factory=dict)
    similar: Sequence[Similar] = ()
    insights: Sequence[Insight] = ()
    evidence: Sequence[Evidence] = ()
    links: Sequence[InsightLink] = ()
    recalls: Sequence[RecallEvent] = ()
    forget_tasks: Sequence[str] = ()
    forget_insights: Sequence[str] = ()
    forget_evidence: Sequence[str] = ()
    seen: Mapping[str, Sequence[Evidence]] = field(default_factory=dict)
    embedder: Model | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a memory expects a query to take, learned from what was done in the team's runs.

    Attributes:
        alike: How like the work of each task is to that, float32 array (n,), in [0, 1].
        share: How much that is to count beside the words, in [0, 1); the less, the more of the query is unheard of.
        telling: Words of the query that do not name mere things, sorted.
        expected: What is expected to be done, such as `put * in *`, most surely expected first.
        known: How far the query is in words that the memory has met, in [0, 1]; 0 where they are a few of it.
        cosine: How much the cosine is to count beside the words, at least, in [0, 1], as it finds the same work better.
    """

    alike: FloatArray
    share: float
    telling: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    known: float = 1.0
    cosine: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Tasks that may be like a query, with the raw figures that ranking needs.

    Attributes:
        ids: Task ids, n of them, in no particular order.
        rows: Place of each id in `ids`; may hold more, at n and above.
        dense: Cosine of query and task, float32 array (n,), in [-1, 1]; 0 where there is no vector.
        lexical: BM25 of query and task divided by the query's own, float32 array (n,), in [0, 1].
        talk: Cosine of the query's words and the key terms that were said, float32 array (n,), in [0, 1].
        work: What the memory expects the query to take, by what was done in the team's runs; None where it cannot tell.
        outcomes: 1 resolved, -1 failed, 0 unknown: int8 array (n,).
        trust: float32 array (n,), in [0, 1].
        has_dense: Whether the query was compared by vector at all.
        exact: Whether every task of the team is among them.
        age: How many tasks of the team were stored after each, float32 array (n,); None where nobody can tell.
    """

    ids: Sequence[str]
    rows: Mapping[str, int]
    dense: FloatArray
    lexical: FloatArray
    talk: FloatArray
    work: Work | None
    outcomes: NDArray[np.int8]
    trust: FloatArray
    has_dense: bool
    exact: bool = True
    age: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """What the runs of one source say about an insight, each counted by how far it is trusted.

    Attributes:
        source: Where the traces came from (`Task.source`).
        successes: Trust of the runs that went well, in thousandths, summed.
        successes_followed: Of those that followed it as well.
        failures: Of the failed ones.
        failures_followed: Of the failed ones that followed it.
    """

    source: str
    successes: int = 0
    successes_followed: int = 0
    failures: int = 0
    failures_followed: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The evidence about one insight, counted: how many verified runs followed it, and how they ended.

    Attributes:
        voices: The same by source, weighed by trust: by name of the source, those without any evidence left out.
    """

    successes: int = 0
    successes_followed: int = 0
    failures: int = 0
    failures_followed: int = 0
    voices: tuple[Voice, ...] = ()

    @property
    def supports(self) -> int:
        """Runs in which following it and success went together, or neither was."""
        return self.successes_followed + self.failures - self.failures_followed

    @property
    def contradicts(self) -> int:
        """All other runs that say something about it."""
        return self.successes - self.successes_followed + self.failures_followed


@dataclass(frozen=True, slots=True)
class Tally:
    """How the runs went that were shown one memory, and those from which it was withheld.

    Only runs with a verified outcome count, and each counts once; a run that was shown it at least once
    is no control, whatever another of its recalls kept back.
    """

    shown: int = 0
    shown_resolved: int = 0
    withheld: int = 0
    withheld_resolved: int = 0


@dataclass(frozen=True, slots=True)
class TeamStats:
    """Size of one team's memory; `bytes` is that of the whole store that holds it."""

    team: str
    tasks: int
    resolved: int
    failed: int
    unknown: int
    unlearned: int
    utterances: int
    insights: int
    active_insights: int
    similar: int
    evidence: int
    links: int
    recalls: int
    vectors: int
    bytes: int


class GraphStore(ABC):
    """A place where the three-tier graphs of many teams live."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Path or URI that opens this store again."""

    # --- writing ----------------------------------------------------------------------------

    @abstractmethod
    def write(self, batches: Sequence[Batch]) -> list[bool]:
        """Carry out batches, all in one transaction.

        Returns:
            For each batch, in order, whether it was carried out now (False: its op id was there).

        Raises:
            WriteConflict: An insight was changed since it was read; nothing was written.
            EmbedderMismatch: The store has another embedding model than the batch names; nothing was written.
            InvalidInput: An edge or interaction names a task or insight that does not exist, a vector is
                not a unit vector of the recorded model's length, a similarity joins a task to itself or
                has its ends the wrong way round, something belongs to another team than its batch, or
                a value cannot be stored; nothing was written.
            StoreError: The store could not take it; nothing was written.
        """

    @abstractmethod
    def set_embedder(
        self, model: Model | None, vectors: Iterable[tuple[str, str, FloatArray]] = (), *, first: bool = False
    ) -> None:
        """Record the embedding model, and replace every vector by those given.

        Args:
            model: The model; None for words only.
            vectors: (team, task id, vector) of every task that has one under the new model; read to its
                end before anything is changed, so it may be made from this very store.
            first: Whether to do nothing where a model is recorded, by whomever, so that of several programs
                that meet an empty memory one chooses and none removes the vectors of another.

        Raises:
            InvalidInput: A task is not there, or a vector does not fit; nothing was changed.
        """

    # --- reading ----------------------------------------------------------------------------

    @abstractmethod
    def embedder(self) -> Model | None:
        """Give the recorded embedding model; None if there is none."""

    @abstractmethod
    def teams(self) -> list[str]:
        """Give the names of the teams that have anything stored, sorted."""

    @abstractmethod
    def applied(self, team: str, op_ids: Sequence[str]) -> set[str]:
        """Give those of a team's op ids that have been carried out."""

    @abstractmethod
    def tasks(self, team: str, ids: Sequence[str]) -> list[Task]:
        """Give tasks by id, in the order of `ids`.

        Raises:
            UnknownId: A task is not there.
        """

    @abstractmethod
    def task_ids(self, team: str, *, outcome: Outcome | None = None, learned: bool | None = None) -> list[str]:
        """Give the ids of a team's tasks in the order in which they were first written."""

    def origins(self, team: str, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
        """Give source and trust of those of the tasks that are there; a store that has them at hand reads nothing."""
        return {id: (task.source, task.trust) for id, (task, _) in self.cases(team, ids).items()}

    def wordings(self, team: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """Give the words of the texts of those of the tasks that are there, in order, `MOST_WORDS` of each at most."""
        found = self.cases(team, ids)
        return {id: words(found[id][0].query)[:MOST_WORDS] for id in ids if id in found}

    def done(self, team: str, ids: Sequence[str]) -> dict[str, NDArray[np.uint32]]:
        """Say what was done in those of the tasks that are there, each kind of deed by its number.

        The numbers hold for one call; a store that has them at hand reads nothing.

        Returns:
            uint32 array (m,) of different numbers, by id.
        """
        number: dict[tuple[str, int], int] = {}
        return {
            id: np.array([number.setdefault(c, len(number)) for c in columns(task.deeds)], dtype=np.uint32)
            for id, (task, _) in self.cases(team, ids).items()
        }

    def confirmed(self, team: str) -> list[str]:
        """Give the ids of the failed tasks for which a person blamed somebody, sorted."""
        failed = self.tasks(team, self.task_ids(team, outcome="failed"))
        return sorted(task.id for task in failed if task.confirmed)

    @abstractmethod
    def interaction(self, team: str, task_id: str) -> Interaction:
        """Give the interaction graph of a task; one without utterances if none was written.

        Raises:
            UnknownId: The task is not there.
        """

    def cases(self, team: str, ids: Sequence[str]) -> dict[str, tuple[Task, Interaction]]:
        """Give tasks with their interaction graphs, those that are there; a server gives all at once."""
        found: dict[str, tuple[Task, Interaction]] = {}
        for id in ids:
            with suppress(UnknownId):
                found[id] = (self.tasks(team, [id])[0], self.interaction(team, id))
        return found

    @contextmanager
    def reading(self, team: str) -> Iterator[None]:
        """Within this, this thread may be given what was true at its beginning, so that nobody need ask a server
        again before each of many reads."""
        yield

    @abstractmethod
    def insights(
        self, team: str, ids: Sequence[str] | None = None, *, states: Sequence[InsightState] = ()
    ) -> list[Insight]:
        """Give insights, by id ascending; with `ids`, those in their order.

        Args:
            ids: Which; None for all.
            states: Only those in one of these states; empty for any.

        Raises:
            UnknownId: One of `ids` is not there.
        """

    @abstractmethod
    def candidates(
        self,
        team: str,
        terms: Mapping[str, int],
        vector: FloatArray | None,
        *,
        words: Sequence[str] = (),
        among: Sequence[str] | None = None,
    ) -> Candidates:
        """Give the tasks that may be like a query.

        Args:
            terms: How often each word occurs in the query.
            words: Its words in order, from which the memory guesses what it will take to do; empty to leave
                that out.
            vector: Embedding of the query, float32 array (d,), unit length; None for words only.  In a
                memory without a model it is not looked at.
            among: Ids of the only tasks to compare with, those that are there; the figures are those that they have
                among all.  None for every task.

        Raises:
            InvalidInput: The vector is not one of the recorded model's.
        """

    @abstractmethod
    def vectors(self, team: str, ids: Sequence[str]) -> dict[str, FloatArray]:
        """Give the embeddings of those of the tasks that have one."""

    @abstractmethod
    def neighbours(self, team: str, task_id: str) -> list[Similar]:
        """Give the edges of the query graph at a task, best score first, then by the other end's id."""

    @abstractmethod
    def evidence(self, team: str, *, task_id: str = "", insight_id: str = "") -> list[Evidence]:
        """Give the evidence of one task, about one insight, or both, or all, by (task id, insight id)."""

    @abstractmethod
    def standing(self, team: str, insight_id: str) -> Standing:
        """Count the evidence about an insight; cheap, however much there is."""

    @abstractmethod
    def links(self, team: str, insight_id: str = "") -> list[InsightLink]:
        """Give the hyper-edges at an insight (or all), by (source, target, via)."""

    @abstractmethod
    def recalls(self, team: str, task_id: str = "") -> list[RecallEvent]:
        """Give the ledger entries of a run (or all), by (time, id)."""

    @abstractmethod
    def tally(self, team: str, item_id: str) -> Tally:
        """Count how the runs went that were shown an insight or task."""

    @abstractmethod
    def stats(self, team: str) -> TeamStats:
        """Measure a team's memory."""

    # --- keeping ----------------------------------------------------------------------------

    @abstractmethod
    def check(self) -> list[str]:
        """Read everything and verify it; give one sentence for each thing found wrong."""

    @abstractmethod
    def compact(self) -> None:
        """Give freed space back, so that forgotten text is nowhere left in the store."""

    @abstractmethod
    def close(self) -> None:
        """Release the store; closing twice is harmless."""
