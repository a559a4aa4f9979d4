"""The demo from end to end, and what of it can be checked without playing: who builds on whom, and the curve."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import gmem
from gmem.adapters import Verdict
from gmem.cli import main
from gmem.demo.command import run
from gmem.demo.games import CONDITIONS, GMEM, NONE, WRONG, Game
from gmem.demo.play import Course, Results
from gmem.demo.recording import outcome, said
from gmem.demo.report import commands, figures, learning_curve, show
from gmem.demo.schedule import QUICK_TYPES
from gmem.errors import MissingExtra

TALK = (
    ("planner", "1. focus on egg\n2. take egg", "", 0.0),
    ("actor", "focus on egg", "focus on egg", 0.0),
    ("critic", "veto: it cannot be taken back", "focus on egg", 0.0),
    ("actor", "pass: focus on egg", "focus on egg", 0.0),
    ("actor", "take nest  (instead of: take egg)", "take nest", 0.0),
    ("critic", "go ahead", "take nest", 0.0),
    ("environment", "(nothing to be seen)", "take nest", 5.0),
    ("planner", "no plan", "take nest", 0.0),
)


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with gmem.Memory(tmp_path / "a.gmem", embedder="none") as opened:
        yield opened


def test_a_command_is_a_deed_once_the_world_has_answered() -> None:
    told = [s for line in TALK for s in said(*line)]
    assert [(s.agent, s.kind, s.text, s.to) for s in told] == [
        ("planner", "message", "1. focus on egg\n2. take egg", ("actor",)),
        ("actor", "message", "focus on egg", ("critic",)),  # vetoed: talk, not a deed
        ("critic", "message", "veto: it cannot be taken back", ("actor",)),
        ("actor", "message", "pass: focus on egg", ("actor",)),
        ("critic", "message", "go ahead", ("actor",)),  # a verdict is said to the actor either way
        ("actor", "action", "take nest", ("critic",)),
        ("environment", "observation", "(nothing to be seen)", ("actor",)),
        ("planner", "message", "no plan", ("actor",)),
    ]
    assert [s.reward for s in told if s.kind == "observation"] == [5.0]


def test_a_game_is_judged_by_its_last_score() -> None:
    assert outcome(100) == Verdict("resolved", 100)
    assert (outcome(-100).outcome, outcome(-100).reason) == ("failed", "the game was lost for good")
    assert outcome(40) == Verdict("failed", 40, "the team gave up at 40 of 100")


def results(scores: dict[str, list[int]]) -> Results:
    out = Results(experts=[100, 100], novices=[-100, 20])
    for at in range(max(map(len, scores.values()))):
        for condition, values in scores.items():
            if at < len(values):
                out.games.append(Game("find-animal", at, condition, values[at], 100, 7, 50))
    return out


def test_the_curve_is_the_mean_so_far_of_each_condition() -> None:
    curves = learning_curve(results({NONE: [0, 10], WRONG: [30], GMEM: [100, 50, 0]}))
    assert curves == {NONE: [0.0, 5.0], WRONG: [30.0], GMEM: [100.0, 75.0, 50.0]}
    assert learning_curve(Results()) == {condition: [] for condition in CONDITIONS}


def test_figures_of_games(memory: gmem.Memory) -> None:
    found = figures(results({NONE: [0, 10], WRONG: [30], GMEM: [100, 50, 0]}), memory, 1.25)
    assert found["experience"] == {"expert_runs": 2, "expert_score": 100.0, "novice_runs": 2, "novice_score": 10.0}
    assert found["conditions"][GMEM] == {
        "games": 3, "score": 50.0, "best": 100.0, "solved": 1, "moves": 7.0, "memory_tokens": 50.0,
    }  # fmt: skip
    assert found["by_type"] == {"find-animal": {NONE: 5.0, WRONG: 30.0, GMEM: 50.0}}
    assert found["lessons"] == []


def test_an_explanation_of_many_rows_is_cut_and_nothing_stored_is_markup(memory: gmem.Memory) -> None:
    for i in range(12):
        with memory.task(f"find an egg [bold]{i}[/nothing]", agents={"actor": "actor"}) as run:
            run.act("actor", f"take egg {i}", "Taken.")
            run.resolve(100)
    played = results({GMEM: [100]})
    played.recall = memory.recall("find an egg", "planner", seeds=12, cases=12, budget=120)
    rows = played.recall.explain().rows
    others = [r for r in rows if r.verdict != "shown"]
    assert len(others) > 3
    screen = StringIO()
    show(Console(file=screen, width=200), played, memory, Path("curve.png"), 1.0)
    text = screen.getvalue()
    listed = [r.id for r in rows if r.id in text]
    assert listed == [r.id for r in rows if r.verdict == "shown"] + [r.id for r in others[:3]]
    assert f"{len(others) - 3} more were found" in text
    assert "curve.png" in text and "Nothing yet" in text
    assert ["gmem", "explain", "find an egg", "--role", "planner", "--memory", memory.location] in commands(
        played, memory
    )


@pytest.mark.parametrize(
    ("framework", "package", "extra"),
    [("langgraph", "langgraph", "demo"), ("autogen", "autogen_agentchat", "demo-autogen")],
)
def test_a_framework_that_is_missing_is_named_with_what_to_install(
    framework: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'gmem-engine\[{extra},static\]'"):
        run(True, tmp_path, True, framework, Console(file=StringIO()))


@pytest.mark.demo
@pytest.mark.slow
def test_the_quick_demo(tmp_path: Path) -> None:
    pytest.importorskip("scienceworld")
    out = tmp_path / "out put"
    played = CliRunner().invoke(main, ["demo", "--quick", "--json", "--out", str(out)])
    assert played.exit_code == 0, played.output
    found = json.loads(played.stdout)
    assert found == json.loads((out / "demo.json").read_text(encoding="utf-8"))
    rows = found["conditions"]
    assert list(rows) == list(found["learning_curve"]) == list(CONDITIONS)
    games = 2 * len(QUICK_TYPES)
    for condition, row in rows.items():
        assert row["games"] == games == len(found["learning_curve"][condition])
        assert 0 <= row["solved"] <= games and 0 <= row["score"] <= row["best"] <= 100
        assert (row["memory_tokens"] > 0) is (condition != NONE)
    assert list(found["by_type"]) == list(QUICK_TYPES)
    # 100 against 21 at most in eight of eight runs; the game draws lots, so a loss or two must not count.
    assert rows[GMEM]["score"] > rows[NONE]["score"] + 20
    assert rows[GMEM]["score"] > rows[WRONG]["score"] + 20
    assert found["experience"]["expert_score"] > found["experience"]["novice_score"]

    assert (out / "learning-curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    with gmem.Memory(found["memory"]) as memory:
        course = Course(types=QUICK_TYPES, experts=3, novices=2, tests=2)
        assert memory.stats().tasks == len(QUICK_TYPES) * (course.experts + course.novices + course.tests)
        for lesson in found["lessons"]:
            assert lesson["proofs"] and all(memory.get(proof) for proof in lesson["proofs"])
    assert [command[:2] for command in found["commands"]] == [["gmem", w] for w in ("tasks", "insights", "explain")]
    for command in found["commands"]:
        shown = CliRunner().invoke(main, command[1:])
        assert shown.exit_code == 0 and ("t_" in shown.stdout or "i_" in shown.stdout), shown.output
