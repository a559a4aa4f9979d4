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
from gmem.graphs import postings, work
from gmem.graphs.learned import heard, mixed
from gmem.graphs.ridge import fit, inverted, product
from gmem.graphs.talk import TalkIndex
from gmem.graphs.vectors import VectorIndex
from gmem.graphs.words import WordIndex
from gmem.graphs.work import SAMPLE, Asked, WorkIndex
from gmem.learn.deeds import MOST_KINDS, MOST_TERMS, deeds
from gmem.model import Deeds, Interaction, Kind, Outcome, Task, Utterance
from gmem.recall import RecallSettings
from gmem.recall.rank import relevance
from gmem.text import terms, words

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


@pytest.mark.parametrize("size", [1, 2, 64, 65, 131, 200])
def test_an_inverse_by_halves_is_the_inverse(size: int) -> None:
    rows = np.random.default_rng(size).standard_normal((size, 30))
    a = rows @ rows.T / 30 + 0.1 * np.eye(size)
    np.testing.assert_allclose(inverted(a) @ a, np.eye(size), atol=1e-9)


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


def answer(found: Asked | None, ids: Sequence[str]) -> tuple[list[float], tuple[object, ...]]:
    """Give what is to be compared of an answer: figures by task, and what is the same for all of them."""
    assert found is not None
    by_task = {id: [float(found.done[row]), float(found.proven[row])] for row, id in enumerate(ids)}
    figures = [figure for id in sorted(by_task) for figure in by_task[id]]
    return figures, (found.share, found.telling, found.expected)


HOT = words("put a hot umbrella in safe")


def test_the_work_is_found_where_the_things_lead_astray() -> None:
    tasks = household(120)
    found = index(tasks).ask(HOT)
    assert found is not None and found.share > 0
    assert found.telling == {"put", "a", "hot", "in"}
    assert found.expected[0] == "heat * with *"
    best = np.argsort(-found.done * found.proven, kind="stable")[:10]
    assert all(tasks[row].query.startswith("heat") or " hot " in tasks[row].query for row in best)


@pytest.mark.parametrize("count", [20, SAMPLE + 100])
def test_the_order_of_writing_and_of_asking_changes_nothing(count: int) -> None:
    tasks = household(count, seed=count)
    figures, rest = answer(index(tasks).ask(HOT), [t.id for t in tasks])
    for seed in range(2):
        mixed, rng, grown = tasks[:], random.Random(seed), WorkIndex()
        rng.shuffle(mixed)
        for row, t in enumerate(mixed):
            grown.put(row, t.id, words(t.query), Deeds(), "unknown", t.trust)
            if seed:
                grown.put(row, t.id, words(t.query), t.deeds, t.outcome, t.trust)  # judged soon
            if rng.random() < 10 / count:
                grown.ask(HOT)
        for row, t in enumerate(mixed):
            grown.put(row, t.id, words(t.query), t.deeds, t.outcome, t.trust)  # or long after
        found, others = answer(grown.ask(HOT), [t.id for t in mixed])
        assert found == pytest.approx(figures, abs=1e-3) and others == rest


def test_a_task_that_is_judged_anew_is_learned_anew() -> None:
    tasks = household(SAMPLE + 50)
    live = index(tasks)
    live.ask(HOT)
    for row, t in enumerate(tasks):
        tasks[row] = replace(t, outcome="failed" if row % 2 else "resolved", trust=float(row % 3 > 0))
        live.put(row, t.id, words(t.query), t.deeds, tasks[row].outcome, tasks[row].trust)
    ids = [t.id for t in tasks]
    (found, rest), (figures, others) = answer(live.ask(HOT), ids), answer(index(tasks).ask(HOT), ids)
    assert found == pytest.approx(figures, abs=1e-3) and rest == others


def test_a_large_memory_learns_anew_only_when_the_sample_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    monkeypatch.setattr(work, "learn", lambda runs, cosine: learned.append(len(runs)))
    live = WorkIndex()
    for row, t in enumerate(household(1_200)):
        live.put(row, t.id, words(t.query), t.deeds, t.outcome, t.trust)
        if row >= 1_000:
            live.ask(HOT)
    assert set(learned) == {SAMPLE}
    assert len(learned) < 60  # SAMPLE * log(1_200 / 1_000) = 35 is to be expected


def test_nothing_is_learned_while_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "learn", lambda runs, cosine: pytest.fail("learned"))
    assert index(household(40)).ask([]) is None


def with_vectors(vectors: Sequence[np.ndarray | None]) -> tuple[WorkIndex, VectorIndex]:
    """Index tasks of which every other one is worded by nothing that any other has."""
    held = VectorIndex()
    made = WorkIndex(held)
    for row, (t, vector) in enumerate(zip(household(len(vectors)), vectors, strict=True)):
        text = t.query if row % 2 else f"job{row} for{row}"
        made.put(row, t.id, words(text), t.deeds, t.outcome, t.trust)
        held.add(vector)
    return made, held


def by_work(tasks: Sequence[Task]) -> list[np.ndarray]:
    kinds = sorted({verb for t in tasks for verb in VERBS if f"{verb} * with *" in t.deeds.done})
    found = []
    for t in tasks:
        vector = np.full(len(kinds) + 1, 0.1, np.float32)
        vector[next((at for at, verb in enumerate(kinds) if f"{verb} * with *" in t.deeds.done), -1)] = 1
        found.append(vector / np.float32(np.linalg.norm(vector)))
    return found


def test_vectors_count_in_a_memory_where_they_find_the_same_work() -> None:
    telling = by_work(household(80))
    rng = np.random.default_rng(5)
    noise = [v / np.float32(np.linalg.norm(v)) for v in rng.standard_normal((80, 8)).astype(np.float32)]
    for vectors, expected in ((telling, 0.5), (noise, 0.0), ([None] * 80, 0.0), ([*telling[:79], None], 0.0)):
        found = with_vectors(vectors)[0].ask(HOT)
        assert found is not None and found.cosine == expected


def test_vectors_that_come_late_are_learned_from() -> None:
    telling = by_work(household(80))
    made, held = with_vectors([None] * 80)
    before = made.ask(HOT)
    for row, vector in enumerate(telling):
        held.set(row, vector)
        made.embedded(row)
    after = made.ask(HOT)
    assert before is not None and after is not None and (before.cosine, after.cosine) == (0.0, 0.5)


def test_what_is_known_counts_from_a_quarter_of_the_text_on() -> None:
    assert heard(np.array([0.0, 0.25, 0.375, 0.5, 1.0])).tolist() == [0, 0, 0.1875, 0.5, 1]


def test_that_words_of_the_text_are_said_again_proves_nothing() -> None:
    """Runs that only say what they were asked for, in the words of the text: nothing is done."""
    tasks = [replace(t, deeds=Deeds(said=dict.fromkeys(words(t.query), 1))) for t in household(60)]
    assert index(tasks).ask(HOT) is None


@pytest.mark.parametrize("tasks", [[], household(5), [replace(t, deeds=Deeds()) for t in household(60)]])
def test_a_memory_that_cannot_tell_goes_by_the_words(tasks: list[Task]) -> None:
    assert index(tasks).ask(words("put a hot pen in safe")) is None


def test_where_words_say_nothing_of_the_work_they_count_alone() -> None:
    rng = random.Random(7)
    tasks = [replace(t, deeds=Deeds({f"{rng.choice(list(VERBS))} *": 1})) for t in household(90)]
    found = index(tasks).ask(words("put a hot pen in safe"))
    assert found is None or found.share <= 0.2


def test_what_was_not_proven_counts_by_its_words() -> None:
    done, telling = np.array([1.0, 0.0], np.float32), np.array([0.2, 0.6], np.float32)
    assert mixed(done, telling, np.ones(2)).tolist() == pytest.approx([0.6, 0.3])
    assert mixed(done, telling, np.zeros(2)).tolist() == pytest.approx([0.2, 0.6])


@given(st.integers(1, 70), st.integers(1, 130), st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_product_in_blocks_is_the_product(rows: int, depth: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((rows, depth)), rng.standard_normal((depth, columns))
    np.testing.assert_allclose(product(a, b), np.einsum("ij,jk->ik", a, b), atol=1e-9)


# --- talk ---------------------------------------------------------------------------------------


def test_runs_are_found_by_what_was_said() -> None:
    found = TalkIndex()
    for row, said in enumerate([{"awning": 4, "address": 1}, {}, {"dojo": 3, "address": 2}]):
        found.put(row, said)
    scores = found.scores({"dojo": 1, "address": 1, "unheard": 1})
    assert scores.argmax() == 2 and scores[1] == 0 and scores.max() <= 1
    found.put(2, {"awning": 1})
    assert found.scores({"dojo": 1}).tolist() == [0, 0, 0]
    assert not TalkIndex().scores({"dojo": 1}).size


def test_short_and_long_lists_of_postings_add_up_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    spoken, asked = TalkIndex(), WordIndex()
    for row in range(80):
        text = {f"w{rng.randrange(50)}": rng.randint(1, 5) for _ in range(12)}
        spoken.put(row, text)
        asked.add(text)
    query = {f"w{number}": 1 + number % 3 for number in range(0, 60, 2)}
    telling = {"w2", "w8", "w20", "w58"}
    found = []
    for most in (1, 40, 10_000):
        monkeypatch.setattr(postings, "MOST", most)
        whole, part, known = asked.both_scores(query, telling)
        found.append((spoken.scores(query).tobytes(), whole.tobytes(), part.tobytes(), known))
    assert found[0] == found[1] == found[2]
    whole, part, known = asked.both_scores(query, telling)
    assert 0 < known < 1 and whole.max() > 0 and part.max() > 0 and spoken.scores(query).max() > 0


# --- the product --------------------------------------------------------------------------------


def test_what_is_asked_in_words_unheard_of_is_not_taken_for_work_that_is_known(memory: gmem.Memory) -> None:
    for number, t in enumerate(household(60, seed=9)):
        with memory.task(t.query, run_id=f"run-{number}") as run:
            verb = t.deeds.done.keys() & {f"{verb} * with *" for verb in VERBS}
            run.act("bob", f"take {t.deeds.handled[-1]} from desk", "Done.")
            run.act("bob", min(verb, default="look").replace("*", t.deeds.handled[-1]), "Done.")
            run.resolve()
    asked = "in the failing parser, fix every broken unit test"
    found = memory.store.candidates(memory.team, terms(asked), None, words=words(asked))
    assert found.work is not None and found.work.share < 0.1
    assert relevance(found).max() < RecallSettings().min_relevance


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
    told = str(recall.explain())
    assert "same work" in told and " what has to be done: heat * with *" in told
    assert "what is expected here was done there: heat * with *" in told
    assert recall.solved[0].task.deeds.done["heat * with *"] == 1
