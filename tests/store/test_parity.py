"""Random memories, built on both stores through `Memory`, answer every public read alike.

Fifty of them ordinarily; GMEM_TEST_PARITY says how many otherwise (1000 before a release).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from neo4j_fixture import Access

import gmem
from gmem import ids
from gmem.embed import WORDS_ONLY, resolve
from gmem.graphs import Candidates, GraphStore
from gmem.testing import read_everything
from gmem.text import terms

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

EXAMPLES = int(os.environ.get("GMEM_TEST_PARITY", "50"))
TIMES = {"started", "ended", "time", "created", "updated", "seconds"}
QUERIES = ("boil the water", "boil the lead", "wash a carrot and cook it", "Kühle das Eis", "boil", "沸かす お湯")
ACTS = ("take the pot", "wash the carrot", "put it on the stove", "wait", "look around", "open the door")
AGENTS = {"ann": "planner", "bob": "cook"}

runs = st.fixed_dictionaries(
    {
        "query": st.sampled_from(QUERIES),
        "acts": st.lists(st.sampled_from(ACTS), max_size=5),
        "outcome": st.sampled_from(["resolved", "failed", "unknown"]),
        "recall": st.sampled_from(["", "planner", "cook"]),
        "trust": st.sampled_from([1.0, 0.5]),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), runs),
        st.tuples(st.just("run"), runs),
        st.tuples(st.just("run"), runs),
        st.tuples(st.just("feedback"), st.integers(0, 9), st.sampled_from(["resolved", "failed", "unknown"])),
        st.tuples(st.just("forget"), st.integers(0, 9)),
        st.tuples(st.just("consolidate")),
    ),
    min_size=1,
    max_size=12,
)


@contextlib.contextmanager
def _counted_ids() -> Iterator[None]:
    """Number what is otherwise named by chance, so that both memories give the same names."""
    numbers, real = itertools.count(), ids.secrets
    ids.secrets = SimpleNamespace(token_hex=lambda n: f"{next(numbers):0{2 * n}x}")  # type: ignore[assignment]
    try:
        yield
    finally:
        ids.secrets = real


def _build(memory: gmem.Memory, plan: list[Any]) -> None:
    made: list[str] = []
    for step in plan:
        if step[0] == "run":
            _play(memory, step[1], f"run-{len(made)}")
            made.append(f"run-{len(made)}")
        elif step[0] == "consolidate":
            memory.consolidate()
        elif step[1] < len(made):
            with contextlib.suppress(gmem.errors.UnknownId):
                if step[0] == "feedback":
                    memory.feedback(made[step[1]], outcome=step[2], text="said later")
                else:
                    memory.forget(task=made[step[1]])


def _play(memory: gmem.Memory, plan: dict[str, Any], id: str) -> None:
    with memory.task(plan["query"], agents=AGENTS, run_id=id, trust=plan["trust"]) as run:
        if plan["recall"]:
            run.recall(plan["recall"])
        for act in plan["acts"]:
            said = run.say("ann", f"Please {act}", to="bob")
            run.act("bob", act, f"You {act}.", inspired_by=said)
        if plan["outcome"] == "resolved":
            run.resolve(0.9)
        elif plan["outcome"] == "failed":
            run.fail("it went wrong")
        else:
            run.leave()


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
    return [
        (id, round(float(found.dense[row]), 4), round(float(found.lexical[row]), 4), int(found.outcomes[row]))
        for row, id in enumerate(found.ids)
    ]


def _answers(memory: gmem.Memory, store: GraphStore) -> dict[str, Any]:
    found: dict[str, Any] = {"problems": store.check()}
    for team, answers in read_everything(store).items():
        found |= {f"{team} {what}": _timeless(a) for what, a in answers.items()} if isinstance(answers, dict) else {}
    for query in (*QUERIES, "something else"):
        vector = memory.embedder.query(query) if memory.embedder is not None else None
        found[f"candidates {query}"] = _figures(store.candidates(memory.team, terms(query), vector))
        for role in ("", "cook"):
            recall = memory.recall(query, role)
            found[f"recall {query} {role}"] = (recall.text, _timeless(recall.explain().rows))
    found["export"] = [_timeless(t) for t in memory.tasks()]
    return found


def _outcome(store: GraphStore, embedder: str, plan: list[Any]) -> dict[str, Any]:
    memory = gmem.Memory(store, team="blue", embedder=embedder)
    _build(memory, plan)
    return _answers(memory, store)


@pytest.mark.parametrize("embedder", ["none", "static"])
def test_both_stores_answer_alike(_neo4j: Access, embedder: str) -> None:
    chosen = resolve(embedder)
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
        answers = []
        with tempfile.TemporaryDirectory() as folder:
            _neo4j.empty()
            for store in (gmem.graphs.EmbeddedStore(Path(folder) / "m.gmem"), _neo4j.open()):
                with contextlib.closing(store):
                    store.set_embedder(model)
                    with _counted_ids():
                        answers.append(_outcome(store, embedder, plan))
        for what, expected in answers[0].items():
            assert answers[1][what] == expected, what

    check()
