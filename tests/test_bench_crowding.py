"""The choices that the bench of crowding compares, on a made-up memory; and its table, from games not played."""

from __future__ import annotations

import pytest
from bench.crowding import CHOICES, FORMS, table, tell
from bench.games import Tried
from stories import play

import gmem
from gmem.demo.games import GMEM, Game

QUERY = "Find the oldest animal in the garden"


@pytest.fixture
def crowded(words: gmem.Memory) -> gmem.Memory:
    """Three runs that do the same to the tortoise, the shortest last, one that takes the parrot, and another task."""
    for number in (2, 1, 0):
        play(
            words, "tortoise", (*["open door", "open gate"][:number], "focus on {0}"), query=QUERY, run_id=f"t{number}"
        )
    play(words, "parrot", ("open door", "open gate", "open shed", "focus on {0}"), query=QUERY, run_id="parrot")
    play(words, "newt", query="Find the youngest animal in the garden", run_id="young")
    return words


@pytest.mark.parametrize(
    ("name", "told"),
    [("one case a text", {"young"}), ("of equal texts the best proven", {"t0", "t1"}), (GMEM, {"t0", "parrot"})],
)
def test_forms_tell_what_they_say(crowded: gmem.Memory, name: str, told: set[str]) -> None:
    form = tell(CHOICES.get(name), cases=2)
    text = form(crowded, QUERY)["actor"]
    assert all(f"[{id}]" in text for id in told)
    assert text.count("### [") == 2


def test_each_form_tells_each_role(crowded: gmem.Memory) -> None:
    for form in FORMS.values():
        assert set(form(crowded, QUERY)) == {"planner", "actor", "critic"}
    assert FORMS["the nearest, however alike"](crowded, QUERY) != FORMS[GMEM](crowded, QUERY)


def test_forms_are_compared_memory_by_memory() -> None:
    def tried(seed: int, variation: int, name: str, score: int) -> Tried:
        return Tried(seed, Game("a", variation, name, score, max(score, 50), 5, 100), variant=name)

    found = [
        tried(1, 0, GMEM, 100), tried(1, 1, GMEM, 100), tried(2, 0, GMEM, 50),
        tried(1, 0, "other", 50), tried(1, 1, "other", 50), tried(2, 0, "other", 50),
    ]  # fmt: skip
    mine, other = table(found).to_dict()["rows"]
    assert (mine["mean score"], mine["solved"], mine["gmem minus it"]) == (83.3, 2, None)
    assert other["gmem minus it"] == "+25.0 (+0.0 to +50.0)"
    assert other["gmem minus it, % solved"] == "+50.0 (+0.0 to +100.0)"
