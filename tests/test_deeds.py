"""What a run did, what a memory learns of it, and how that decides what is alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import gmem
from gmem.graphs.ridge import fit
from gmem.graphs.talk import TalkIndex
from gmem.graphs.work import SAMPLE, WorkIndex
from gmem.learn.deeds import MOST_KINDS, MOST_TERMS, deeds
from gmem.model import Deeds, Interaction, Kind, Outcome, Task, Utterance
from gmem.text import words

THINGS = ("mug", "plate", "spoon", "vase", "lamp", "pillow", "apple", "knife", "towel", "book", "pen", "cup")
PLACES = ("shelf", "drawer", "table", "safe", "sofa")
VERBS = {"clean": ("clean", "washed"), "heat": ("heat", "hot"), "cool": ("cool", "cold")}


def said(*lines: tuple[str, Kind, str]) -> Interaction:
    """Make an interaction graph of (agent, kind, content)."""
    return Interaction("t", tuple(Utterance(i, a, "", kind, text) for i, (a, kind, text) in enumerate(lines)))


def task(query: str, id: str = "t", outcome: Outcome = "resolved") -> Task:
    return Task(id, "team", query, outcome=outcome)


# --- deeds --------------------------------------------------------------------------------------


def test_objects_go_and_verbs_prepositions_and_tools_stay() -> None:
    found = deeds(
        task("Put the mug in the drawer"),
        said(
            ("bob", "action", "take mug 2 from shelf 1"), ("bob", "action", "take mug 1 from desk 3"),
            ("bob", "observation", "You take the mug from the shelf."), ("bob", "action", "put mug 1 in drawer 4"),
            ("bob", "tool_call", "search(query='the mug', limit=3)"),
        ),
    )  # fmt: skip
    assert found.done == {"take * from *": 2, "put * in *": 1, "search": 1}
    assert found.handled == ("drawer", "mug", "the")
    assert found.said == {}


def test_a_run_that_only_talks_is_known_by_who_spoke_what_was_called_and_key_terms() -> None:
    code = "Let us see:\n```python\nrows = read_table('awnings.csv')\nprint(count_even(rows))\n```"
    found = deeds(
        replace(task("How many awnings?"), agents={"ann": "expert"}),
        said(("ann", "message", code), ("terminal", "message", "The awnings are 8 awnings"), ("ann", "message", "8")),
    )
    assert found.done["expert: speak"] == 2 and found.done["terminal: speak"] == 1
    assert found.done["call read_table"] == found.done["call count_even"] == 1
    assert found.said["awnings"] == 3 and "the" not in found.said


def test_what_echoes_the_memory_is_no_deed() -> None:
    echo = Utterance(0, "bob", "", "action", "take mug 1 from shelf 1", echo=True)
    assert deeds(task("take it"), Interaction("t", (echo,))) == Deeds()


lines = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["action", "message", "tool_call", "thought", "observation"]),
        st.text("abc 1", max_size=12),
    ),
    max_size=60,
)


@given(lines, st.randoms(use_true_random=False))
def test_deeds_do_not_depend_on_the_order_of_the_lines(run: list[tuple[str, Kind, str]], rng: random.Random) -> None:
    shuffled = run[:]
    rng.shuffle(shuffled)
    found = deeds(task("a b c"), said(*run))
    assert found == deeds(task("a b c"), said(*shuffled))
    assert len(found.done) <= MOST_KINDS and len(found.said) <= MOST_TERMS
    assert list(found.done) == sorted(found.done) and all(n > 0 for n in found.done.values())


# --- the regression -----------------------------------------------------------------------------


def test_leaving_out_in_closed_form_is_leaving_out() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((12, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    done = (rows @ rng.standard_normal((5, 3)) > 0).astype(float)
    weight = rng.uniform(0.2, 2, 12)
    found = fit(rows @ rows.T, done, weight)
    share = weight / weight.sum()
    spread = np.sqrt(share @ np.square(done - share @ done))
    target = (done - share @ done) / spread
    for out in range(12):
        kept = np.arange(12) != out
        x, w = rows[kept], np.diag(weight[kept])
        beta = np.linalg.solve(x.T @ w @ x + 0.1 * np.eye(5), x.T @ w @ target[kept])
        guess = (rows[out] @ beta)[found.columns] * found.scale * spread[found.columns]
        assert found.left_out[out] == pytest.approx(guess, abs=1e-4)


def test_what_is_done_in_every_run_or_at_random_weighs_nothing() -> None:
    rng = np.random.default_rng(4)
    kind = np.arange(40) % 2
    rows = np.eye(2)[kind] + 0.05 * rng.standard_normal((40, 2))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    done = np.stack([kind == 0, np.ones(40), rng.random(40) < 0.5], axis=1).astype(float)
    found = fit(rows @ rows.T, done, np.ones(40))
    assert found.columns.tolist() in ([0], [0, 2])
    assert found.scale[0] > 5 * (found.scale[1] if len(found.scale) > 1 else 0)


# --- the index ----------------------------------------------------------------------------------


def household(count: int, seed: int = 1) -> list[Task]:
    """Make tasks of three kinds that name the same things: what is asked for first decides what is done."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        verb = rng.choice(list(VERBS))
        thing, place = rng.choice(THINGS), rng.choice(PLACES)
        query = rng.choice([f"{verb} some {thing} and put it in {place}", f"put a {VERBS[verb][1]} {thing} in {place}"])
        outcome: Outcome = "failed" if rng.random() < 0.15 else "resolved"
        done = {"take * from *": 1, "go to *": rng.randint(1, 9)}
        if outcome == "resolved":
            done |= {f"{verb} * with *": 1, "put * in *": 1}
        made.append(replace(task(query, f"run-{number}", outcome), deeds=Deeds(done, tuple(sorted((place, thing))))))
    return made


def index(tasks: Sequence[Task]) -> WorkIndex:
    made = WorkIndex()
    for row, t in enumerate(tasks):
        made.put(row, t.id, words(t.query), t.deeds, t.outcome, t.trust)
    return made


def test_the_work_is_found_where_the_things_lead_astray() -> None:
    tasks = household(120)
    found = index(tasks).compare(words("put a hot umbrella in safe"))
    assert found.share.max() > 0
    best = np.argsort(-found.alike[: int((found.share > 0).sum())], kind="stable")[:10]
    assert all(tasks[row].query.startswith("heat") or " hot " in tasks[row].query for row in best)


@settings(max_examples=15, deadline=None)
@given(st.integers(7, 16), st.randoms(use_true_random=False))
def test_what_is_learned_does_not_depend_on_the_order_of_the_runs(count: int, rng: random.Random) -> None:
    tasks = household(count, seed=count)
    mixed = tasks[:]
    rng.shuffle(mixed)
    asked = words("cool some lamp and put it in shelf")
    one, other = index(tasks).compare(asked), index(mixed).compare(asked)
    by_id = dict(zip((t.id for t in mixed), zip(other.alike, other.share, strict=True), strict=True))
    for t, alike, share in zip(tasks, one.alike, one.share, strict=True):
        assert by_id[t.id] == pytest.approx((alike, share), abs=2e-3)


def test_growing_and_building_anew_give_the_same_to_the_last_bit() -> None:
    tasks = household(SAMPLE + 60, seed=5)
    grown, asked = WorkIndex(), words("put a cold vase in drawer")
    for row, t in enumerate(tasks):
        grown.put(row, t.id, words(t.query), replace(t.deeds, done={}), "unknown", t.trust)
        grown.put(row, t.id, words(t.query), t.deeds, t.outcome, t.trust)  # judged later
        if row % 97 == 0:
            grown.compare(asked)
    one, other = grown.compare(asked), index(tasks).compare(asked)
    assert one.alike.tolist() == other.alike.tolist() and one.share.tolist() == other.share.tolist()


def test_a_task_that_is_judged_anew_is_learned_anew() -> None:
    tasks = household(40)
    live, asked = index(tasks), words("put a hot pen in safe")
    live.compare(asked)
    for row, t in enumerate(tasks):
        tasks[row] = replace(t, outcome="failed" if row % 2 else "resolved")
        live.put(row, t.id, words(t.query), t.deeds, tasks[row].outcome, 1.0)
    assert live.compare(asked).alike.tolist() == index(tasks).compare(asked).alike.tolist()


@pytest.mark.parametrize("tasks", [[], household(5), [replace(t, deeds=Deeds()) for t in household(60)]])
def test_a_memory_that_cannot_tell_goes_by_the_words(tasks: list[Task]) -> None:
    assert not index(tasks).compare(words("put a hot pen in safe")).share.any()


def test_where_words_say_nothing_of_the_work_they_count_alone() -> None:
    rng = random.Random(7)
    tasks = [
        replace(t, deeds=Deeds({f"{rng.choice(list(VERBS))} *": 1, f"{rng.choice(PLACES)} *": 1}))
        for t in household(90)
    ]
    assert index(tasks).compare(words("put a hot pen in safe")).share.max() <= 0.3


def test_tasks_after_the_last_learning_are_compared_by_their_words() -> None:
    found = index(household(137)).compare(words("put a hot pen in safe"))
    assert found.share[0] > 0 and found.share[-1] == 0


# --- talk ---------------------------------------------------------------------------------------


def test_runs_are_found_by_what_was_said() -> None:
    found = TalkIndex()
    for row, terms in enumerate([{"awning": 4, "address": 1}, {}, {"dojo": 3, "address": 2}]):
        found.put(row, terms)
    scores = found.scores({"dojo": 1, "address": 1, "unheard": 1})
    assert scores.argmax() == 2 and scores[1] == 0 and scores.max() <= 1
    found.put(2, {"awning": 1})
    assert found.scores({"dojo": 1}).tolist() == [0, 0, 0]
    assert not TalkIndex().scores({"dojo": 1}).size


# --- the product --------------------------------------------------------------------------------


def test_recall_finds_the_same_work_and_says_so(memory: gmem.Memory) -> None:
    for number, t in enumerate(household(60, seed=9)):
        verb = next((k for k in t.deeds.done if k.partition(" ")[0] in VERBS), "look").partition(" ")[0]
        with memory.task(t.query, run_id=f"run-{number}") as run:
            for act in (f"take {t.deeds.handled[-1]} 1 from desk 1", f"{verb} {t.deeds.handled[-1]} 1 with it 1",
                        f"put {t.deeds.handled[-1]} 1 in {t.deeds.handled[0]} 1"):  # fmt: skip
                run.act("bob", act, "Done.")
            if t.outcome == "resolved":
                run.resolve()
            else:
                run.fail("it broke")
    recall = memory.recall("put a hot umbrella in safe", seeds=3, cases=3)
    assert recall.solved and all("heat" in c.task.query or " hot " in c.task.query for c in recall.solved)
    shown = [row for row in recall.explain().rows if row.kind == "case"]
    assert all(row.parts["same work"] > 0.5 and row.parts["weight of work"] > 0 for row in shown[:3])
    assert "same work" in str(recall.explain())
    assert recall.solved[0].task.deeds.done["heat * with *"] == 1
