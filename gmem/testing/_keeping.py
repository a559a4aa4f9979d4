"""Conformance: forgetting, reopening, checking, closing, and several users at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from gmem.errors import StoreClosed, UnknownId, WriteConflict
from gmem.graphs.base import Batch, GraphStore, Standing
from gmem.model import Evidence, InsightLink
from gmem.testing._suite import Suite, now_and_later, teach
from gmem.testing.examples import (
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_recall,
    example_task,
    example_vector,
    read_everything,
    similar,
)

__all__ = ["KeepingTests"]


def _web(store: GraphStore) -> None:
    """Write three tasks and three insights with every kind of edge between all of them."""
    teach(store, ["a", "b", "c"], vectors=True)
    store.write(
        [
            Batch(
                "team",
                "web",
                insights=[example_insight(i) for i in "xyz"],
                similar=[similar("a", "b"), similar("b", "c"), similar("a", "c")],
                evidence=[Evidence(t, i, True, t != "b") for t in "abc" for i in "xyz"],
                links=[InsightLink(s, t, v) for s in "xyz" for t in "xyz" if s != t for v in "abc"],
                recalls=[
                    example_recall("ra", "a", ("x", "b", "y"), withheld=("b", "z"), time=1.0),
                    example_recall("rb", "b", ("x", "a"), time=2.0),
                    example_recall("rc", "c", ("z", "a"), withheld=("y",), time=3.0),
                ],
            )
        ]
    )


class KeepingTests(Suite):
    """What becomes of a store over time."""

    def test_a_forgotten_task_is_gone_with_all_that_hangs_on_it(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        assert store.write([Batch("team", "forget", forget_tasks=["b"])]) == [True]
        here = read_everything(store)
        for opened in now_and_later(store, again):
            with pytest.raises(UnknownId):
                opened.tasks("team", ["b"])
            with pytest.raises(UnknownId):
                opened.interaction("team", "b")
            assert opened.task_ids("team") == ["a", "c"]
            assert opened.vectors("team", ["a", "b", "c"]).keys() == {"a", "c"}
            assert opened.neighbours("team", "b") == []
            assert opened.neighbours("team", "a") == [similar("a", "c")]
            assert opened.evidence("team", task_id="b") == []
            assert len(opened.evidence("team")) == 6
            assert {link.via for link in opened.links("team")} == {"a", "c"}
            assert [r.id for r in opened.recalls("team")] == ["ra", "rc"]
            assert opened.recalls("team", "b") == []
            assert opened.recalls("team", "a") == [example_recall("ra", "a", ("x", "y"), withheld=("z",), time=1.0)]
            assert opened.tally("team", "b") == type(opened.tally("team", "b"))()
            assert opened.tally("team", "x").shown == 1
            assert opened.standing("team", "x").supports == 2
            assert "b" not in opened.candidates("team", {"boil": 1}, None).ids
            assert len(opened.insights("team")) == 3
            assert opened.check() == []
            assert read_everything(opened) == here

    def test_a_forgotten_insight_is_gone_with_all_that_hangs_on_it(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        store.write([Batch("team", "forget", forget_insights=["y"])])
        here = read_everything(store)
        for opened in now_and_later(store, again):
            with pytest.raises(UnknownId):
                opened.insights("team", ["y"])
            assert [i.id for i in opened.insights("team")] == ["x", "z"]
            assert {e.insight_id for e in opened.evidence("team")} == {"x", "z"}
            assert {x for e in opened.links("team") for x in (e.source, e.target)} == {"x", "z"}
            assert opened.standing("team", "y") == type(opened.standing("team", "y"))()
            assert opened.recalls("team", "a")[0].shown == ("x", "b")
            assert opened.recalls("team", "c")[0].withheld == ()
            assert opened.task_ids("team") == ["a", "b", "c"]
            assert len(opened.recalls("team")) == 3
            assert opened.check() == []
            assert read_everything(opened) == here

    def test_a_task_can_take_back_what_it_said_of_insights(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        assert len(store.evidence("team", task_id="b")) == 3
        before = read_everything(store)["team"]
        assert store.write([Batch("team", "back", forget_evidence=["b", "nobody"])]) == [True]
        assert store.write([Batch("team", "back", forget_evidence=["a"])]) == [False]
        for opened in now_and_later(store, again):
            assert opened.evidence("team", task_id="b") == opened.evidence("team", task_id="b", insight_id="x") == []
            assert {e.task_id for e in opened.evidence("team")} == {"a", "c"}
            assert [e.task_id for e in opened.evidence("team", insight_id="x")] == ["a", "c"]
            assert replace(opened.standing("team", "x"), voices=()) == Standing(successes=2, successes_followed=2)
            assert opened.stats("team").evidence == 6
            after = read_everything(opened)["team"]
            told = {name for name in before if before[name] != after[name]}
            assert told <= {"evidence", "evidence of", "evidence about", "standing", "stats"}, told
            assert opened.check() == []
        said = Evidence("b", "x", False, False)
        written = again()
        written.write([Batch("team", "anew", evidence=[said])])
        for opened in now_and_later(written, again):
            assert opened.evidence("team", task_id="b") == [said]
            assert opened.standing("team", "x").failures == 1

    def test_what_is_said_and_taken_back_at_once_is_gone(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        turned = Evidence("a", "x", True, False)
        store.write([
            Batch("team", "1", evidence=[turned], forget_evidence=["a"]),
            Batch("team", "2", evidence=[Evidence("a", "y", True, False)]),
            Batch("team", "3", forget_evidence=["b", "c"], forget_tasks=["b"], forget_insights=["z"]),
        ])  # fmt: skip
        for opened in now_and_later(store, again):
            assert opened.evidence("team") == [Evidence("a", "y", True, False)]
            assert opened.check() == []
        opened = again()
        with pytest.raises(WriteConflict):
            opened.write([Batch("team", "4", insights=[example_insight("x", version=7)], forget_evidence=["a"])])
        assert opened.evidence("team") == again().evidence("team") == [Evidence("a", "y", True, False)]

    def test_forgetting_can_be_repeated_and_undone_by_writing_anew(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        store.write([Batch("team", "forget", forget_tasks=["b", "nobody"], forget_insights=["x", "nothing"])])
        once = read_everything(store)
        assert store.write([Batch("team", "forget", forget_tasks=["a"])]) == [False]
        assert store.write([Batch("team", "forget 2", forget_tasks=["b"], forget_insights=["x"])]) == [True]
        assert read_everything(store) == once
        anew = Batch("team", "anew", tasks=[example_task("b")], insights=[example_insight("x", text="a new life")])
        store.write([anew])
        opened = again()
        assert opened.task_ids("team") == ["a", "c", "b"]
        assert opened.insights("team", ["x"])[0].text == "a new life"
        assert opened.evidence("team", insight_id="x") == opened.evidence("team", task_id="b") == []
        assert opened.vectors("team", ["b"]) == {}
        assert opened.interaction("team", "b").utterances == ()
        assert opened.neighbours("team", "b") == []

    def test_what_is_written_and_forgotten_in_one_write_is_gone(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        new = Batch(
            "team", "new", tasks=[example_task("d")], similar=[similar("a", "d"), similar("c", "d")],
            evidence=[Evidence("d", "x", True, True)], links=[InsightLink("x", "y", "d")],
            recalls=[example_recall("rd", "d"), example_recall("re", "a", ("d", "x"))],
        )  # fmt: skip
        store.write([new, Batch("team", "forget", forget_tasks=["d"])])
        assert store.neighbours("team", "a") == [similar("a", "b"), similar("a", "c")]
        assert store.recalls("team", "a")[-1].shown == ("x",)
        opened = again()
        assert opened.task_ids("team") == ["a", "b", "c"]
        assert opened.check() == []
        both = Batch("team", "both", tasks=[example_task("e")], forget_tasks=["e"])
        opened.write([both])
        assert opened.task_ids("team") == ["a", "b", "c"]

    def test_a_team_that_is_forgotten_whole_is_no_team(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        teach(store, ["a"], "other")
        store.write([Batch("team", "forget", forget_tasks=["a", "b", "c"], forget_insights=["x", "y", "z"])])
        assert store.teams() == ["other"]
        stats = store.stats("team")
        assert (stats.tasks, stats.recalls, stats.links, stats.evidence, stats.vectors) == (0, 0, 0, 0, 0)
        assert again().teams() == ["other"]

    def test_everything_survives_reopening_and_compacting(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        _web(store)
        teach(store, ["a", "b"], "other")
        store.write([Batch("team", "forget", forget_tasks=["a"])])
        before = read_everything(store)
        store.compact()
        assert read_everything(store) == before
        opened = again()
        assert read_everything(opened) == before
        assert opened.check() == []
        opened.compact()
        opened.write([example_batch("new", vector=1)])
        assert opened.task_ids("team") == ["b", "c", "new"]

    def test_a_closed_store_says_so(self, store: GraphStore) -> None:
        teach(store, ["a"])
        store.close()
        store.close()
        for call in (
            lambda: store.write([example_batch("b")]),
            lambda: store.set_embedder(None),
            lambda: store.tasks("team", ["a"]),
            lambda: store.task_ids("team"),
            lambda: store.candidates("team", {}, None),
            lambda: store.interaction("team", "a"),
            lambda: store.embedder(),
            lambda: store.compact(),
            lambda: store.check(),
        ):
            with pytest.raises(StoreClosed):
                call()

    def test_threads_share_one_store(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        errors: list[BaseException] = []
        wins: list[int] = []

        def work(number: int) -> None:
            try:
                for i in range(6):
                    id = f"{number}.{i}"
                    assert store.write([example_batch(id, vector=i)]) == [True]
                    assert store.tasks("team", [id])[0].id == id
                    assert id in store.task_ids("team")
                    found = store.candidates("team", {"boil": 1}, example_vector(i))
                    assert found.rows[id] < len(found.ids)
                    store.write([Batch("team", f"shared {i}", tasks=[example_task(f"shared {i}")])])
                    try:
                        store.write([Batch("team", f"race {id}", insights=[example_insight("i", version=i + 1)])])
                        wins.append(i)
                    except WriteConflict:
                        pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert sorted(wins) == list(range(len(wins)))
        assert wins
        opened = again()
        assert len(opened.task_ids("team")) == 8 * 6 + 6
        assert opened.insights("team", ["i"])[0].version == len(wins)
        assert opened.check() == []
