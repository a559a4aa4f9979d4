"""Random sequences of operations on the embedded store, compared with a model made of dicts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gmem.errors import InvalidInput, WriteConflict
from gmem.graphs import Batch, EmbeddedStore
from gmem.model import Evidence, Insight, InsightLink, Interaction, RecallEvent, Task
from gmem.testing import (
    EXAMPLE_MODEL,
    example_insight,
    example_interaction,
    example_recall,
    example_task,
    example_vector,
    read_everything,
    similar,
)

TEAMS = st.sampled_from(["a", "ab", "A", "a%"])
IDS = st.sampled_from(["1", "12", "é", "1 2"])
OUTCOMES = st.sampled_from(["resolved", "failed", "unknown"])
QUERIES = st.sampled_from(["boil water", "boil red water, water, water", "seed seed", "?", ""])


class Team:
    """What one team has stored, as plain dicts; an edge is there only while its ends are."""

    def __init__(self) -> None:
        self.ops: set[str] = set()
        self.tasks: dict[str, Task] = {}
        self.traces: dict[str, Interaction] = {}
        self.vectors: dict[str, bytes] = {}
        self.similar: dict[tuple[str, str], float] = {}
        self.insights: dict[str, Insight] = {}
        self.evidence: dict[tuple[str, str], Evidence] = {}
        self.links: set[tuple[str, str, str]] = set()
        self.recalls: dict[str, RecallEvent] = {}

    def forget(self, tasks: set[str], insights: set[str]) -> None:
        for kept in (self.tasks, self.traces, self.vectors):
            for id in tasks:
                kept.pop(id, None)  # type: ignore[attr-defined]
        self.insights = {k: v for k, v in self.insights.items() if k not in insights}
        self.similar = {k: v for k, v in self.similar.items() if not tasks & set(k)}
        self.evidence = {k: v for k, v in self.evidence.items() if k[0] not in tasks and k[1] not in insights}
        self.links = {x for x in self.links if not insights & {x[0], x[1]} and x[2] not in tasks}
        gone = tasks | insights
        self.recalls = {
            k: example_recall(k, e.task_id, tuple(i for i in e.shown if i not in gone), time=e.time)
            for k, e in self.recalls.items()
            if e.task_id not in tasks
        }


class StoreMachine(RuleBasedStateMachine):
    """Two connections to one file, as two processes would have, and the model beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gmem-stateful-"))
        self.path = self.folder / "memory.gmem"
        self.stores = [EmbeddedStore(self.path), EmbeddedStore(self.path)]
        self.stores[0].set_embedder(EXAMPLE_MODEL)
        self.teams = {team: Team() for team in ("a", "ab", "A", "a%")}
        self.number = 0

    def teardown(self) -> None:
        for store in self.stores:
            assert store.check() == []
            store.close()
        shutil.rmtree(self.folder)

    def write(self, who: int, team: str, **parts: object) -> None:
        """Write through one of the connections under a new name; sometimes the same once more."""
        self.number += 1
        batch = Batch(team, f"op {self.number}", **parts)  # type: ignore[arg-type]
        assert self.stores[who].write([batch]) == [True]
        self.teams[team].ops.add(batch.op_id)
        assert self.stores[self.number % 2].write([batch]) == [False]

    @rule(who=st.integers(0, 1), team=TEAMS, id=IDS, outcome=OUTCOMES, query=QUERIES, vector=st.integers(0, 3))
    def put_task(self, who: int, team: str, id: str, outcome: str, query: str, vector: int) -> None:
        task = example_task(id, team, outcome=outcome, query=query, length=vector, learned=vector == 2)
        model = self.teams[team]
        vectors = {id: example_vector(vector)} if vector else {}
        said = example_interaction(id, vector)
        self.write(who, team, tasks=[task], interactions=[said], vectors=vectors)
        model.tasks[id] = task
        model.traces[id] = said
        model.vectors.update({k: v.tobytes() for k, v in vectors.items()})

    @rule(who=st.integers(0, 1), team=TEAMS, a=IDS, b=IDS, score=st.floats(0, 1))
    def tie_tasks(self, who: int, team: str, a: str, b: str, score: float) -> None:
        model, edge = self.teams[team], similar(a, b, score)
        if a != b and {a, b} <= model.tasks.keys():
            self.write(who, team, similar=[edge])
            model.similar[edge.a, edge.b] = score
        else:
            with pytest.raises(InvalidInput):
                self.stores[who].write([Batch(team, "refused", similar=[edge])])

    @rule(who=st.integers(0, 1), team=TEAMS, id=IDS, version=st.integers(1, 3))
    def put_insight(self, who: int, team: str, id: str, version: int) -> None:
        model, insight = self.teams[team], example_insight(id, team, version=version, text=f"lesson {version}")
        stored = model.insights[id].version if id in model.insights else 0
        if version == stored + 1:
            self.write(who, team, insights=[insight])
            model.insights[id] = insight
        else:
            with pytest.raises(WriteConflict):
                self.stores[who].write([Batch(team, "refused", insights=[insight])])

    @rule(who=st.integers(0, 1), team=TEAMS, task=IDS, insight=IDS, followed=st.booleans(), resolved=st.booleans())
    def put_evidence(self, who: int, team: str, task: str, insight: str, followed: bool, resolved: bool) -> None:
        model, evidence = self.teams[team], Evidence(task, insight, followed, resolved)
        if task in model.tasks and insight in model.insights:
            link = InsightLink(insight, sorted(model.insights)[0], task)
            self.write(who, team, evidence=[evidence], links=[link])
            model.evidence[task, insight] = evidence
            model.links.add((link.source, link.target, link.via))
        else:
            with pytest.raises(InvalidInput):
                self.stores[who].write([Batch(team, "refused", evidence=[evidence])])

    @rule(who=st.integers(0, 1), team=TEAMS, id=IDS, task=IDS, shown=st.lists(IDS, max_size=3), time=st.integers(0, 2))
    def put_recall(self, who: int, team: str, id: str, task: str, shown: list[str], time: int) -> None:
        model = self.teams[team]
        if task in model.tasks:
            event = example_recall(id, task, tuple(shown), time=float(time))
            self.write(who, team, recalls=[event])
            model.recalls[id] = event

    @rule(who=st.integers(0, 1), team=TEAMS, tasks=st.sets(IDS, max_size=2), insights=st.sets(IDS, max_size=1))
    def forget(self, who: int, team: str, tasks: set[str], insights: set[str]) -> None:
        self.write(who, team, forget_tasks=sorted(tasks), forget_insights=sorted(insights))
        self.teams[team].forget(tasks, insights)

    @rule(who=st.integers(0, 1), team=TEAMS, tasks=st.sets(IDS, max_size=2))
    def forget_evidence(self, who: int, team: str, tasks: set[str]) -> None:
        self.write(who, team, forget_evidence=sorted(tasks))
        model = self.teams[team]
        model.evidence = {k: v for k, v in model.evidence.items() if k[0] not in tasks}

    @rule(who=st.integers(0, 1))
    def reembed(self, who: int) -> None:
        vectors = [(name, id, example_vector(7)) for name, team in self.teams.items() for id in team.vectors]
        self.stores[who].set_embedder(EXAMPLE_MODEL, vectors)
        for team in self.teams.values():
            team.vectors = dict.fromkeys(team.vectors, example_vector(7).tobytes())

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.stores[who].close()
        self.stores[who] = EmbeddedStore(self.path, create=False)

    @precondition(lambda self: self.number % 5 == 0)
    @rule(who=st.integers(0, 1))
    def compact(self, who: int) -> None:
        self.stores[who].compact()

    @invariant()
    def both_connections_answer_as_the_model_does(self) -> None:
        first, second = (read_everything(store) for store in self.stores)
        assert first == second
        store = self.stores[self.number % 2]
        assert store.teams() == sorted(n for n, t in self.teams.items() if t.tasks or t.insights)
        for name, model in self.teams.items():
            assert store.applied(name, [*model.ops, "refused"]) == model.ops
            ids = store.task_ids(name)
            assert ids == list(model.tasks)
            assert store.tasks(name, ids) == list(model.tasks.values())
            assert [store.interaction(name, id) for id in ids] == [model.traces[id] for id in ids]
            assert {k: v.tobytes() for k, v in store.vectors(name, ids).items()} == model.vectors
            assert store.insights(name) == [model.insights[id] for id in sorted(model.insights)]
            assert store.evidence(name) == [model.evidence[ends] for ends in sorted(model.evidence)]
            assert store.links(name) == [InsightLink(*ends) for ends in sorted(model.links)]
            assert store.recalls(name) == sorted(model.recalls.values(), key=lambda e: (e.time, e.id))
            for id in ids:
                ties = [(-score, *ends) for ends, score in model.similar.items() if id in ends]
                found = [(-e.score, e.a, e.b) for e in store.neighbours(name, id)]
                assert sorted(found) == sorted(ties)
                assert [-score for score, *_ in found] == sorted((-s for s, *_ in ties), reverse=True)
            shown = {e.task_id for e in model.recalls.values() if "1" in e.shown}
            ends = [model.tasks[id].outcome for id in shown]
            tally = store.tally(name, "1")
            assert (tally.shown_resolved, tally.shown) == (
                ends.count("resolved"),
                ends.count("resolved") + ends.count("failed"),
            )


TestStateful = StoreMachine.TestCase
TestStateful.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
