"""Lessons about ways of working: how runs are compared, drawn and put into words."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gmem
from gmem.flow import Flow
from gmem.graphs.base import Standing
from gmem.learn import Contrast, Lessons
from gmem.learn.advice import sentence
from gmem.learn.gates import Gates
from gmem.learn.habits import Matrix, review, tables
from gmem.learn.lifecycle import state_of, why
from gmem.learn.moves import MOVES, moves_in, wording
from gmem.learn.panel import MOST_HABITS, Drawn, Member, draw, drawn, due, member
from gmem.learn.patterns import audience, family, follows, habits, is_habit, join, pattern_order, split
from gmem.learn.profile import profile
from gmem.learn.rules import mine_habits
from gmem.learn.strata import attainable, compare, excess, screen
from gmem.model import Insight, Interaction, Task, Utterance

TEAM = {"sol": "solver", "vera": "checker"}


def chat(id: str, *said: tuple[str, str], query: str = "How many apples?", good: bool = True) -> Member:
    """Make a member of a panel from who said what."""
    task = Task(id, "blue", query, outcome="resolved" if good else "failed", agents=TEAM)
    trace = tuple(
        Utterance(i, agent, TEAM[agent], "message", text, (), (i - 1,) if i else ())
        for i, (agent, text) in enumerate(said)
    )
    return member(drawn(task), profile(task, Interaction(id, trace)))


GOOD = (("sol", "There are 7."), ("vera", "I verify: 3 + 4 is 7."), ("sol", "The final answer is 7."))
BAD = (("sol", "I assume there are 9."), ("vera", "Good."), ("sol", "The final answer is 9."))


def team(questions: int, runs: int = 4) -> list[Member]:
    """Make a panel of a team that fails where it assumes and does not verify; one question is hard."""
    made = []
    for q in range(questions):
        for r in range(runs):
            good = (r % 2 == 0) != (q == 0 and r == 0)
            made.append(chat(f"t{q}-{r}", *(GOOD if good else BAD), query=f"How many are {q}?", good=good))
    return made


# --- what a run shows -----------------------------------------------------------------------------


def test_a_run_shows_its_habits_and_says_where_they_do_not_apply() -> None:
    shape = chat("t", *GOOD).profile
    found = habits(shape)
    assert {
        "next|solver|checker", "check|solver|checker", "says||verify", "says|checker|verify", "ends|conclude",
        "first|solver", "last|solver", "then|verify|conclude", "turns|solver|2", "length|3",
    } <= found  # fmt: skip
    assert all(follows(p, shape) for p in found)
    assert follows("says||assume", shape) is False
    assert follows("says|critic|verify", shape) is None and follows("acts|3", shape) is None
    assert follows("then|verify|code", shape) is None
    assert follows("weather|fair", shape) is None


def test_a_run_without_words_has_no_say_about_words() -> None:
    task = Task("t", "blue", "q", agents=TEAM)
    run = (Utterance(0, "sol", "solver", "action", "open door"), Utterance(1, "env", "", "observation", "It is stuck."))
    shape = profile(task, Interaction("t", run))
    assert follows("says||verify", shape) is None and follows("acts|1", shape) is True


@pytest.mark.parametrize(
    "pattern", ["", "turns|solver", "length|many", "talk|solver", "says", "then|verify", "before|x"]
)
def test_a_pattern_that_cannot_be_read_says_nothing(pattern: str) -> None:
    assert follows(pattern, chat("t", *GOOD).profile) is None


def test_waste_is_counted() -> None:
    task = Task("t", "blue", "q", agents=TEAM)
    acts = ("open box", "open box", "pull lever", "take gold")
    answers = ("Nothing happens.", "Nothing happens.", "Nothing happens.", "You have gold.")
    run: list[Utterance] = []
    for act, answer in zip(acts, answers, strict=True):
        run.append(Utterance(len(run), "sol", "solver", "action", act))
        run.append(Utterance(len(run), "env", "", "observation", answer, (), (len(run) - 1,)))
    shape = profile(task, Interaction("t", tuple(run)))
    assert (shape.acts, shape.repeats, shape.idle, shape.thought) == (4, 1, 3, False)


def test_who_only_puts_the_task_says_nothing_and_echoes_do_not_count() -> None:
    task = Task("t", "blue", "Please verify the sum", agents=TEAM)
    run = (
        Utterance(0, "sol", "solver", "message", "Team: please verify the sum now"),
        Utterance(1, "vera", "checker", "message", "I assume it is right", echo=True),
        Utterance(2, "vera", "checker", "message", "Done"),
    )
    shape = profile(task, Interaction("t", run))
    assert not shape.moves and shape.turns == {"solver": 1, "checker": 1}


@pytest.mark.parametrize("move", MOVES)
def test_every_move_reads_as_advice(move: str) -> None:
    for polarity, pattern in product(("do", "avoid"), (("says", "", move), ("says", "critic", move), ("ends", move))):
        text = sentence(join(*pattern), polarity)
        assert text[0].isupper() and "|" not in text and not text.endswith(".")
    assert wording(move, do=True) and wording(move, do=False)


def test_moves_are_found_in_any_case_and_only_as_words() -> None:
    assert moves_in("VERIFIED. Is it so?") == {"verify", "ask"}
    assert moves_in("The checkerboard is errorless-ish") <= {"error"}
    assert moves_in("") == set()


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_a_pattern_can_be_taken_apart(parts: list[str]) -> None:
    assert split(join(*parts)) == tuple(parts)


@given(st.lists(st.tuples(st.sampled_from(sorted(TEAM)), st.sampled_from([t for _, t in GOOD + BAD])), max_size=8))
def test_whatever_a_run_shows_it_follows(said: list[tuple[str, str]]) -> None:
    shape = chat("t", *said).profile
    for pattern in habits(shape):
        assert follows(pattern, shape) is True
        assert is_habit(pattern) and pattern_order(pattern) and isinstance(audience(pattern), tuple)
        assert family(pattern) == pattern or pattern.startswith(family(pattern))
        for polarity in ("do", "avoid"):
            assert sentence(pattern, polarity)  # type: ignore[arg-type]


# --- the comparison -------------------------------------------------------------------------------

small = st.tuples(*[st.integers(0, 3)] * 4)


@given(st.lists(small, max_size=3))
def test_the_stratified_test_agrees_with_counting_every_outcome(given_tables: list[tuple[int, int, int, int]]) -> None:
    found = compare(given_tables)
    spread = {0: 1}
    for a, b, c, d in given_tables:
        ways: dict[int, int] = {}
        for k in range(a + b + 1):
            if 0 <= a + c - k <= c + d:
                ways[k] = math.comb(a + b, k) * math.comb(c + d, a + c - k)
        spread = {
            s: sum(n * ways.get(s - t, 0) for t, n in spread.items()) for s in {t + k for t in spread for k in ways}
        }
    seen = sum(t[0] for t in given_tables)
    total = sum(spread.values())
    assert found.p == pytest.approx(sum(n for s, n in spread.items() if s >= seen) / total, abs=1e-9)
    assert found.p_other == pytest.approx(sum(n for s, n in spread.items() if s <= seen) / total, abs=1e-9)


def test_what_only_hard_questions_make_is_no_effect() -> None:
    # Pooled, who shows the pattern fails; within each question it makes no difference.
    easy, hard = (18, 162, 2, 18), (18, 2, 162, 18)
    pooled = compare([tuple(map(sum, zip(easy, hard, strict=True)))])  # type: ignore[list-item]
    within = compare([easy, hard])
    assert pooled.p_other < 1e-9
    assert within.odds == pytest.approx(1.0) and within.two_sided > 0.5
    assert within.low < 1 < within.high


def test_the_quick_figures_agree_with_the_exact_ones() -> None:
    rng = np.random.default_rng(4)
    n, m = 120, 5
    strata = rng.integers(0, 6, n)
    resolved = rng.random(n) < 0.6
    judged = (rng.random((n, m)) < 0.9).astype(np.float32)
    shown = (rng.random((n, m)) < 0.2 + 0.5 * resolved[:, None] * np.linspace(0, 1, m)).astype(np.float32) * judged
    over, variance = excess(shown, judged, resolved, strata)
    rough = screen(over, variance)
    least = attainable(shown, judged, resolved, strata)
    for j in range(m):
        cells: dict[int, list[int]] = {}
        for i in range(n):
            if judged[i, j]:
                place = (0 if resolved[i] else 2) + (0 if shown[i, j] else 1)
                cells.setdefault(int(strata[i]), [0] * 4)[place] += 1
        exact = compare([(a, b, c, d) for a, b, c, d in cells.values()])
        assert rough[j] == pytest.approx(exact.two_sided, rel=0.5, abs=0.02)
        assert least[j] <= exact.two_sided + 1e-12
        assert (over[j] > 0) == (exact.p < exact.p_other)


# --- the panel ------------------------------------------------------------------------------------

runs = st.lists(
    st.builds(Drawn, st.uuids().map(str), st.booleans(), st.integers(0, 5), st.integers(0, 2), st.just("run")),
    max_size=40, unique_by=lambda r: r.task_id,
)  # fmt: skip


@given(runs, st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_panel_does_not_depend_on_the_order_of_learning(given_runs: list[Drawn], size: int, rng: Any) -> None:
    mixed = list(given_runs)
    rng.shuffle(mixed)
    chosen = draw(given_runs, size)
    assert chosen == draw(mixed, size)
    for outcome in (True, False):
        there = [r for r in given_runs if r.resolved == outcome]
        assert sum(r.resolved == outcome for r in chosen) == min(size, len(there))


def test_a_panel_prefers_questions_that_went_both_ways_and_takes_them_in_turn() -> None:
    both = [Drawn(f"a{q}-{i}", bool(i % 2), q, q, "run") for q in range(4) for i in range(20)]
    alone = [Drawn(f"b{i}", True, 100 + i, 9, "run") for i in range(50)]
    chosen = [r for r in draw(both + alone, 8) if r.resolved]
    assert sorted(r.question for r in chosen) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_habits_are_compared_ever_more_rarely() -> None:
    assert all(due(f"t{i}", 20) for i in range(50))
    often = [sum(due(f"t{i}", n) for i in range(4000)) for n in (100, 1_000, 100_000)]
    assert often == sorted(often, reverse=True) and 0 < often[-1] < 40 and often[0] > 400


# --- lessons --------------------------------------------------------------------------------------


def test_habits_that_go_with_success_are_found_and_read_as_advice() -> None:
    taught, verdicts = mine_habits("blue", team(12), [], 1.0)
    texts = [t.insight.text for t in taught]
    assert any("check" in text or "assume" in text for text in texts), texts
    for t in taught:
        assert t.insight.state == "active" and t.insight.origin == "rules" and verdicts[t.insight.id]
        good, bad = t.insight.taught_by[0]
        said = {e.task_id: e for e in t.evidence}
        assert said[good].followed and said[good].resolved and not said[bad].followed and not said[bad].resolved
        assert good.partition("-")[0] == bad.partition("-")[0]  # of one question


def test_the_same_runs_teach_the_same_whatever_their_order() -> None:
    panel = team(12)
    mixed = list(panel)
    random.Random(5).shuffle(mixed)
    one, other = (mine_habits("blue", each, [], 1.0)[0] for each in (panel, mixed))
    assert [t.insight for t in one] == [t.insight for t in other]
    assert [t.p for t in one] == pytest.approx([t.p for t in other])
    assert [set(t.evidence) for t in one] == [set(t.evidence) for t in other]


def test_too_few_runs_one_outcome_and_chance_teach_nothing() -> None:
    assert mine_habits("blue", team(3), [], 1.0) == ([], {})
    assert mine_habits("blue", [m for m in team(12) if m.run.resolved], [], 1.0)[0] == []
    rng = random.Random(3)
    sentences = [text for _, text in GOOD + BAD]
    noise = [
        chat(
            f"t{i}", *((rng.choice(sorted(TEAM)), rng.choice(sentences)) for _ in range(4)),
            query=f"What is {i % 15}?", good=rng.random() < 0.5,
        )
        for i in range(200)
    ]  # fmt: skip
    assert mine_habits("blue", noise, [], 1.0)[0] == []


def test_what_one_task_alone_shows_is_not_looked_at() -> None:
    one = [replace(m, run=replace(m.run, question=7, kind=7)) for m in team(12)]
    assert mine_habits("blue", one, [], 1.0)[0] == []  # one question cannot speak for others


def test_a_known_habit_is_not_taught_again_and_is_put_off_when_it_holds_no_more() -> None:
    panel = team(12)
    first = [t.insight for t in mine_habits("blue", panel, [], 1.0)[0]]
    again, verdicts = mine_habits("blue", panel, first, 2.0)
    assert not {i.id for i in first} & {t.insight.id for t in again} and all(verdicts.values())
    turned = [replace(m, run=replace(m.run, resolved=not m.run.resolved)) for m in panel]
    _, verdicts = mine_habits("blue", turned, first, 3.0)
    assert not any(verdicts[i.id] for i in first)


def test_what_only_tells_two_teams_apart_is_no_habit() -> None:
    # The solver alone, on easy runs, never says "check"; a pair does, and fails: it is who they are, not what they do.
    panel = []
    for q in range(10):
        for r in range(3):
            panel.append(chat(f"a{q}-{r}", ("sol", "It is 7."), query=f"How many are {q}?"))
            panel.append(
                chat(f"b{q}-{r}", ("sol", "It is 7."), ("vera", "I verify it."), query=f"How many are {q}?", good=False)
            )
    assert mine_habits("blue", panel, [], 1.0)[0] == []


def test_counts_and_tables_agree() -> None:
    panel = team(6)
    matrix = Matrix(panel, ["says||assume"])
    j = matrix.names.index("says||assume")
    summed = [sum(column) for column in zip(*tables(matrix, j, matrix.strata), strict=True)]
    shown = [(m.run.resolved, follows("says||assume", m.profile)) for m in panel]
    cells = ((True, True), (True, False), (False, True), (False, False))
    assert summed == [shown.count(cell) for cell in cells]
    assert review(panel[:3], {}, 3).found == ()


@pytest.mark.parametrize(
    ("state", "verdict", "expected"),
    [
        ("candidate", None, "candidate"), ("candidate", True, "active"), ("active", None, "active"),
        ("active", False, "candidate"), ("rebuild", None, "active"), ("quarantined", True, "quarantined"),
    ],
)  # fmt: skip
def test_a_panel_decides_about_habits(state: Any, verdict: bool | None, expected: str) -> None:
    habit = Insight("i_1", "blue", "Check it", state=state, pattern="says||verify")
    assert state_of(habit, Standing(20, 18, 20, 2), verdict) == expected
    assert state_of(replace(habit, state="active"), Standing(20, 2, 20, 18), True) == "retired"


@pytest.mark.parametrize(
    ("state", "pattern", "standing", "said"),
    [
        ("active", "says||verify", Standing(20, 18, 20, 2), "36 of 40 runs support it"),
        ("candidate", "says||verify", Standing(20, 12, 20, 10), "chance"),
        ("retired", "says||verify", Standing(20, 11, 20, 10), "19 of 40 runs contradict it"),
        ("retired", "", Standing(4, 0, 2, 2), "6 of 6 runs contradict it"),
        ("candidate", "", Standing(2, 2, 0, 0), "too few"),
        ("quarantined", "", Standing(), "person"),
        ("rebuild", "", Standing(), "forgetting"),
    ],
)
def test_the_state_of_a_lesson_has_a_reason(state: Any, pattern: str, standing: Standing, said: str) -> None:
    assert said in why(Insight("i_1", "blue", "Check it", state=state, pattern=pattern), standing)


# --- gates ----------------------------------------------------------------------------------------


def test_without_gates_chance_teaches_and_with_them_it_does_not() -> None:
    rng = random.Random(8)
    sentences = [text for _, text in GOOD + BAD]
    noise = [
        chat(
            f"t{i}", *((rng.choice(sorted(TEAM)), rng.choice(sentences)) for _ in range(4)),
            query=f"What is {i % 15}?", good=rng.random() < 0.5,
        )
        for i in range(60)
    ]  # fmt: skip
    assert mine_habits("blue", noise, [], 1.0)[0] == []
    assert mine_habits("blue", noise, [], 1.0, Gates.off())[0]


def test_sources_are_heard_in_turn() -> None:
    loud = [Drawn(f"a{i}", True, 1, 1, "loud") for i in range(40)] + [
        Drawn(f"b{i}", True, 1, 1, "own") for i in range(4)
    ]
    assert sum(r.source == "own" for r in draw(loud, 8)) == 4
    assert sum(r.source == "own" for r in draw(loud, 8, in_turn=False)) < 4


def test_runs_that_are_hardly_trusted_have_no_say_in_habits(words: gmem.Memory) -> None:
    for m in range(48):
        with words.task(f"How many pears has team {m // 4}?", agents=TEAM, trust=0.3) as run:
            for agent, text in GOOD if m % 2 == 0 else BAD:
                run.say(agent, text)
            run.resolve() if m % 2 == 0 else run.fail("wrong")
    assert not [i for i in words.insights() if i.pattern.startswith("says|")]


def test_what_only_repeats_a_recall_is_not_delivered_again(words: gmem.Memory) -> None:
    for m in range(4):
        record(words, GOOD, f"How many pears has team {m}?", True)
    with words.task("How many pears has team 9?", agents=TEAM, run_id="parrot") as run:
        told = run.recall().text
        for line in told.splitlines():
            if len(line) > 40 and not line.startswith("<"):
                run.say("sol", line)
        run.resolve()
    assert run.result is not None and run.result.length
    found = words.recall("How many pears has team 9?")
    assert "parrot" not in found.shown
    assert any(row.id == "parrot" and "only repeats" in row.why for row in found.explain().rows)


# --- through the memory ---------------------------------------------------------------------------


def record(memory: gmem.Memory, said: Sequence[tuple[str, str]], query: str, good: bool) -> None:
    with memory.task(query, agents=TEAM) as run:
        for agent, text in said:
            run.say(agent, text)
        run.resolve() if good else run.fail("wrong")


def test_a_team_that_only_talks_gets_lessons_about_how_it_talks(words: gmem.Memory) -> None:
    for m in range(48):
        good = m % 2 == 0
        record(words, GOOD if good else BAD, f"How many pears has team {m // 4}?", good)
    active = words.insights("active")
    assert any(i.pattern.startswith(("says|", "check|", "then|", "ends|")) for i in active), active
    delivered = words.recall("How many pears has team 99?").text
    assert any(i.text in delivered for i in active)
    assert "pears" not in "".join(i.text for i in words.insights())


def test_habits_turn_when_the_team_does(words: gmem.Memory) -> None:
    for m in range(40):
        record(words, GOOD if m % 2 == 0 else BAD, f"How many pears has team {m // 4}?", m % 2 == 0)
    before = {i.id for i in words.insights("active")}
    assert before
    for m in range(120):
        record(words, BAD if m % 2 == 0 else GOOD, f"How many plums has team {m // 4}?", m % 2 == 0)
    still = {i.id for i in words.insights("active")} & before
    assert not still, [i.text for i in words.insights("active")]
    shown = {i.state for i in words.insights() if i.id in before}
    assert shown <= {"candidate", "retired"}


class Silent:
    """Learns nothing."""

    name = "silent"
    external = False

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        yield from ()
        return Lessons()


def test_consolidating_compares_habits_at_once(tmp_path: Path, do: Any) -> None:
    with gmem.Memory(tmp_path / "m.gmem", embedder="none", distiller=Silent()) as memory:
        for m in range(48):
            record(memory, GOOD if m % 2 == 0 else BAD, f"How many pears has team {m // 4}?", m % 2 == 0)
        assert do(memory, "consolidate") == () and memory.insights() == []
    with gmem.Memory(tmp_path / "m.gmem") as memory:
        found = do(memory, "consolidate")
        assert found and {i.id for i in memory.insights("active")} == set(found)
        for insight in memory.insights():
            assert memory.store.standing(memory.team, insight.id).successes >= 20
        again = set(do(memory, "consolidate"))
        assert not again & set(found)  # what is known is not taught again


def test_a_team_of_strangers_is_looked_at_within_bounds() -> None:
    said = [(f"agent {i}", "I verify it again, is it right?") for i in range(400)]
    task = Task("t", "blue", "Count everybody that is there", outcome="resolved")
    trace = tuple(Utterance(i, agent, "", "message", text) for i, (agent, text) in enumerate(said))
    assert len(member(drawn(task), profile(task, Interaction("t", trace))).habits) == MOST_HABITS


def test_runs_that_end_in_several_threads_are_all_learned_from(words: gmem.Memory) -> None:
    def one(m: int) -> None:
        record(words, GOOD if m % 2 == 0 else BAD, f"How many pears has team {m // 4}?", m % 2 == 0)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(72)))
    assert words.stats().unlearned == 0 and not words.notices
    words.consolidate()
    assert any(is_habit(i.pattern) for i in words.insights("active"))
