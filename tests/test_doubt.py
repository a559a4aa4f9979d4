"""Outcomes in doubt: who is doubted, who is not, what that changes, and what a reader is told of it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from stories import BAD, GOOD, play

import gmem
from gmem.errors import InvalidInput
from gmem.recall.doubt import Doubt, doubts

WASHED, UNWASHED = (0, 1, 2), (0, 2, 3)
Run = tuple[tuple[int, ...], int]


def judged(
    *runs: Run, scores: list[float] | None = None, sources: list[str] | None = None
) -> dict[int, Doubt]:  # fmt: skip
    """Hold runs, (what was done, how it ended), against each other."""
    done = [np.array(deeds, dtype=np.uint32) for deeds, _ in runs]
    return doubts(done, [end for _, end in runs], scores or [0.5] * len(runs), sources or ["run"] * len(runs))


def test_who_did_what_the_failed_did_and_is_called_solved_is_doubted() -> None:
    runs: list[Run] = [(WASHED, 1)] * 9 + [(UNWASHED, -1)] * 9
    assert judged(*runs) == {}
    found = judged(*runs, (UNWASHED, 1))
    assert list(found) == [18]
    assert found[18].odds > 1 and found[18].otherwise > 0.9 and found[18].alike >= 9
    assert "ended otherwise" in str(found[18])
    assert list(judged(*runs, (WASHED, -1))) == [18]


def test_no_order_of_the_runs_changes_who_is_doubted() -> None:
    runs: list[Run] = [(WASHED, 1)] * 9 + [(UNWASHED, -1)] * 9 + [(UNWASHED, 1), (WASHED, -1)]
    before = judged(*runs)
    order = random.Random(3).sample(range(len(runs)), len(runs))
    after = judged(*(runs[at] for at in order))
    assert {order[at]: doubt for at, doubt in after.items()} == before and len(before) == 2


def test_it_makes_no_difference_which_numbers_a_store_has_for_deeds() -> None:
    draw = random.Random(1)
    for _ in range(150):
        kinds = [tuple(sorted(draw.sample(range(60), draw.randint(3, 24)))) for _ in range(24)]
        runs: list[Run] = [(draw.choice(kinds), draw.choice((1, -1))) for _ in range(64)]
        scores = sorted((draw.randint(10, 100) / 100 for _ in runs), reverse=True)
        other = draw.sample(range(60), 60)
        renamed: list[Run] = [(tuple(other[deed] for deed in deeds), end) for deeds, end in runs]
        assert judged(*renamed, scores=scores) == judged(*runs, scores=scores)


def test_one_source_casts_no_doubt_on_what_all_others_say() -> None:
    told: list[Run] = [(WASHED, 1)] * 9 + [(UNWASHED, -1)] * 9
    liar: list[Run] = [(WASHED, -1)] * 40
    scores = [0.5] * len(told) + [0.6] * len(liar)
    assert set(range(9)) <= judged(*told, *liar, scores=scores).keys(), "as a source among others it may be right"
    sources = ["ours"] * 6 + ["theirs"] * 12 + ["liar"] * len(liar)
    found = judged(*told, *liar, scores=scores, sources=sources)
    assert found.keys() == set(range(len(told), len(told) + len(liar)))
    assert {doubt.alike for doubt in found.values()} == {16}
    few: list[Run] = [*told[:2], *[((7, 8), 1)] * 20, *liar]
    assert {0, 1} <= judged(*few, sources=["ours"] * 22 + ["liar"] * len(liar)).keys(), "one other run is too few"


def test_what_is_usual_nearby_and_how_near_it_is_decide_with_what_was_done() -> None:
    mixed: list[Run] = [(WASHED, 1)] * 6 + [(WASHED, -1)] * 8
    assert judged(*mixed) == {}
    beside = judged(*mixed, *[((7, 8), -1)] * 40)
    assert set(beside) == set(range(6, 14)), "six of fourteen are many where hardly any other run was solved"
    assert all(doubt.otherwise < 0.5 for doubt in beside.values())
    assert judged(*[(end, -sign) for end, sign in mixed], *[((7, 8), 1)] * 40) == {}, "of a success more is asked"
    even: list[Run] = [(WASHED, 1)] * 9 + [(WASHED, -1)] * 9
    assert judged(*even) == {}
    assert set(judged(*even, *[((7, 8), -1)] * 9, scores=[0.9] * 9 + [0.1] * 9 + [0.9] * 9)) == set(range(9, 18))


def test_what_all_do_tells_nothing_of_who_did_alike() -> None:
    common = tuple(range(20))
    failed: list[Run] = [((*common, 20 + at), -1) for at in range(30)]
    solved: list[Run] = [((*common, 60), 1)] * 3 + [((*common, 70 + at), 1) for at in range(20)]
    assert judged(*failed, *solved) == {}


def test_nobody_is_doubted_where_deeds_tell_nothing_or_few_are_alike() -> None:
    alike: list[Run] = [(WASHED, 1 if at % 2 else -1) for at in range(20)]
    assert judged(*alike) == {}
    few: list[Run] = [(WASHED, 1)] * 3 + [(UNWASHED, -1)] * 4 + [(UNWASHED, 1)]
    assert judged(*few) == {}
    strange: list[Run] = [(WASHED, 1)] * 9 + [(UNWASHED, -1)] * 9 + [((7, 8), 1), ((), -1)]
    assert judged(*strange) == {}, "who does what nobody did is new, not wrong"


def kitchen(memory: gmem.Memory) -> gmem.Task:
    """Nine runs that wash, nine failed ones that do not, and one that does not and is called solved."""
    for place in range(9):
        play(memory, f"leek {place}", (*GOOD, f"taste {place}"))
        play(memory, f"leek {place}", (*BAD, f"taste {place}"), resolved=False)
    return play(memory, "swede", BAD)


def test_a_doubted_run_gives_way_and_the_reader_is_told_why(memory: gmem.Memory, do: Any) -> None:
    wrong = kitchen(memory)
    query = "Cook a swede and a leek in the pot"
    without = do(memory, "recall", query, doubtful=1.0)
    assert wrong.id in without.shown and "doubt" not in str(without.explain())
    recall = do(memory, "recall", query, doubtful=0.3)
    assert wrong.id not in recall.shown and len(recall.solved) == 3
    (row,) = (row for row in recall.explain().rows if row.id == wrong.id)
    assert (row.verdict, row.path) == ("cut", "seed") and row.parts["doubt"] > 1
    assert "its outcome is in doubt: " in row.why and "so others go before it" in row.why


def test_a_doubted_run_is_told_where_no_other_is_as_near(words: gmem.Memory) -> None:
    wrong = kitchen(words)
    recall = words.recall("Cook a swede in the pot")
    assert recall.solved[0].task.id == wrong.id
    (row,) = (row for row in recall.explain().rows if row.id == wrong.id)
    assert row.verdict == "shown" and "its outcome is in doubt" in row.why
    assert (
        f"[{wrong.id}] Cook a swede in the pot (resolved, but many runs that did alike ended otherwise" in recall.text
    )
    assert recall.solved[0].doubt in row.why and recall.to_dict()["cases"][0]["doubt"] == recall.solved[0].doubt
    assert not any(case.doubt for case in recall.solved[1:]) and recall.text.count("ended otherwise") == 1


def test_the_first_success_at_a_hard_task_is_still_told_first(words: gmem.Memory) -> None:
    for place in range(12):
        play(words, f"stone {place}", BAD, resolved=False)
    first = play(words, "stone 12", BAD)
    second = play(words, "pebble", GOOD, query="Boil a {0} for long")
    recall = words.recall("Cook a stone in the pot")
    assert recall.solved[0].task.id == first.id
    assert second.id not in recall.shown[:1]


def test_a_share_that_is_none_is_refused(words: gmem.Memory) -> None:
    with pytest.raises(InvalidInput, match="doubtful"):
        words.recall("anything", doubtful=1.5)
