"""Runs of the very same task: which of them are told, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import AGENTS, play

import gmem
from gmem.model import Interaction, Task, Utterance
from gmem.recall.spread import alike, handled, proof, spread

QUERY = "Find the oldest animal in the garden"


def found(memory: gmem.Memory, animal: str, *before: str, query: str = QUERY, run_id: str = "") -> gmem.Task:
    return play(memory, animal, (*before, "focus on {0}"), query=query, run_id=run_id or None)


def acts(*deeds: tuple[str, float | None]) -> tuple[Task, Interaction]:
    said = tuple(Utterance(i, "bob", "cook", "action", text, reward=gain) for i, (text, gain) in enumerate(deeds))
    return Task("t", "blue", QUERY, outcome="resolved", key_steps=tuple(range(len(said)))), Interaction("t", said)


def test_equal_tasks_are_told_by_what_differs(words: gmem.Memory, do: Any) -> None:
    for number in range(4):
        found(words, "tortoise", *["open door"] * number, run_id=f"again-{number}")
    parrot = found(words, "parrot", run_id="parrot")
    recall = do(words, "recall", QUERY, cases=2)
    assert [c.task.id for c in recall.solved] == [parrot.id, "again-0"]
    held = {row.id: row.why for row in recall.explain().rows if row.verdict == "cut"}
    assert held == {f"again-{n}": "the same task as again-0, and much the same was done" for n in (1, 2, 3)}
    assert "much the same was done" in str(recall.explain())


def test_other_tasks_keep_their_places(words: gmem.Memory) -> None:
    for number in range(4):
        found(words, "tortoise", *["open door"] * number, run_id=f"again-{number}")
    other = found(words, "hedgehog", query="Find the oldest animal in the garden shed")
    recall = words.recall("Find the oldest animal in the garden shed", cases=3)
    assert recall.solved[0].task == other
    assert [c.task.query for c in recall.solved[1:]] == [QUERY, QUERY]


def test_what_could_crowd_nothing_out_is_left_as_it_is(words: gmem.Memory) -> None:
    first = found(words, "tortoise", "open door")
    second = found(words, "tortoise")
    recall = words.recall(QUERY, cases=1)
    assert [c.task for c in recall.solved] in ([first], [second])
    assert all(row.verdict == "shown" for row in recall.explain().rows if row.kind == "case")


def test_a_run_that_is_not_trusted_stands_for_no_other(words: gmem.Memory) -> None:
    for number in range(1, 4):
        found(words, "tortoise", *["open door"] * number, run_id=f"again-{number}")
    with words.task(QUERY, agents=AGENTS, run_id="short", trust=0.4) as run:
        run.act("bob", "focus on tortoise", "You focus on tortoise.")
        run.resolve(1.0)
    assert words.recall(QUERY, cases=2).solved[0].task.id == "again-1"


def test_runs_that_failed_or_were_not_judged_stand_for_no_others(words: gmem.Memory) -> None:
    found(words, "tortoise", "open door", run_id="good")
    play(words, "tortoise", ("focus on {0}",), query=QUERY, resolved=None, run_id="unknown")
    play(words, "newt", ("focus on {0}",), query=QUERY, resolved=False, run_id="lost")
    recall = words.recall(QUERY)
    assert [c.task.id for c in recall.solved] == ["good", "unknown"]
    assert [c.task.id for c in recall.failed] == ["lost"]


def test_mere_talk_is_left_as_it_is(words: gmem.Memory) -> None:
    said = ("The tortoise.", "It is the tortoise, I should say.", "I looked: the parrot is older.")
    for text in said:
        with words.task(QUERY, agents=AGENTS) as run:
            run.say("ann", text)
            run.resolve(1.0)
    recall = words.recall(QUERY, cases=2)
    assert len(recall.solved) == 2
    assert all("much the same was done" not in row.why for row in recall.explain().rows)


def test_what_was_handled_counts_by_what_it_earned() -> None:
    earned = handled(*acts(("go to garden", 10.0), ("focus on parrot", 30.0), ("take spade", -5.0)))
    assert earned == pytest.approx({"garden": 0.25, "parrot": 0.75})
    even = handled(*acts(("go to garden", None), ("focus on parrot", None)))
    assert even == pytest.approx({"garden": 0.5, "parrot": 0.5})
    assert handled(*acts()) == {}
    assert alike(earned, earned) == 1.0 and alike({}, {}) == 1.0 and alike({}, earned) == 0.0
    assert alike(earned, even) == pytest.approx(0.75 / 1.25)


def test_the_better_proof_has_the_higher_score_and_fewer_steps() -> None:
    task, interaction = acts(("go to garden", None), ("focus on parrot", None))
    _, shorter = acts(("focus on parrot", None))
    assert proof(replace(task, score=2.0), interaction) < proof(replace(task, score=1.0), shorter)
    assert proof(task, shorter) < proof(task, interaction)
    assert proof(task, interaction) < proof(replace(task, trust=0.5), shorter)
    assert proof(replace(task, started=2.0), shorter) < proof(replace(task, started=1.0), shorter)


def test_what_counts_as_done_are_key_steps_that_nobody_told_and_what_the_answer_earned() -> None:
    task, interaction = acts(("go to garden", None), ("focus on parrot", None), ("take spade", None))
    first, second, third = interaction.utterances
    assert handled(replace(task, key_steps=(0, 1)), interaction) == pytest.approx({"garden": 0.5, "parrot": 0.5})
    told = Interaction("t", (first, replace(second, echo=True), third))
    assert handled(task, told) == pytest.approx({"garden": 0.5, "spade": 0.5})
    answer = Utterance(3, "world", "", "observation", "You see it.", to=("bob",), inspired_by=(1,), reward=5.0)
    assert handled(task, Interaction("t", (first, second, third, answer))) == {"parrot": 1.0}


def test_rewards_beyond_measure_still_tell_runs_apart() -> None:
    one, other = (handled(*acts(*[(f"take {thing}", 1.7e308)] * 3)) for thing in ("spade", "rake"))
    assert one == {"spade": 1.0} and other == {"rake": 1.0} and alike(one, other) == 0.0


def test_of_mere_talk_the_shorter_proves_more() -> None:
    task, _ = acts()
    talk = tuple(Utterance(i, "ann", "planner", "message", f"word {i}") for i in range(3))
    assert proof(task, Interaction("t", talk[:2])) < proof(task, Interaction("t", talk))


def test_what_is_chosen_is_least_like_all_that_were_chosen() -> None:
    deeds = [{"a": 1.0}, {"b": 1.0}, {"a": 1.0}, {"a": 0.5, "c": 0.5}]
    assert spread([(n,) for n in range(4)], deeds, 3) == [0, 1, 3]
    equally_far = [{"a": 1.0}, {"a": 0.334, "b": 0.666}, {"a": 0.331, "c": 0.669}]
    assert spread([(n,) for n in range(3)], equally_far, 2) == [0, 1]


RUNS = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.25, 0.5, 1.0]))),
    max_size=8,
)


@given(runs=RUNS, most=st.integers(0, 9), order=st.randoms())
def test_the_choice_does_not_depend_on_the_order(
    runs: list[tuple[int, dict[str, float]]], most: int, order: Any
) -> None:
    rows = [((score, number), deeds) for number, (score, deeds) in enumerate(runs)]
    chosen = [rows[at][0] for at in spread([p for p, _ in rows], [d for _, d in rows], most)]
    assert len(chosen) == len(set(chosen)) == min(most, len(rows))
    assert not chosen or chosen[0] == min(p for p, _ in rows)
    order.shuffle(rows)
    assert [rows[at][0] for at in spread([p for p, _ in rows], [d for _, d in rows], most)] == chosen
