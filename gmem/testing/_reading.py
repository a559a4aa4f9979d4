"""Conformance: what is read, in which order, and by whom."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from gmem.errors import InvalidInput, UnknownId
from gmem.graphs.base import Batch, Candidates, GraphStore, Standing, Tally, TeamStats, Voice
from gmem.model import Deeds, Evidence, InsightLink, Interaction, Suspect, Task
from gmem.testing._suite import HOSTILE_NAMES, Suite, now_and_later, teach
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
from gmem.text import terms, words

__all__ = ["ReadingTests", "household"]


def _lexical(store: GraphStore, query: str) -> dict[str, float]:
    found = store.candidates("team", terms(query), None)
    return {id: float(found.lexical[found.rows[id]]) for id in found.ids}


def _frozen(found: Candidates) -> list[list[Any]]:
    columns = (found.dense, found.lexical, found.talk, found.outcomes, found.trust)
    return [list(found.ids), *(x.tolist() for x in columns)]


def household(number: int, verb: str = "") -> Task:
    """Make a task whose text names a thing, a place and, by another word than the deed, what is to be done."""
    verb = verb or ("heat", "cool", "clean")[number % 3]
    adjective = {"heat": "hot", "cool": "cold"}.get(verb, verb)
    thing, place = ("mug", "apple", "plate", "egg", "pan")[number % 5], ("safe", "drawer", "shelf", "sofa")[number % 4]
    text = f"put a {adjective} {thing} in {place}" if number % 2 else f"{verb} some {thing} and put it in {place}"
    deeds = Deeds({f"{verb} * with *": 1, "go to *": number % 7 + 1, "put * in *": 1}, tuple(sorted((thing, place))))
    return example_task(f"t{number}", query=text, deeds=deeds)


class ReadingTests(Suite):
    """What is read."""

    def test_an_empty_store_answers(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        for opened in now_and_later(store, again):
            assert opened.embedder() is None
            assert opened.teams() == []
            assert opened.task_ids("team") == []
            assert opened.tasks("team", []) == []
            assert opened.insights("team") == []
            assert opened.insights("team", []) == []
            assert opened.vectors("team", ["t"]) == {}
            assert opened.neighbours("team", "t") == []
            assert opened.evidence("team") == []
            assert opened.evidence("team", task_id="t") == opened.evidence("team", insight_id="i") == []
            assert opened.standing("team", "i") == Standing()
            assert opened.links("team") == opened.links("team", "i") == []
            assert opened.recalls("team") == opened.recalls("team", "t") == []
            assert opened.tally("team", "i") == Tally()
            assert opened.applied("team", ["op"]) == set()
            assert opened.check() == []
            found = opened.candidates("team", {"word": 1}, None)
            assert list(found.ids) == []
            assert len(found.dense) == len(found.lexical) == len(found.outcomes) == len(found.trust) == 0
            assert set(astuple(opened.stats("team"))[1:-1]) == {0}
            opened.compact()

    def test_the_location_opens_it_again(self, store: GraphStore) -> None:
        assert isinstance(store.location, str)
        assert store.location

    # --- order --------------------------------------------------------------------------------

    def test_tasks_are_in_the_order_of_their_first_writing(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        ids = ["m", "z", "a", "Z", "10", "9", "é"]
        teach(store, ids[:3])
        teach(store, ids[3:])
        store.write([Batch("team", "again", tasks=[example_task("a", learned=True), example_task("m")])])
        opened = again()
        assert opened.task_ids("team") == ids
        assert opened.task_ids("team", learned=True) == ["a"]
        assert opened.task_ids("team", learned=False) == [i for i in ids if i != "a"]
        assert [t.id for t in opened.tasks("team", ["9", "z", "9"])] == ["9", "z", "9"]

    def test_tasks_are_filtered_by_outcome(self, store: GraphStore) -> None:
        outcomes = ["unknown", "failed", "resolved", "failed"]
        store.write(
            [
                Batch("team", f"{n}", tasks=[example_task(f"t{n}", outcome=o, learned=n > 1)])
                for n, o in enumerate(outcomes)
            ]
        )
        assert store.task_ids("team", outcome="failed") == ["t1", "t3"]
        assert store.task_ids("team", outcome="failed", learned=True) == ["t3"]
        assert store.task_ids("team", outcome="unknown") == ["t0"]

    def test_insights_are_by_id_and_filtered_by_state(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        states = {"b": "active", "a": "candidate", "10": "retired", "9": "active", "é": "rebuild", "B": "quarantined"}
        insights = [example_insight(id, state=state) for id, state in states.items()]
        store.write([Batch("team", "op", insights=insights)])
        opened = again()
        assert [i.id for i in opened.insights("team")] == sorted(states)
        assert [i.id for i in opened.insights("team", states=["active"])] == ["9", "b"]
        assert [i.id for i in opened.insights("team", states=["active", "rebuild"])] == ["9", "b", "é"]
        assert [i.id for i in opened.insights("team", ["b", "10", "b"])] == ["b", "10", "b"]
        assert [i.id for i in opened.insights("team", ["b", "10", "9"], states=["active"])] == ["b", "9"]
        with pytest.raises(UnknownId):
            opened.insights("team", ["b", "nothing"], states=["retired"])

    def test_neighbours_are_by_score_then_id(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["m", "z", "a", "b", "q"])
        edges = [similar("m", "z", 0.5), similar("m", "a", 0.5), similar("m", "b", 0.9), similar("m", "q", 0.1)]
        store.write([Batch("team", "op", similar=[*edges, similar("a", "b", 1.0)])])
        for opened in now_and_later(store, again):
            ordered = opened.neighbours("team", "m")
            assert [e.b if e.a == "m" else e.a for e in ordered] == ["b", "a", "z", "q"]
            assert [e.score for e in ordered] == [0.9, 0.5, 0.5, 0.1]
            assert all(e.a < e.b for e in ordered)
            assert opened.neighbours("team", "b") == [similar("a", "b", 1.0), similar("m", "b", 0.9)]
            assert opened.neighbours("team", "nobody") == []

    def test_evidence_says_which_way_it_points(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["c", "a", "b", "d"])
        evidence = [
            Evidence("c", "i", True, True), Evidence("a", "i", True, False), Evidence("b", "i", False, True),
            Evidence("d", "i", False, False), Evidence("a", "h", True, True), Evidence("a", "j", True, True),
        ]  # fmt: skip
        insights = [example_insight(id) for id in "ihj"]
        store.write([Batch("team", "op", insights=insights, evidence=evidence)])
        for opened in now_and_later(store, again):
            assert opened.evidence("team") == sorted(evidence, key=lambda e: (e.task_id, e.insight_id))
            assert [e.insight_id for e in opened.evidence("team", task_id="a")] == ["h", "i", "j"]
            about = opened.evidence("team", insight_id="i")
            assert [(e.task_id, e.type) for e in about] == [
                ("a", "CONTRADICTS"), ("b", "CONTRADICTS"), ("c", "SUPPORTS"), ("d", "SUPPORTS"),
            ]  # fmt: skip
            assert opened.evidence("team", task_id="a", insight_id="i") == [Evidence("a", "i", True, False)]
            assert opened.evidence("team", task_id="b", insight_id="h") == []
            standing = opened.standing("team", "i")
            assert standing == Standing(2, 1, 2, 1, (Voice("run", 2000, 1000, 2000, 1000),))
            assert (standing.supports, standing.contradicts) == (2, 2)
            assert opened.standing("team", "nothing") == Standing()

    def test_evidence_is_counted_by_source_and_trust_as_they_are_now(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        told = {"a": ("run", 1.0), "b": ("import", 0.3), "c": ("import", 0.25), "d": ("loud", 0.0)}
        store.write([example_batch(id, source=source, trust=trust) for id, (source, trust) in told.items()])
        evidence = [Evidence(id, "i", id != "c", id != "b") for id in told]
        store.write([Batch("team", "op", insights=[example_insight("i")], evidence=evidence)])
        here = Standing(3, 2, 1, 1, (Voice("import", 250, 0, 300, 300), Voice("run", 1000, 1000)))
        for opened in now_and_later(store, again):
            assert opened.standing("team", "i") == here
            assert opened.origins("team", ["c", "nobody", "a"]) == {"a": ("run", 1.0), "c": ("import", 0.25)}
        last = again()
        last.write([Batch("team", "later", tasks=[example_task("b", source="run", trust=0.5)])])
        here = Standing(3, 2, 1, 1, (Voice("import", 250), Voice("run", 1000, 1000, 500, 500)))
        for opened in now_and_later(last, again):
            assert opened.standing("team", "i") == here

    def test_what_was_done_is_told_by_numbers(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        washed, dried = Deeds({"wash *": 2, "dry *": 1}), Deeds({"dry *": 1}, (), {"towel": 3})
        store.write(
            [example_batch("a", deeds=washed), example_batch("b", deeds=dried), example_batch("c", deeds=Deeds())]
        )
        for opened in now_and_later(store, again):
            done = opened.done("team", ["b", "nobody", "a", "c"])
            assert {id: len(set(numbers.tolist())) for id, numbers in done.items()} == {"a": 3, "b": 2, "c": 0}
            assert len(set(done["a"].tolist()) & set(done["b"].tolist())) == 1
            assert opened.done("other", ["a"]) == {}
        last = again()
        last.write([Batch("team", "later", tasks=[example_task("c", deeds=washed)])])
        for opened in now_and_later(last, again):
            done = opened.done("team", ["a", "c"])
            assert sorted(done["a"].tolist()) == sorted(done["c"].tolist())

    def test_failures_for_which_a_person_blamed_somebody_are_known(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        sure, unsure = (Suspect("Bob", 1, "he slept", 1.0),), (Suspect("Bob", 1, "he is early", 0.9),)
        failed = {"c": sure, "a": unsure, "b": sure, "d": ()}
        store.write([example_batch(id, outcome="failed", blame=blame) for id, blame in failed.items()])
        store.write([example_batch("e")])
        for opened in now_and_later(store, again):
            assert opened.confirmed("team") == ["b", "c"]
            assert opened.confirmed("other") == []
        last = again()
        changed = [example_task("b", blame=()), example_task("a", outcome="failed", blame=sure)]
        last.write([Batch("team", "judged", tasks=changed)])
        for opened in now_and_later(last, again):
            assert opened.confirmed("team") == ["a", "c"]

    def test_a_task_and_an_insight_may_share_an_id(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["x", "y"])
        edges = [Evidence("x", "x", True, True), Evidence("y", "x", True, True), Evidence("x", "y", True, True)]
        insights = [example_insight("x"), example_insight("y")]
        store.write([Batch("team", "op", insights=insights, evidence=edges)])
        assert store.evidence("team", task_id="x") == [edges[0], edges[2]]
        assert store.evidence("team", insight_id="x") == [edges[0], edges[1]]
        store.write([Batch("team", "forget", forget_tasks=["x"])])
        opened = again()
        assert [i.id for i in opened.insights("team")] == ["x", "y"]
        assert opened.evidence("team") == [edges[1]]
        opened.write([Batch("team", "forget 2", forget_insights=["y"])])
        assert opened.task_ids("team") == ["y"]
        assert opened.evidence("team") == [edges[1]]

    def test_links_are_by_their_ends(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["s", "t"])
        links = [InsightLink(*ends) for ends in (("b", "a", "t"), ("a", "c", "t"), ("a", "b", "t"), ("a", "b", "s"))]
        store.write([Batch("team", "op", insights=[example_insight(i) for i in "abc"], links=links)])
        for opened in now_and_later(store, again):
            assert opened.links("team") == [links[3], links[2], links[1], links[0]]
            assert opened.links("team", "c") == [links[1]]
            assert opened.links("team", "b") == [links[3], links[2], links[0]]

    def test_recalls_are_by_time_then_id(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["t", "u"])
        events = [
            example_recall("r9", "t", time=5.0), example_recall("r1", "u", time=5.0),
            example_recall("r5", "t", time=1.0), example_recall("r2", "t", time=9.0),
        ]  # fmt: skip
        store.write([Batch("team", "op", recalls=events)])
        for opened in now_and_later(store, again):
            assert [e.id for e in opened.recalls("team")] == ["r5", "r1", "r9", "r2"]
            assert [e.id for e in opened.recalls("team", "t")] == ["r5", "r9", "r2"]

    # --- counting -----------------------------------------------------------------------------

    def test_tally_counts_verified_runs_once(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        outcomes = {"a": "resolved", "b": "failed", "c": "unknown", "d": "resolved", "e": "failed"}
        store.write([Batch("team", id, tasks=[example_task(id, outcome=o)]) for id, o in outcomes.items()])
        events = [
            example_recall("1", "a", ("i", "a")), example_recall("2", "a", ("i",)), example_recall("3", "b", ("i",)),
            example_recall("4", "c", ("i",)), example_recall("5", "d", (), withheld=("i",)),
            example_recall("6", "e", (), withheld=("i", "i")),
            example_recall("7", "a", (), withheld=("i",)),  # it had been shown before: no control
        ]  # fmt: skip
        store.write([Batch("team", "op", recalls=events)])
        for opened in now_and_later(store, again):
            assert opened.tally("team", "i") == Tally(2, 1, 2, 1)
            assert opened.tally("team", "a") == Tally(1, 1, 0, 0)
        opened.write([Batch("team", "feedback", tasks=[example_task("c", outcome="resolved")])])
        assert opened.tally("team", "i") == Tally(3, 2, 2, 1)

    def test_stats_count_everything(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, ["a", "b"], vectors=True)
        batch = Batch(
            "team", "more",
            tasks=[example_task("c", outcome="failed", length=4, learned=True), example_task("d", outcome="unknown")],
            insights=[example_insight("i"), example_insight("j", state="retired")],
            similar=[similar("a", "b"), similar("a", "c")], evidence=[Evidence("a", "i", True, True)],
            links=[InsightLink("i", "j", "a")], recalls=[example_recall("r", "a")],
        )  # fmt: skip
        store.write([batch])
        for opened in now_and_later(store, again):
            stats = opened.stats("team")
            assert stats.bytes > 0
            assert stats == TeamStats(
                team="team", tasks=4, resolved=2, failed=1, unknown=1, unlearned=3, utterances=13, insights=2,
                active_insights=1, similar=2, evidence=1, links=1, recalls=1, vectors=2, bytes=stats.bytes,
            )  # fmt: skip

    # --- candidates ---------------------------------------------------------------------------

    def test_the_same_words_score_1_and_no_common_word_0(self, store: GraphStore) -> None:
        queries = {
            "a": "boil the water", "b": "find a red book in the library", "c": "the", "d": "water water water plants",
            "e": "?!", "f": "\uff22oil THE wate\uff52", "g": "沸かす お湯", "h": "boil boil the the water water",
        }  # fmt: skip
        store.write([Batch("team", id, tasks=[example_task(id, query=q)]) for id, q in queries.items()])
        for id, query in queries.items():
            scores = _lexical(store, query)
            assert all(0.0 <= s <= 1.0 for s in scores.values())
            assert math.isclose(scores[id], 0.0 if id == "e" else 1.0, abs_tol=1e-5)
            assert max(scores.values()) == pytest.approx(scores[id], abs=1e-5)
        assert _lexical(store, "boil the water")["f"] == pytest.approx(1.0, abs=1e-5)
        assert 0 < _lexical(store, "boil the water")["d"] < 0.9
        assert set(_lexical(store, "unheard of").values()) == {0.0}
        assert set(_lexical(store, "").values()) == {0.0}

    def test_a_rare_word_weighs_more_than_a_common_one(self, store: GraphStore) -> None:
        queries = {f"t{n}": "put the book on the desk" for n in range(8)} | {"rare": "polish the lamp"}
        store.write([Batch("team", id, tasks=[example_task(id, query=q)]) for id, q in queries.items()])
        scores = _lexical(store, "the lamp")
        assert scores["rare"] > 2 * scores["t0"] > 0

    def test_candidates_carry_what_ranking_needs(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        store.write(
            [
                example_batch("a", vector=1, outcome="resolved", trust=0.25),
                example_batch("b", vector=2, outcome="failed"),
                example_batch("c", outcome="unknown"),
            ]
        )
        for opened in now_and_later(store, again):
            found = opened.candidates("team", {}, example_vector(1))
            assert sorted(found.ids) == ["a", "b", "c"]
            at = [found.rows[id] for id in "abc"]
            assert [found.ids[row] for row in at] == ["a", "b", "c"]
            assert found.has_dense
            assert found.exact
            kinds = [str(x.dtype) for x in (found.dense, found.lexical, found.outcomes, found.trust)]
            assert kinds == ["float32", "float32", "int8", "float32"]
            expected = [1.0, float(example_vector(1) @ example_vector(2)), 0.0]
            assert found.dense[at] == pytest.approx(expected, abs=1e-5)
            assert float(np.abs(found.dense).max()) <= 1.0
            assert list(found.outcomes[at]) == [1, -1, 0]
            assert found.trust[at] == pytest.approx([0.25, 1.0, 1.0])
            by_words = opened.candidates("team", {"boil": 1}, None)
            assert not by_words.has_dense
            assert not by_words.dense.any()

    def test_candidates_do_not_change_afterwards(self, store: GraphStore) -> None:
        teach(store, ["a", "b"], vectors=True)
        found = store.candidates("team", {"boil": 1}, example_vector(0))
        before = _frozen(found)
        store.write([example_batch("c", vector=5), Batch("team", "x", tasks=[example_task("a", outcome="failed")])])
        store.write([Batch("team", "forget", forget_tasks=["b"])])
        assert _frozen(found) == before
        assert [found.rows[id] for id in found.ids] == [0, 1]

    def test_what_work_a_query_takes_is_learned_from_the_set_of_tasks(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        tasks = [household(number) for number in range(36)]
        store.write([Batch("team", task.id, tasks=[task]) for task in tasks[:20]])
        store.write([Batch("team", "rest", tasks=[*tasks[20:], household(99, "wash")])])
        store.write([Batch("team", "forget", forget_tasks=["t99"])])
        store.write([Batch("other", "all", tasks=[replace(task, team="other") for task in reversed(tasks)])])
        asked = "put a hot umbrella in safe"
        for opened in now_and_later(store, again):
            one, other = (opened.candidates(team, terms(asked), None, words=words(asked)) for team in ("team", "other"))
            assert one.work is not None
            assert other.work is not None
            assert 0 < one.work.share < 1
            assert one.work.expected[0] == "heat * with *"
            assert {"hot", "put"} <= set(one.work.telling)
            assert not {"umbrella", "safe"} & set(one.work.telling)
            assert (one.work.share, one.work.telling) == (other.work.share, other.work.telling)
            assert one.work.expected == other.work.expected
            alike = [float(other.work.alike[other.rows[id]]) for id in one.ids]
            assert one.work.alike.tolist() == pytest.approx(alike, abs=1e-3)
            assert opened.candidates("team", terms(asked), None).work is None
            assert opened.candidates("nobody", {}, None, words=["put"]).work is None

    @pytest.mark.parametrize(
        "vector", [example_vector(0, 7), np.full(8, np.nan, dtype=np.float32)], ids=["length", "NaN"]
    )
    def test_a_query_vector_that_does_not_fit_is_refused(self, store: GraphStore, vector: Any) -> None:
        teach(store, ["a"], vectors=True)
        with pytest.raises(InvalidInput):
            store.candidates("team", {}, vector)

    # --- teams --------------------------------------------------------------------------------

    def test_teams_never_see_each_other(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        for number, name in enumerate(HOSTILE_NAMES):
            store.write([_everything_of(name, number)])
        for opened in now_and_later(store, again):
            assert opened.teams() == sorted(HOSTILE_NAMES)
            everything = read_everything(opened)
            for number, name in enumerate(HOSTILE_NAMES):
                own = everything[name]
                assert own["ids"] == ["t", "u"], name
                assert {t.team for t in own["tasks"]} == {name}
                assert [t.context for t in own["tasks"]] == [f"scene {number}"] * 2
                assert own["interactions"][0].utterances[0].agent == f"agent {number}"
                assert [i.text for i in own["insights"]] == [f"lesson {number}"]
                assert own["vectors"] == {"t": example_vector(number).tobytes()}
                assert own["neighbours"][0] == [similar("t", "u", number / 100)]
                assert [r.tokens for r in own["recalls"]] == [number]
                assert own["stats"]["tasks"] == 2
                assert own["stats"]["similar"] == own["stats"]["links"] == own["stats"]["evidence"] == 1
                assert opened.applied(name, ["op", *HOSTILE_NAMES]) == {"op"}

    def test_forgetting_stays_within_a_team(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        for number, name in enumerate(HOSTILE_NAMES):
            store.write([_everything_of(name, number)])
        before = read_everything(store)
        for name in HOSTILE_NAMES[::2]:
            store.write([Batch(name, "forget", forget_tasks=["t", "u"], forget_insights=["i"])])
        after = read_everything(again())
        assert after["teams"] == sorted(HOSTILE_NAMES[1::2])
        assert all(after[name] == before[name] for name in HOSTILE_NAMES[1::2])

    def test_ids_are_compared_exactly(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        teach(store, HOSTILE_NAMES)
        hub = HOSTILE_NAMES[0]
        edges = [similar(hub, other, 0.5) for other in HOSTILE_NAMES[1:]]
        store.write([Batch("team", "op", similar=edges, insights=[example_insight(id) for id in HOSTILE_NAMES])])
        store.write([Batch("team", "op 2", links=[InsightLink(hub, id, id) for id in HOSTILE_NAMES])])
        opened = again()
        assert opened.task_ids("team") == list(HOSTILE_NAMES)
        assert [t.id for t in opened.tasks("team", HOSTILE_NAMES)] == list(HOSTILE_NAMES)
        assert len(opened.neighbours("team", hub)) == len(edges)
        for name in HOSTILE_NAMES[1:]:
            assert opened.neighbours("team", name) == [similar(hub, name, 0.5)]
            assert opened.links("team", name) == [InsightLink(hub, name, name)]
        opened.write([Batch("team", "forget", forget_tasks=HOSTILE_NAMES[1::2])])
        assert opened.task_ids("team") == list(HOSTILE_NAMES[::2])
        assert len(opened.neighbours("team", hub)) == len(HOSTILE_NAMES[2::2])


def _everything_of(team: str, number: int) -> Batch:
    said = tuple(replace(u, agent=f"agent {number}") for u in example_interaction("t").utterances)
    return Batch(
        team,
        "op",
        tasks=[example_task(id, team, context=f"scene {number}") for id in "tu"],
        interactions=[Interaction("t", said)],
        vectors={"t": example_vector(number)},
        similar=[similar("t", "u", number / 100)],
        insights=[example_insight("i", team, text=f"lesson {number}")],
        evidence=[Evidence("t", "i", True, True)],
        links=[InsightLink("i", "i", "t")],
        recalls=[example_recall("r", "t", ("i",), tokens=number)],
    )
