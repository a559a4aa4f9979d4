"""Random memories, built on both stores through `Memory`, answer every public read alike.

Each is built by two clients in turn, and must look the same to both of them and to a third that opens
it afterwards.  Fifty of them ordinarily; GMEM_TEST_PARITY says how many otherwise (1000 before a release).
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from asked import asked
from hypothesis import HealthCheck, Phase, given, settings
from neo4j_fixture import Access
from stories import kitchen

import gmem
from gmem import export, ids
from gmem.embed import WORDS_ONLY, Embedder, resolve
from gmem.graphs import Batch, Candidates, GraphStore
from gmem.model import Evidence, Insight, InsightLink
from gmem.testing import read_everything
from gmem.text import terms, words

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

EXAMPLES = asked("PARITY", 50)
TIMES = {"started", "ended", "time", "created", "updated", "seconds"}
QUERIES = ("boil the water", "boil the lead", "wash a carrot and cook it", "Kühle das Eis", "boil", "沸かす お湯")
ACTS = ("take the pot", "wash the carrot", "put it on the stove", "wait", "look around", "open the door")
AGENTS = {"ann": "planner", "bob": "cook"}

SETTINGS: tuple[dict[str, Any], ...] = (
    {"hops": 2, "neighbours": 2, "decay": 1.0},
    {"seeds": 1, "failures": 0, "cases": 1, "insights": 1},
    {"min_relevance": 0.0, "min_trust": 0.6, "failures": 3},
    {"budget": 150},
)
TEAMS = ("blue", "Blue", "red")

runs = st.fixed_dictionaries(
    {
        "query": st.sampled_from(QUERIES),
        "acts": st.lists(st.sampled_from(ACTS), max_size=5),
        "outcome": st.sampled_from(["resolved", "failed", "unknown"]),
        "recall": st.sampled_from(["", "planner", "cook"]),
        "holdout": st.sampled_from([0.0, 0.5]),
        "trust": st.sampled_from([1.0, 0.5]),
        "source": st.sampled_from(["run", "import"]),
        "team": st.sampled_from([0, 0, 0, 1, 2]),
    }
)
judgements = st.tuples(st.just("feedback"), st.integers(0, 9), st.sampled_from(["resolved", "failed", "unknown"]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), runs),
        st.tuples(st.just("run"), runs),
        st.tuples(st.just("run"), runs),
        judgements,
        st.tuples(st.just("forget"), st.integers(0, 9)),
        st.tuples(st.just("forget who"), st.sampled_from(["ann", "eve"])),
        st.tuples(st.just("forget where"), st.sampled_from(["import", "run"])),
        st.tuples(st.just("forget all"), st.sampled_from(TEAMS)),
        st.tuples(st.just("teach"), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("kitchen"), st.integers(0, 2)),
        st.tuples(st.just("learn")),
        st.tuples(st.just("consolidate")),
        st.tuples(st.just("embed anew")),
    ),
    min_size=1,
    max_size=12,
)


@contextlib.contextmanager
def _counted_ids() -> Iterator[None]:
    """Number what is otherwise named by chance, so that both memories give the same names."""
    numbers, real = itertools.count(), ids.new_id
    ids.new_id = lambda prefix: f"{prefix}_{next(numbers):016x}"
    try:
        yield
    finally:
        ids.new_id = real


class Builder:
    """Carries out a plan, as two clients that take turns.

    Attributes:
        embedder: The embedding model, as it is after the plan; None for words only.
    """

    def __init__(self, stores: list[GraphStore], embedder: Embedder | None, other: Embedder | None) -> None:
        self._stores = stores
        self.embedder, self._other = embedder, other
        self._made: list[tuple[str, str]] = []
        self._taught = 0

    def build(self, plan: list[Any]) -> list[str]:
        """Carry it out; give what each step answered."""
        said = []
        for turn, step in enumerate(plan):
            try:
                answer = self._step(self._stores[turn % 2], *step)
            except gmem.errors.GmemError as error:
                answer = f"{type(error).__name__}: {error}"
            said.append(repr(_timeless(answer)))
        return said

    def memory(self, store: GraphStore, team: str = TEAMS[0]) -> gmem.Memory:
        """Open the memory of a team."""
        return gmem.Memory(store, team=team, embedder=self.embedder or "none")

    def _step(self, store: GraphStore, what: str, *given: Any) -> Any:
        if what == "run":
            return self._play(store, given[0])
        if what in ("feedback", "forget"):
            id, team = self._made[given[0] % len(self._made)] if self._made else ("none", TEAMS[0])
            memory = self.memory(store, team)
            if what == "feedback":
                return memory.feedback(id, outcome=given[1], text="said later")
            return memory.forget(task=id)
        if what == "teach":
            return self._teach(store, *given)
        if what == "forget all":
            return self.memory(store, given[0]).forget(everything=True)
        if what == "embed anew":
            memory = self.memory(store)
            self.embedder, self._other = self._other, self.embedder
            return memory.reembed(self.embedder)
        memory = self.memory(store)
        simple: dict[str, Callable[[], Any]] = {
            "forget who": lambda: memory.forget(agent=given[0]),
            "forget where": lambda: memory.forget(source=given[0]),
            "kitchen": lambda: kitchen(memory, 3 + given[0], 3),
            "learn": memory.learn,
            "consolidate": memory.consolidate,
        }
        return simple[what]()

    def _play(self, store: GraphStore, plan: dict[str, Any]) -> Any:
        team, id = TEAMS[plan["team"]], f"run-{len(self._made)}"
        memory = self.memory(store, team)
        with memory.task(plan["query"], agents=AGENTS, run_id=id, trust=plan["trust"], source=plan["source"]) as run:
            if plan["recall"]:
                run.recall(plan["recall"], holdout=plan["holdout"], min_relevance=0.05)
            for act in plan["acts"]:
                said = run.say("ann", f"Please {act}", to="bob")
                run.act("bob", act, f"You {act}.", inspired_by=said)
            if plan["outcome"] == "resolved":
                run.resolve(0.9)
            elif plan["outcome"] == "failed":
                run.fail("it went wrong")
            else:
                run.leave()
        self._made.append((id, team))
        return run.result

    def _teach(self, store: GraphStore, number: int, kind: int) -> Any:
        """Write a person's lessons, two of which say the same, with evidence and a link; perhaps of no task."""
        id, team = self._made[number % len(self._made)] if self._made else ("none", TEAMS[0])
        self._taught += 1
        name = f"i_{self._taught}"
        version = 1 if kind < 3 else 2  # a version that is too new is refused by both
        insights = [Insight(name, team, f"Wash it before you cook it, always {kind % 2}", state="active",
                            origin="person", created=float(self._taught), version=version)]  # fmt: skip
        links = [InsightLink(f"i_{self._taught - 1}", name, id)] if self._taught > 1 and kind != 1 else []
        evidence = [Evidence(id, name, followed=kind != 2, resolved=True)]
        return store.write([Batch(team, f"teach {name}", insights=insights, evidence=evidence, links=links)])


def _timeless(value: Any) -> Any:
    """Blank every time of day, which no two runs share."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: 0.0 if f.name in TIMES else _timeless(getattr(value, f.name)) for f in fields(value)}
        )
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_timeless(v) for v in value)
    return value


def _figures(found: Candidates) -> list[Any]:
    columns = [found.dense, found.lexical, found.talk]
    if found.work is not None:
        columns.append(found.work.alike)
    told = found.work and (found.work.share, found.work.telling, found.work.expected)
    return [
        (id, *(round(float(column[row]), 4) for column in columns), int(found.outcomes[row]), told)
        for row, id in enumerate(found.ids)
    ]


def _graph(graph: Any) -> Any:
    edges = graph.edges(keys=True, data=True) if graph.is_multigraph() else graph.edges(data=True)
    return list(graph.nodes(data=True)), list(edges)


def _stored(store: GraphStore) -> dict[str, Any]:
    """Read what is stored, through every read of a store."""
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for team in TEAMS:  # so that a server is asked once a team whether something is newer
            stack.enter_context(store.reading(team))
        for team, answers in read_everything(store).items():
            if isinstance(answers, dict):
                found |= {f"{team} {what}": _timeless(answer) for what, answer in answers.items()}
            else:
                found[team] = answers
        for team in TEAMS:
            found |= {f"{team} {what}": answer for what, answer in _more(store, team).items()}
    return found


def _more(store: GraphStore, team: str) -> dict[str, Any]:
    """Read what `read_everything` does not."""
    ids, insights = store.task_ids(team), [i.id for i in store.insights(team)]
    asked = [*ids[::-1], "none", *insights]
    ops = [f"task {id}" for id in asked] + [f"teach {id}" for id in insights]
    return {
        "cases": _timeless(list(store.cases(team, asked).items())),
        "applied": store.applied(team, ops),
        "outcome and learned": [
            store.task_ids(team, outcome=o, learned=learned)
            for o in ("resolved", "failed", "unknown")
            for learned in (True, False)
        ],
        "evidence of both": [store.evidence(team, task_id=t, insight_id=i) for t in ids for i in insights],
        "insights by id": _timeless(store.insights(team, insights[::-1], states=["active", "candidate"])),
        "nothing": [
            store.neighbours(team, "none"), store.evidence(team, task_id="none"), store.links(team, "none"),
            store.recalls(team, "none"), store.standing(team, "none"), store.tally(team, "none"),
            store.vectors(team, ["none"]), _refused(store.tasks, team, ["none"]),
            _refused(store.interaction, team, "none"), _refused(store.insights, team, ["none"]),
        ],
    }  # fmt: skip


def _refused(read: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(gmem.errors.UnknownId) as caught:
        read(*given)
    return str(caught.value)


def _recalled(memory: gmem.Memory) -> dict[str, Any]:
    """Read what the memory of a team answers, through every read of `Memory`."""
    store, found = memory.store, {}
    for query in (*QUERIES, "something else"):
        vector = memory.embedder.query(query) if memory.embedder is not None else None
        found[f"candidates {query}"] = _figures(store.candidates(memory.team, terms(query), vector, words=words(query)))
        for role in ("", "cook"):
            found[f"recall {query} {role}"] = _timeless(memory.recall(query, role))
    for changes in SETTINGS:
        recall = memory.recall("boil the water and wash a carrot", "planner", **changes)
        found[f"recall {changes}"] = (_timeless(recall), recall.to_dict(), str(recall.explain()))
    run = memory.task("boil the water", run_id="never-stored", agents=AGENTS)
    found["recall with holdout"] = _timeless(run.recall("cook", holdout=0.5))
    tasks = memory.tasks()
    found |= {
        "tasks": _timeless(tasks),
        "newest": [t.id for t in memory.tasks(limit=2)],
        "failed": [t.id for t in memory.tasks(outcome="failed", limit=3)],
        "lessons": _timeless(memory.insights()),
        "active lessons": [i.id for i in memory.insights("active")],
        "stats": replace(memory.stats(), bytes=0),
        "query graph": _graph(memory.query_graph()),
        "insight graph": _graph(memory.insight_graph()),
        "interaction graphs": [_graph(memory.interaction_graph(t.id)) for t in tasks],
        "export": [
            export.line(export.record(_timeless(t), _timeless(i)))
            for t, i in store.cases(memory.team, [t.id for t in tasks]).values()
        ],
    }
    return found


def _outcome(opened: Callable[[], GraphStore], builder: Callable[..., Builder], plan: list[Any]) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(contextlib.closing(opened())) for _ in range(2))
        made = builder([one, two])
        with _counted_ids():
            answers: dict[str, Any] = {"plan": made.build(plan)}
            answers |= _recalled(made.memory(one))
        answers |= {f"{what} of another team": a for what, a in _recalled(made.memory(one, "Blue")).items()
                    if what in ("tasks", "lessons", "stats", "query graph", "insight graph")}  # fmt: skip
        assert one.check() == []
        stored = _stored(one)
        three = stack.enter_context(contextlib.closing(opened()))
        for other in (two, three):  # what one client answers from memory is what the others read
            for what, answer in _stored(other).items():
                assert answer == stored[what], what
    return answers | stored


@pytest.mark.parametrize("embedder", ["none", "static"])
@pytest.mark.timeout(max(300, 4 * EXAMPLES))
def test_both_stores_answer_alike(_neo4j: Access, embedder: str) -> None:
    chosen, other = resolve(embedder), resolve("none" if embedder == "static" else "static")
    model = chosen.model if chosen is not None else WORDS_ONLY

    @settings(
        max_examples=max(EXAMPLES // 2, 1),
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # on a server, shrinking takes longer than looking
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(plan=steps)
    def check(plan: list[Any]) -> None:
        def builder(stores: list[GraphStore]) -> Builder:
            stores[0].set_embedder(model)
            return Builder(stores, chosen, other)

        with tempfile.TemporaryDirectory() as folder:
            _neo4j.empty()
            expected = _outcome(lambda: gmem.graphs.EmbeddedStore(Path(folder) / "m.gmem"), builder, plan)
            found = _outcome(_neo4j.open, builder, plan)
        assert found.keys() == expected.keys()
        for what, answer in expected.items():
            assert found[what] == answer, what

    check()
