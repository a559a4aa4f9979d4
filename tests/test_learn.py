"""Learning: what a run leaves behind, which lessons are drawn, and how they live and die."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import BAD, GOOD, kitchen, play

import gmem
from gmem.flow import Flow
from gmem.graphs.base import Standing, Voice
from gmem.learn import Contrast, Lessons, RulesDistiller
from gmem.learn.blame import blame
from gmem.learn.condense import condense
from gmem.learn.lifecycle import duplicates, state_of
from gmem.learn.patterns import follows, patterns, profile
from gmem.learn.ranking import fit, shares
from gmem.model import Insight, Interaction, Task, Utterance
from gmem.stats import fisher
from gmem.text import template


def told(*said: tuple[Any, ...]) -> tuple[Utterance, ...]:
    """Make utterances from (agent, kind, content, inspired_by[, reward])."""
    return tuple(
        Utterance(i, agent, "", kind, content, (), tuple(up), *(rest or (None,)))
        for i, (agent, kind, content, up, *rest) in enumerate(said)
    )


# --- condensing -----------------------------------------------------------------------------------


def test_condensing_keeps_what_the_reward_depends_on() -> None:
    run = told(
        ("a", "message", "plan one", []),
        ("b", "message", "idle chat", []),
        ("a", "action", "open box", [0]),
        ("env", "observation", "It is open.", [2]),
        ("c", "action", "look at wall", [1]),
        ("env", "observation", "A wall.", [4]),
        ("a", "action", "take gold", [3], 5.0),
        ("env", "observation", "You have gold.", [6]),
    )
    assert condense(run, "resolved") == (0, 2, 3, 6, 7)


def test_condensing_drops_steps_without_effect_and_punished_ones() -> None:
    run = told(
        ("a", "action", "take mug", []),
        ("env", "observation", "Nothing happens.", [0]),
        ("a", "action", "open door", [1]),
        ("env", "observation", "Nothing happens.", [2]),
        ("a", "action", "hit troll", [3], -1.0),
        ("env", "observation", "Ouch.", [4]),
        ("a", "action", "go north", [5]),
        ("env", "observation", "A garden.", [6]),
    )
    assert condense(run, "resolved") == (6, 7)
    assert condense(run, "failed") == (4, 5, 6, 7)  # what was punished is what the next team has to know


def test_the_same_answer_to_one_kind_of_action_is_no_waste() -> None:
    run = told(
        ("a", "action", "open door to hall", []),
        ("env", "observation", "The door is now open.", [0]),
        ("a", "action", "open door to yard", [1]),
        ("env", "observation", "The door is now open.", [2]),
    )
    assert condense(run, "resolved") == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [("ok", True), ("Message sent.", True), ("", True), ("It is clean now.", False), ("NO RESULTS", False),
     ("Error: denied", False), ("Nothing happens.", False), ("No known action matches that input.", False)],
)  # fmt: skip
def test_a_bare_receipt_does_not_say_that_nothing_changed(answer: str, kept: bool) -> None:
    run = told(
        ("a", "tool_call", "cancel(2)", []),
        ("env", "tool_result", answer, [0]),
        ("a", "tool_call", "send_mail('customer')", [1]),
        ("env", "tool_result", answer, [2]),
        ("a", "tool_call", "close(17)", [3]),
        ("env", "tool_result", "17 is closed.", [4]),
    )
    assert condense(run, "resolved") == ((0, 1, 2, 3, 4, 5) if kept else (4, 5))


def test_repetitions_are_dropped_from_failures_only() -> None:
    run = told(
        ("a", "action", "wait", []),
        ("env", "observation", "Time passes.", [0]),
        ("a", "action", "wait", [1]),
        ("env", "observation", "Time passes.", [2]),
    )
    assert condense(run, "resolved") == (0, 1, 2, 3)
    assert condense(run, "failed") == (0, 1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["message", "thought", "action", "observation"]),
            st.sampled_from(["x", "y z", "Nothing happens."]),
            st.integers(0, 3),
            st.sampled_from([None, -1.0, 0.0, 2.0]),
        ),
        max_size=12,
    ),
    st.sampled_from(["resolved", "failed", "unknown"]),
)
def test_condensing_any_run_gives_some_of_its_steps_in_order(said: list[Any], outcome: Any) -> None:
    run = told(*((a, k, c, [max(0, i - 1 - back)] if i else [], r) for i, (a, k, c, back, r) in enumerate(said)))
    kept = condense(run, outcome)
    assert list(kept) == sorted(set(kept)) and set(kept) <= {u.seq for u in run}
    assert bool(kept) == bool(run)


# --- blame ----------------------------------------------------------------------------------------


def failed(reason: str = "", feedback: str = "") -> Task:
    return Task("t", "blue", "q", outcome="failed", reason=reason, feedback=feedback)


def test_blame_names_agent_step_and_checkable_reasons() -> None:
    run = told(
        ("ann", "message", "Find the price.", []),
        ("bob", "message", "I assume the price is 7, as usual.", [0]),
        ("cid", "tool_call", "buy(7)", [1]),
        ("shop", "tool_result", "Error: price is 9", [2]),
    )
    suspects = blame(failed("the price was assumed"), run)
    assert suspects[0].agent in ("bob", "cid") and len(suspects) == 3
    by = {s.agent: s for s in suspects}
    assert 'says "assume"' in by["bob"].reason and 'answer to it says "Error"' in by["cid"].reason
    assert "shop" not in by
    assert sum(s.score for s in suspects) <= 1.0001
    assert [s.score for s in suspects] == sorted((s.score for s in suspects), reverse=True)


def test_the_reason_of_the_failure_points_at_an_agent() -> None:
    run = told(
        *((name, "message", f"step of {name}", [i - 1] if i else []) for i, name in enumerate(["ann", "bob", "cid"]))
    )
    assert blame(failed("cid misread the table"), run)[0].agent == "cid"


def test_nobody_is_blamed_for_a_success_or_an_empty_run() -> None:
    run = told(("a", "message", "x", []))
    assert blame(Task("t", "blue", "q", outcome="resolved"), run) == ()
    assert blame(failed(), ()) == ()
    assert blame(failed(), told(("env", "observation", "x", []))) == ()


def test_a_reason_told_later_is_used_and_a_persons_blame_is_kept(words: gmem.Memory, do: Any) -> None:
    with words.task("Add up the bill") as run:
        for name in ("ann", "bob", "cid"):
            run.say(name, f"step of {name}")
        run.fail()
    told = do(words, "feedback", run.id, reason="cid misread the table")
    assert told.blame[0].agent == "cid" and all(s.score < 1 for s in told.blame)
    judged = do(words, "feedback", run.id, blame=("bob", 1, "he forgot the tip"))
    later = do(words, "feedback", run.id, text="ann was late")
    assert later.blame == judged.blame and [s.agent for s in later.blame] == ["bob"]


@pytest.mark.parametrize("blame", [("a", "b"), "abc", ("a", "b", "c"), ("a", True, "c")], ids=range(4))
def test_blame_of_the_wrong_shape_is_refused_by_name(words: gmem.Memory, do: Any, blame: Any) -> None:
    with words.task("Add up the bill") as run:
        run.say("ann", "seven")
        with pytest.raises(gmem.errors.InvalidInput, match="blame"):
            run.fail(blame=blame)
        with pytest.raises(gmem.errors.InvalidInput, match="0 or more"):
            run.spent(tokens=-5)
        run.fail()
    with pytest.raises(gmem.errors.InvalidInput, match="blame"):
        do(words, "feedback", run.id, blame=blame)


def test_weights_that_are_fitted_find_what_they_were_shown() -> None:
    rows = [{"x": 0.0, "y": 1.0, "idle": 1.0}, {"x": 1.0, "y": 0.0, "idle": 1.0}]
    found = fit([(rows, [0.0, 1.0])] * 8, ["x", "y", "idle"], {"idle": 0.5}, 1.0)
    assert found["x"] > 0 > found["y"] and found["idle"] == pytest.approx(0.5)
    assert shares(rows, found)[1] > 0.8 and sum(shares(rows, found)) == pytest.approx(1)
    assert fit([], ["x"], {"x": 2.0}, 1.0) == {"x": 2.0}


# --- patterns and rules ---------------------------------------------------------------------------


def test_templates_keep_what_is_done_not_to_what() -> None:
    assert template("Put the RED book in drawer 3") == "put * in *"
    assert template("take mug 1 from desk 2") == template("take bowl from shelf") == "take * from *"
    assert template("") == ""


def test_a_run_shows_each_of_its_patterns_and_a_lesson_applies_only_where_it_can() -> None:
    task = Task("t", "blue", "q", agents={"a": "planner", "b": "cook"})
    said = told(
        ("a", "message", "go", []),
        ("b", "action", "wash leek with water", [0]),
        ("b", "action", "put leek in pot", [1]),
    )
    run = profile(task, Interaction("t", (Utterance(0, "a", "planner", "message", "go", ("b",)), *said[1:])))
    found = patterns(run)
    assert found == {
        "act|wash * with *",
        "act|put * in *",
        "before|wash * with *|put * in *",
        "talk|planner|cook",
        "last|cook",
    }
    assert all(follows(p, run) for p in found)
    assert follows("before|put * in *|wash * with *", run) is False
    assert follows("before|wash * with *|serve *", run) is None
    assert follows("talk|planner|critic", run) is None
    assert follows("last|planner", run) is False


def test_a_deed_that_is_put_to_an_agent_counts_as_talk() -> None:
    task = Task("t", "blue", "q", agents={"a": "cook", "b": "critic"})
    run = (
        Utterance(0, "a", "cook", "action", "salt leek", ("b",)),
        Utterance(1, "a", "cook", "action", "go", ("pot",)),
    )
    assert profile(task, Interaction("t", run)).talk == {("cook", "critic")}


def test_lessons_carry_the_pair_of_runs_that_taught_them(memory: gmem.Memory) -> None:
    kitchen(memory)
    (lesson,) = (i for i in memory.insights("active") if i.pattern == "act|wash * with *")
    ((good, bad),) = lesson.taught_by
    assert memory.get(good).outcome == "resolved" and memory.get(bad).outcome == "failed"
    standing = memory.store.standing("blue", lesson.id)
    voice = Voice("run", successes=6000, successes_followed=6000, failures=4000)
    assert standing == Standing(successes=6, successes_followed=6, failures=4, failures_followed=0, voices=(voice,))
    assert lesson.origin == "rules" and not any(thing in lesson.text for thing in ("carrot", "kale"))


def test_chance_teaches_nothing(words: gmem.Memory) -> None:
    for i in range(40):
        acts = [
            f"{verb} pot" for bit, verb in enumerate(("stir", "salt", "heat", "lid", "turn")) if (i * 7919 >> bit) & 1
        ]
        play(words, f"dish {i}", acts or ["wait"], resolved=(i * 104729 >> 3) % 2 == 0, run_id=f"run-{i}")
    active = words.insights("active")
    assert len(active) <= 1, [i.text for i in active]


def test_few_runs_teach_nothing_yet(words: gmem.Memory) -> None:
    play(words, "leek", GOOD)
    play(words, "leek", BAD, resolved=False)
    assert words.insights() == []


def test_learning_waits_for_a_verdict_and_then_counts(words: gmem.Memory, do: Any) -> None:
    kitchen(words, good=5, bad=3)
    lesson = next(i for i in words.insights() if i.pattern == "act|wash * with *")
    before = words.store.standing("blue", lesson.id)
    late = play(words, "swede", GOOD, resolved=None)
    assert words.store.standing("blue", lesson.id) == before
    do(words, "feedback", late.id, outcome="resolved")
    after = words.store.standing("blue", lesson.id)
    assert (after.successes, after.successes_followed) == (before.successes + 1, before.successes_followed + 1)
    do(words, "feedback", late.id, outcome="failed", reason="cold")
    turned = words.store.standing("blue", lesson.id)
    assert (turned.successes, turned.failures_followed) == (before.successes, before.failures_followed + 1)


def test_an_outcome_that_is_taken_back_takes_its_evidence_along(words: gmem.Memory, do: Any) -> None:
    kitchen(words, good=5, bad=3)
    before = {i.id: (i.state, words.store.standing("blue", i.id)) for i in words.insights()}
    late = play(words, "swede", GOOD)
    said = words.store.evidence("blue", task_id=late.id)
    assert said
    judged = do(words, "feedback", late.id, outcome="unknown")
    assert (judged.outcome, judged.blame) == ("unknown", ())
    assert words.store.evidence("blue", task_id=late.id) == []
    assert {i.id: (i.state, words.store.standing("blue", i.id)) for i in words.insights() if i.id in before} == before
    assert words.learn() == 0 and words.store.evidence("blue", task_id=late.id) == []
    do(words, "feedback", late.id, outcome="resolved")
    assert {e.insight_id for e in words.store.evidence("blue", task_id=late.id)} >= {e.insight_id for e in said}


def test_a_lesson_whose_runs_are_taken_back_is_not_in_force(words: gmem.Memory, do: Any) -> None:
    kitchen(words)
    lessons = [i.id for i in words.insights("active")]
    assert lessons
    for task in words.tasks():
        do(words, "feedback", task.id, outcome="unknown")
    assert words.store.evidence("blue") == [] and words.insights("active") == []
    assert [i.id for i in words.insights() if i.id in lessons] == lessons, "they are kept, but say nothing"


class Broken(RulesDistiller):
    """A distiller with a flaw in it."""

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        yield from ()
        raise RuntimeError("flaw")


def test_a_flaw_in_learning_costs_no_trace(tmp_path: Any, do: Any, caplog: pytest.LogCaptureFixture) -> None:
    with gmem.Memory(tmp_path / "a.gmem", embedder="none", distiller=Broken()) as memory:
        task = play(memory, "leek")
        assert memory.interaction(task.id).utterances and not task.learned
        assert "learning from" in memory.notices[-1].text
    with gmem.Memory(tmp_path / "a.gmem") as memory:
        assert memory.stats().unlearned == 1
        assert do(memory, "learn") == 1
        assert memory.stats().unlearned == 0 and do(memory, "learn") == 0


def test_what_was_in_use_is_tied_to_what_it_taught(words: gmem.Memory) -> None:
    kitchen(words)
    used = next(i for i in words.insights("active") if i.pattern == "act|wash * with *")
    # The same team then learns something new while that lesson is in use.
    shown = 0
    for i in range(14):
        good = i % 2 == 0
        with words.task(f"Cook a yam {i} in the pot", agents={"ann": "planner", "bob": "cook"}) as run:
            shown += used.id in run.recall().shown
            for action in (f"wash yam {i} with water", *([f"taste yam {i}"] if good else []), f"put yam {i} in pot"):
                run.act("bob", action, f"{action}: done")
            run.resolve() if good else run.fail("bland")
    assert shown >= 5
    taught = next(i for i in words.insights() if i.pattern == "act|taste *")
    links = words.store.links("blue", taught.id)
    assert (used.id, taught.id) in {(link.source, link.target) for link in links}
    assert all(words.get(link.via) for link in links)


# --- the life of an insight -----------------------------------------------------------------------


def insight(**kwargs: Any) -> Insight:
    return Insight(**{"id": "i_1", "team": "blue", "text": "Wash it first", **kwargs})


@pytest.mark.parametrize(
    ("state", "pattern", "standing", "expected"),
    [
        ("candidate", "act|x", Standing(6, 6, 4, 0), "active"),
        ("active", "act|x", Standing(6, 5, 4, 4), "retired"),
        ("active", "act|x", Standing(3, 3, 1, 0), "candidate"),
        ("retired", "act|x", Standing(20, 18, 20, 2), "active"),
        ("quarantined", "act|x", Standing(20, 20, 20, 0), "quarantined"),
        ("rebuild", "act|x", Standing(6, 6, 4, 0), "active"),
        ("candidate", "", Standing(3, 3, 0, 0), "active"),
        ("candidate", "", Standing(1, 1, 1, 0), "candidate"),
        ("active", "", Standing(2, 0, 2, 2), "retired"),
    ],
    ids=range(9),
)
def test_evidence_decides_the_state(state: Any, pattern: str, standing: Standing, expected: str) -> None:
    assert state_of(insight(state=state, pattern=pattern), standing) == expected


def test_written_lessons_that_say_the_same_are_found() -> None:
    a = insight(id="i_a", text="Wash the vegetable before it goes in the pot", created=1.0)
    b = insight(id="i_b", text="Wash the vegetable before it goes in the pot.", created=2.0)
    c = insight(id="i_c", text="Wash the vegetable before it goes in the pot", polarity="avoid", created=3.0)
    d = insight(id="i_d", text="Let the planner speak first", created=4.0)
    assert duplicates([d, c, b, a]) == [(a, b)]


def test_consolidation_merges_and_moves_the_evidence(words: gmem.Memory, do: Any) -> None:
    first, second, third = play(words, "leek"), play(words, "onion"), play(words, "kale")
    from gmem.graphs import Batch
    from gmem.model import Evidence

    a = insight(id="i_a", origin="person", created=1.0)
    b = insight(id="i_b", origin="person", text="Wash it first.", created=2.0)
    words.store.write(
        [
            Batch(
                "blue",
                "by hand",
                insights=[a, b],
                evidence=[Evidence(t.id, i, True, True) for t, i in ((first, "i_a"), (second, "i_b"), (third, "i_b"))],
            )
        ]
    )
    assert do(words, "consolidate") == ("i_b",)
    (kept,) = words.insights()
    assert {e.task_id for e in words.store.evidence("blue", insight_id=kept.id)} == {first.id, second.id, third.id}
    assert do(words, "consolidate") == ("i_a",)  # with all their supports it becomes active
    assert words.insights()[0].state == "active" and do(words, "consolidate") == ()


# --- forgetting -----------------------------------------------------------------------------------


def test_forgetting_removes_a_task_and_what_only_it_supported(words: gmem.Memory, do: Any) -> None:
    kitchen(words)
    canary = play(words, "canary", (*GOOD, "sing canary"), source="zoo", run_id="zoo-1")
    lesson = next(i for i in words.insights("active") if i.pattern == "act|wash * with *")
    receipt = do(words, "forget", source="zoo")
    assert receipt.tasks == (canary.id,) and receipt.utterances == 12 and lesson.id in receipt.rebuild
    assert lesson.id not in words.recall("Cook a swede in the pot").shown
    do(words, "consolidate")
    assert lesson.id in words.recall("Cook a swede in the pot").shown
    assert "canary" not in words.recall("Cook a canary in the pot").text.partition("### ")[2]
    with pytest.raises(gmem.errors.InvalidInput, match="was forgotten"):
        play(words, "canary", (*GOOD, "sing canary"), source="zoo", run_id="zoo-1")
    everything = do(words, "forget", everything=True)
    assert len(everything.tasks) == 10 and words.stats().tasks == words.stats().insights == 0
    assert words.stats().evidence == words.stats().similar == words.stats().recalls == 0


def test_forgetting_wants_exactly_one_thing(words: gmem.Memory, do: Any) -> None:
    for kwargs in ({}, {"task": "a", "agent": "b"}):
        with pytest.raises(gmem.errors.InvalidInput, match="exactly one of"):
            do(words, "forget", **kwargs)
    with pytest.raises(gmem.errors.UnknownId):
        do(words, "forget", task="t_none")
    assert do(words, "forget", agent="nobody").tasks == ()


@pytest.mark.parametrize("table", [(0, 3, 0, 3), (3, 0, 0, 3), (10, 2, 3, 15), (1, 0, 0, 1)], ids=range(4))
def test_fisher_agrees_with_counting_every_table(table: tuple[int, int, int, int]) -> None:
    from itertools import combinations

    a, b, c, d = table
    people = range(a + b + c + d)
    draws = list(combinations(people, a + c)) if len(people) <= 12 else None
    if draws is None:
        assert 0 < fisher(*table) < 0.01
        return
    as_good = sum(sum(p < a + b for p in draw) >= a for draw in draws)
    assert fisher(*table) == pytest.approx(as_good / len(draws))
