"""Conformance: what a write does, and when it does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gmem.errors import EmbedderMismatch, InvalidInput, UnknownId, WriteConflict
from gmem.graphs.base import Batch, GraphStore
from gmem.model import Cost, Evidence, InsightLink, Interaction, Model, Similar, Suspect, Task, Utterance
from gmem.testing._suite import Suite, now_and_later, teach
from gmem.testing.examples import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_interaction,
    example_recall,
    example_task,
    example_vector,
    read_everything,
    similar,
)

__all__ = ["WritingTests"]

LINE_ENDS = "tab\t, line\r\nends\x85\u2028, bidi \u202e, zero\u200b, 😀, e\u0301, \x01\x7f, ' \" \\ ; --"

REFUSED: dict[str, dict[str, Any]] = {
    "interaction of an unknown task": {"interactions": [example_interaction("nobody")]},
    "vector of an unknown task": {"vectors": {"nobody": example_vector()}},
    "similarity to an unknown task": {"similar": [Similar("a", "nobody", 0.5)]},
    "similarity from an unknown task": {"similar": [Similar("0", "a", 0.5)]},
    "similarity to itself": {"similar": [Similar("a", "a", 0.5)]},
    "similarity the wrong way round": {"similar": [Similar("b", "a", 0.5)]},
    "similarity that is not a number": {"similar": [Similar("a", "b", float("nan"))]},
    "similarity above 1": {"similar": [Similar("a", "b", 1.5)]},
    "evidence of an unknown task": {"evidence": [Evidence("nobody", "i", True, True)]},
    "evidence about an unknown insight": {"evidence": [Evidence("a", "nothing", True, True)]},
    "evidence about a task": {"evidence": [Evidence("a", "b", True, True)]},
    "link from an unknown insight": {"links": [InsightLink("nothing", "i", "a")]},
    "link to an unknown insight": {"links": [InsightLink("i", "nothing", "a")]},
    "link via an unknown task": {"links": [InsightLink("i", "i", "nobody")]},
    "recall of an unknown task": {"recalls": [example_recall("r", "nobody")]},
    "recall at no time": {"recalls": [example_recall("r", "a", time=float("nan"))]},
    "vector of the wrong length": {"vectors": {"a": example_vector(0, 9)}},
    "vector with a NaN": {"vectors": {"a": np.full(8, np.nan, dtype=np.float32)}},
    "vector with an infinity": {"vectors": {"a": np.array([np.inf] + [0] * 7, dtype=np.float32)}},
    "vector of zeros": {"vectors": {"a": np.zeros(8, dtype=np.float32)}},
    "vector that is no unit vector": {"vectors": {"a": example_vector() * np.float32(2)}},
    "matrix for a vector": {"vectors": {"a": example_vector().reshape(1, 8)}},
    "task of another team": {"tasks": [example_task("c", "other")]},
    "insight of another team": {"insights": [example_insight("j", "other")]},
    "task twice": {"tasks": [example_task("c"), example_task("c", outcome="failed")]},
    "task without an id": {"tasks": [example_task("")]},
    "task with a NUL in its id": {"tasks": [example_task("a\0b")]},
    "task with half a surrogate in its id": {"tasks": [example_task("\ud800")]},
    "half a surrogate in a query": {"tasks": [example_task("c", query="\udfff")]},
    "half a surrogate in a message": {
        "interactions": [Interaction("a", (Utterance(0, "x", "y", "message", "\ud800"),))]
    },
    "query that is no text": {"tasks": [example_task("c", query=b"bytes")]},
    "score that is not a number": {"tasks": [example_task("c", score=float("nan"))]},
    "reward that is infinite": {
        "interactions": [Interaction("a", (Utterance(0, "x", "y", "action", "go", reward=float("inf")),))]
    },
    "outcome that does not exist": {"tasks": [example_task("c", outcome="won")]},
    "trust above 1": {"tasks": [example_task("c", trust=2.0)]},
    "negative length": {"tasks": [example_task("c", length=-1)]},
    "insight in a state that does not exist": {"insights": [example_insight("j", state="great")]},
    "utterances that are not numbered": {
        "interactions": [Interaction("a", (Utterance(1, "x", "y", "message", "hello"),))]
    },
    "utterance inspired by itself": {
        "interactions": [Interaction("a", (Utterance(0, "x", "y", "message", "hello", inspired_by=(0,)),))]
    },
    "utterance inspired by a later one": {
        "interactions": [
            Interaction(
                "a",
                (
                    Utterance(0, "x", "y", "message", "hello", inspired_by=(1,)),
                    Utterance(1, "x", "y", "message", "hello", inspired_by=(0,)),
                ),
            )
        ]
    },
    "object for a text": {"tasks": [example_task("c", context=object())]},
}


class WritingTests(Suite):
    """What a write does."""

    def test_gives_back_exactly_what_was_written(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        task = Task(
            id="t", team="team", query=LINE_ENDS, context="c" + LINE_ENDS, outcome="failed", score=-0.1, reason="r",
            feedback="f", error="ValueError: x", agents={"Z": "last", "A": "first"}, key_steps=(0, 1),
            blame=(Suspect("A", 1, "because", 0.6), Suspect("Z", 0, "or this", 0.4)), cost=Cost(10, 2, 1.5),
            source="import:x", trust=0.25, started=1e9 + 1 / 3, ended=1e9 + 2 / 3, length=2, learned=True,
            metadata={"k": LINE_ENDS, "": ""},
        )  # fmt: skip
        interaction = Interaction(
            "t",
            (
                Utterance(0, "Z", "last", "handoff", LINE_ENDS, to=("A", "B"), reward=1 / 3, time=1e9 + 1 / 7),
                Utterance(1, "A", "first", "tool_result", "", inspired_by=(0,), echo=True),
            ),
        )
        insight = example_insight("i", text=LINE_ENDS, taught_by=(("t", ""), ("", "t")), created=1 / 3)
        recall = example_recall("r", "t", ("i", "t"), withheld=("x",), time=1 / 7)
        store.set_embedder(EXAMPLE_MODEL)
        store.write(
            [
                Batch(
                    "team", "op", tasks=[task], interactions=[interaction], vectors={"t": example_vector(3)},
                    insights=[insight], evidence=[Evidence("t", "i", True, False)], recalls=[recall],
                    links=[InsightLink("i", "i", "t")],
                )
            ]
        )  # fmt: skip
        for opened in now_and_later(store, again):
            assert opened.tasks("team", ["t"]) == [task]
            assert list(opened.tasks("team", ["t"])[0].agents) == ["Z", "A"]
            assert opened.interaction("team", "t") == interaction
            assert opened.insights("team") == [insight]
            assert opened.evidence("team") == [Evidence("t", "i", True, False)]
            assert opened.links("team") == [InsightLink("i", "i", "t")]
            assert opened.recalls("team") == [recall]
            assert opened.vectors("team", ["t"])["t"].tobytes() == example_vector(3).tobytes()

    def test_a_long_text_comes_back_whole(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        text = "".join(chr(0x4E00 + i % 5000) for i in range(200_000))
        said = Interaction("t", (Utterance(0, "a", "b", "message", text),))
        store.write([Batch("team", "op", tasks=[example_task("t", query=text)], interactions=[said])])
        opened = again()
        assert opened.tasks("team", ["t"])[0].query == text
        assert opened.interaction("team", "t") == said

    def test_a_task_may_come_without_its_interaction(self, store: GraphStore) -> None:
        store.write([Batch("team", "op", tasks=[example_task("t")])])
        assert store.interaction("team", "t") == Interaction("t", ())

    def test_a_repeated_op_changes_nothing(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        assert store.write([example_batch("t")]) == [True]
        before = read_everything(store)
        other = Batch("team", "task t", tasks=[example_task("t", outcome="failed"), example_task("u")])
        assert store.write([other]) == [False]
        assert read_everything(store) == before
        opened = again()
        assert opened.write([other]) == [False]
        assert read_everything(opened) == before

    def test_a_repeated_op_is_not_even_checked(self, store: GraphStore) -> None:
        store.write([Batch("team", "op", insights=[example_insight("i")])])
        assert store.write([Batch("team", "op", insights=[example_insight("i")])]) == [False]

    def test_an_op_repeated_within_one_write_is_done_once(self, store: GraphStore) -> None:
        first = Batch("team", "op", tasks=[example_task("t")])
        second = Batch("team", "op", tasks=[example_task("t", outcome="failed"), example_task("u")])
        assert store.write([first, example_batch("v"), second]) == [True, True, False]
        assert store.task_ids("team") == ["t", "v"]
        assert store.tasks("team", ["t"])[0].outcome == "resolved"

    def test_op_ids_are_a_teams_own(self, store: GraphStore) -> None:
        assert store.write([Batch("a", "op"), Batch("b", "op"), Batch("a", "op")]) == [True, True, False]
        assert store.applied("a", ["op", "other"]) == {"op"}
        assert store.applied("c", ["op"]) == set()
        assert store.applied("a", []) == set()

    def test_applied_survives(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        store.write([Batch("team", f"op {i}") for i in range(5)])
        assert again().applied("team", ["op 0", "op 4", "op 5"]) == {"op 0", "op 4"}

    def test_nothing_to_write(self, store: GraphStore) -> None:
        assert store.write([]) == []
        assert store.write([Batch("team", "empty")]) == [True]
        assert store.teams() == []

    def test_batches_of_one_write_build_on_each_other(self, store: GraphStore) -> None:
        store.write(
            [
                Batch("team", "1", tasks=[example_task("a"), example_task("b")]),
                Batch("team", "2", insights=[example_insight("i")], similar=[similar("a", "b")]),
                Batch("team", "3", insights=[example_insight("i", text="new", version=2)]),
                Batch("team", "4", evidence=[Evidence("a", "i", True, True)]),
            ]
        )
        assert store.insights("team", ["i"])[0].text == "new"
        assert store.standing("team", "i").supports == 1

    @pytest.mark.parametrize("what", REFUSED)
    def test_refuses(self, store: GraphStore, again: Callable[[], GraphStore], what: str) -> None:
        teach(store, ["a", "b"], vectors=True)
        store.write([Batch("team", "insight", insights=[example_insight("i")])])
        before = read_everything(store)
        good = Batch("team", "good", tasks=[example_task("new")], forget_tasks=["b"])
        with pytest.raises(InvalidInput, match=r"\w+ \w+"):
            store.write([good, Batch("team", "bad", **REFUSED[what]), replace(good, op_id="good 2")])
        assert read_everything(store) == before
        assert store.applied("team", ["good", "bad", "good 2"]) == set()
        assert read_everything(again()) == before

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 300])
    def test_refuses_names_that_are_none(self, store: GraphStore, name: str) -> None:
        with pytest.raises(InvalidInput):
            store.write([Batch(name, "op", tasks=[example_task("t", name)])])
        with pytest.raises(InvalidInput):
            store.write([Batch("team", name, tasks=[example_task("t")])])
        assert store.teams() == []

    def test_an_insight_changed_meanwhile_is_a_conflict(self, store: GraphStore) -> None:
        teach(store, ["a"])
        store.write([Batch("team", "1", insights=[example_insight("i")])])
        store.write([Batch("team", "2", insights=[example_insight("i", text="hers", version=2)])])
        before = read_everything(store)
        for number, version in enumerate((1, 2, 4, 0)):
            late = example_insight("i", text="his", version=version)
            with pytest.raises(WriteConflict, match="version"):
                store.write(
                    [
                        Batch("team", f"good {number}", tasks=[example_task("new")]),
                        Batch("team", f"late {number}", insights=[late], evidence=[Evidence("a", "i", True, True)]),
                    ]
                )
        with pytest.raises(WriteConflict):
            store.write([Batch("team", "unborn", insights=[example_insight("j", version=2)])])
        assert read_everything(store) == before
        assert store.write([Batch("team", "3", insights=[example_insight("i", text="ours", version=3)])]) == [True]

    def test_a_replaced_task_is_another_one_in_the_same_place(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        teach(store, ["a", "b", "c"], vectors=True)
        assert store.stats("team").utterances == 9  # whatever the store has cached by now must change, too
        changed = example_task(
            "a", query="water, water for other words", outcome="failed", learned=True, trust=0.5, length=7
        )
        store.write([Batch("team", "change", tasks=[changed], similar=[similar("a", "c")])])
        here = read_everything(store)
        assert store.task_ids("team") == ["a", "b", "c"]
        assert store.task_ids("team", outcome="failed") == ["a"]
        assert store.stats("team").utterances == 13
        found = store.candidates("team", {"other": 1, "words": 1}, None)
        assert [found.lexical[found.rows[id]] > 0 for id in "abc"] == [True, False, False]
        assert store.candidates("team", {"boil": 1}, None).lexical[found.rows["a"]] == 0
        assert read_everything(again()) == here

    def test_replaced_edges_and_entries_count_once(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["a", "b"])
        one = Batch(
            "team", "1", insights=[example_insight("i")], similar=[similar("a", "b", 0.25)],
            evidence=[Evidence("a", "i", True, True)], recalls=[example_recall("r", "a", ("i",))],
            links=[InsightLink("i", "i", "a")], interactions=[example_interaction("a", 1)],
        )  # fmt: skip
        two = replace(
            one, op_id="2", insights=[], similar=[similar("a", "b", 0.75)], evidence=[Evidence("a", "i", False, True)],
            recalls=[example_recall("r", "b", ("a",))], interactions=[example_interaction("a", 2)],
        )  # fmt: skip
        store.write([one, two])
        assert store.neighbours("team", "a") == [similar("a", "b", 0.75)]
        assert store.evidence("team") == two.evidence
        assert (store.standing("team", "i").supports, store.standing("team", "i").contradicts) == (0, 1)
        assert store.recalls("team") == two.recalls
        assert store.recalls("team", "a") == []
        assert (store.tally("team", "i").shown, store.tally("team", "a").shown) == (0, 1)
        assert len(store.links("team")) == 1
        assert len(store.interaction("team", "a").utterances) == 2
        here = read_everything(store)
        assert read_everything(again()) == here

    def test_vectors_need_a_model(self, store: GraphStore) -> None:
        teach(store, ["a"])
        with pytest.raises(InvalidInput, match="model"):
            store.write([Batch("team", "op", vectors={"a": example_vector()})])
        assert store.vectors("team", ["a"]) == {}

    def test_what_is_said_of_an_insight_may_be_asked_to_be_as_it_was_read(self, store: GraphStore) -> None:
        teach(store, ["a", "b"])
        store.write([Batch("team", "new", insights=[example_insight("i")], evidence=[Evidence("a", "i", True, True)])])
        for number, said in enumerate((Evidence("b", "i", True, True), Evidence("a", "i", False, True))):
            seen = {"i": store.evidence("team", insight_id="i")}
            store.write([Batch("team", f"meanwhile {number}", evidence=[said])])
            before = read_everything(store)
            with pytest.raises(WriteConflict, match="'i'"):
                store.write([Batch("team", "merge", tasks=[example_task("c")], forget_insights=["i"], seen=seen)])
            assert read_everything(store) == before
        seen = {"i": store.evidence("team", insight_id="i")[::-1], "nobody": []}
        assert store.write([Batch("team", "merge", forget_insights=["i"], seen=seen)]) == [True]
        assert store.evidence("team") == []
        assert store.write([Batch("team", "merge", forget_insights=["i"], seen=seen)]) == [False]

    def test_the_embedder_is_recorded_and_replaced(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        assert store.embedder() is None
        teach(store, ["a", "b"], vectors=True)
        teach(store, ["a"], "other team")
        small = Model("another one: with spaces, é", 4)
        store.set_embedder(small, [("team", "b", example_vector(1, 4)), ("other team", "a", example_vector(2, 4))])
        assert store.embedder() == small
        assert list(store.vectors("team", ["a", "b"])) == ["b"]
        assert store.vectors("other team", ["a"])["a"].tobytes() == example_vector(2, 4).tobytes()
        assert store.stats("team").vectors == 1
        opened = again()
        assert opened.embedder() == small
        assert list(opened.vectors("team", ["a", "b"])) == ["b"]
        opened.set_embedder(None)
        assert opened.embedder() is None
        assert opened.vectors("team", ["a", "b"]) == {}
        assert not opened.candidates("team", {"boil": 1}, None).has_dense

    def test_an_embedder_that_was_recorded_first_stays(self, store: GraphStore) -> None:
        store.set_embedder(EXAMPLE_MODEL, first=True)
        store.write([example_batch("a", vector=1)])
        for late in (EXAMPLE_MODEL, Model("small", 4), None):
            store.set_embedder(late, first=True)
            assert store.embedder() == EXAMPLE_MODEL
            assert list(store.vectors("team", ["a"])) == ["a"]

    def test_a_write_that_was_embedded_by_another_model_is_refused(self, store: GraphStore) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        longer = Model(EXAMPLE_MODEL.name, EXAMPLE_MODEL.dimension + 1)
        batch = example_batch("a", vector=1)
        for another in (Model("another", EXAMPLE_MODEL.dimension), longer):
            with pytest.raises(EmbedderMismatch, match=f"embedded by {another.name}"):
                store.write([replace(batch, embedder=another)])
        assert store.task_ids("team") == [] and store.applied("team", [batch.op_id]) == set()
        assert store.write([replace(batch, embedder=EXAMPLE_MODEL)]) == [True]
        assert store.vectors("team", ["a"])["a"].tobytes() == example_vector(1).tobytes()

    def test_a_refused_embedder_changes_nothing(self, store: GraphStore) -> None:
        teach(store, ["a", "b"], vectors=True)
        before = read_everything(store)
        good = ("team", "a", example_vector(1, 4))
        for bad in (
            ("team", "nobody", example_vector(1, 4)),
            ("nowhere", "a", example_vector(1, 4)),
            ("team", "b", example_vector(1, 8)),
            ("team", "b", np.full(4, np.nan, dtype=np.float32)),
        ):
            with pytest.raises(InvalidInput):
                store.set_embedder(Model("small", 4), [good, bad])
            assert read_everything(store) == before
        with pytest.raises(InvalidInput):
            store.set_embedder(None, [("team", "a", example_vector())])
        assert read_everything(store) == before

    def test_new_vectors_may_be_made_from_the_store_itself(self, store: GraphStore) -> None:
        teach(store, ["a", "b"], vectors=True)
        store.set_embedder(
            Model("half", 4),
            (("team", id, example_vector(len(store.tasks("team", [id])[0].query), 4)) for id in store.task_ids("team")),
        )
        assert sorted(store.vectors("team", ["a", "b"])) == ["a", "b"]

    def test_unknown_ids_are_told_from_what_cannot_be_an_id(self, store: GraphStore) -> None:
        teach(store, ["a"])
        for id in ("nobody", "", "A", "a ", "%"):
            with pytest.raises(UnknownId):
                store.tasks("team", ["a", id])
            with pytest.raises(UnknownId):
                store.interaction("team", id)
            with pytest.raises(UnknownId):
                store.insights("team", [id])
        with pytest.raises(InvalidInput):
            store.tasks("team", ["\ud800"])
