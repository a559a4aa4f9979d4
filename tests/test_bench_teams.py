"""The tables of the bench of teams, from games that were not played; and, marked `demo`, from a few that are."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from bench.chance import interval
from bench.games import RANDOM, Season, Tried
from bench.teams import play, tables

from gmem.demo.games import GMEM, NONE, Game

PLAN = Season(1, types=("a", "b"), experts=2, novices=1, tries=2)


def tried(condition: str, score: int, kind: str = "a", variation: int = 0, seed: int = 1, place: int = -1) -> Tried:
    return Tried(seed, Game(kind, variation, condition, score, max(score, 50), 5), place)


FOUND = [
    tried(NONE, 0), tried(NONE, 20, "b"), tried(NONE, 10, variation=1), tried(NONE, 10, seed=2),
    tried(GMEM, 100), tried(GMEM, 40, "b"), tried(GMEM, 100, variation=1), tried(GMEM, 60, seed=2),
]  # fmt: skip
LEARNED = [
    tried(GMEM, 0, place=0), tried(GMEM, 20, "b", place=1),
    tried(GMEM, 100, variation=1, place=2), tried(GMEM, 50, "b", variation=1, place=3),
]  # fmt: skip


def test_conditions_are_compared_game_by_game() -> None:
    table, by_type, _ = (t.to_dict() for t in tables(FOUND, LEARNED, PLAN))
    none, gmem = table["rows"]
    assert none["what the team is told"] == NONE and none["mean score"].startswith("10 (")
    assert none["gmem minus it, paired"].startswith("65 (") and none["solved"] == "0 of 4"
    assert (none["seed 1"], none["seed 2"], gmem["seed 1"], gmem["seed 2"]) == (10.0, 10, 80.0, 60)
    assert gmem["solved"] == "2 of 4" and gmem["gmem minus it, paired"] is None
    assert by_type["rows"][1] == {"type": "b", "games": 1, NONE: 20, GMEM: 40}
    assert not any(RANDOM in row for row in by_type["rows"])
    assert "2 experts' and 1 novices' runs" in " ".join(table["notes"])


def test_the_curve_is_cut_into_rounds_beside_the_same_games_without_memory() -> None:
    first, second = tables(FOUND, LEARNED, PLAN)[2].to_dict()["rows"]
    assert (first["tasks"], first["games"], first["score"], first["without memory"]) == ("1 to 2", 2, 10.0, 10.0)
    assert (second["tasks"], second["score"], second["without memory"]) == ("3 to 4", 75.0, 10.0)


def test_an_interval_holds_the_mean_and_narrows_with_more_games() -> None:
    few, many = interval([0, 100] * 5), interval([0, 100] * 500)
    assert few[0] < many[0] < 50 < many[1] < few[1]


@pytest.mark.demo
@pytest.mark.slow
def test_a_season_and_a_curve_are_played(tmp_path: Path) -> None:
    pytest.importorskip("scienceworld")
    pytest.importorskip("langgraph")
    plan = Season(5, types=("use-thermometer", "find-animal"), experts=1, novices=0, tries=1, split="dev")
    number = count()
    seen: list[str] = []
    found, learned = play([plan], lambda: tmp_path / f"{next(number)}.gmem", seen.append)
    assert len(learned) == 2 and [t.place for t in learned] == [0, 1]
    conditions = {t.game.condition for t in found}
    assert {NONE, RANDOM, GMEM} <= conditions and len(found) == 2 * len(conditions)
    assert all(0 <= t.game.score <= t.game.best <= 100 for t in (*found, *learned))
    assert len(seen) == 2 + len(found) + 4
