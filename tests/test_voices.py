"""The doubted count less, and one source that talks a lot neither makes an insight nor ends it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stories import play

import gmem
from gmem.graphs.base import Standing, Voice
from gmem.learn import Gates, RulesDistiller
from gmem.learn.lifecycle import state_of, why
from gmem.model import Evidence, Insight
from gmem.voices import hear, updated

WASH = Insight("i", "blue", "Wash it first", state="candidate", pattern="act|wash *")


def voice(source: str, a: int, b: int, c: int, d: int, trust: float = 1.0) -> Voice:
    """Give what runs of one trust say: resolved that followed and did not, then failed ones."""
    return Voice(source, *(round(1000 * trust) * n for n in (a + b, a, c + d, c)))


def standing(*voices: Voice) -> Standing:
    """Count voices as if each run were trusted fully."""
    sums = (sum(x) // 1000 for x in zip(*((v.successes, v.successes_followed, v.failures, v.failures_followed)
                                          for v in voices), strict=True))  # fmt: skip
    return Standing(*sums, voices=voices)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("before", "voices", "state"),
    [
        ("candidate", [voice("run", 12, 2, 2, 8)], "active"),
        # Few others: the source is the team.
        ("candidate", [voice("loud", 200, 20, 20, 100), voice("run", 1, 2, 2, 1)], "active"),
        # It did a useless thing and always called itself solved; the others never did it.
        ("candidate", [voice("loud", 300, 0, 0, 0), voice("run", 0, 30, 0, 20)], "retired"),
        # It made up failures as well, and the others know nothing of it.
        ("candidate", [voice("loud", 150, 0, 0, 150), voice("run", 0, 30, 0, 20)], "candidate"),
        # The others found it as well.
        ("candidate", [voice("loud", 150, 0, 0, 150), voice("run", 20, 5, 5, 20)], "active"),
        # It speaks against what the others found.
        ("active", [voice("loud", 0, 150, 150, 0), voice("run", 20, 5, 5, 20)], "candidate"),
        ("active", [voice("loud", 0, 150, 150, 0), voice("run", 5, 20, 20, 5)], "retired"),
        # As many runs, but doubted.
        ("candidate", [voice("run", 12, 2, 2, 8, trust=0.1)], "candidate"),
    ],
    ids=["one source", "few others", "always solved", "made up", "others agree", "against", "both against", "doubted"],
)
def test_what_sources_say_together(before: Any, voices: list[Voice], state: str) -> None:
    insight = Insight("i", "blue", WASH.text, state=before, pattern=WASH.pattern)
    assert state_of(insight, standing(*voices)) == state


def test_one_voice_is_all_there_is() -> None:
    plain = Standing(14, 12, 10, 2)
    said = standing(voice("run", 12, 2, 2, 8))
    assert hear(plain, mined=True) == hear(said, mined=True)
    assert (hear(plain, mined=True).supports, hear(plain, mined=True).contradicts) == (
        plain.supports,
        plain.contradicts,
    )
    assert why(WASH, plain) == why(WASH, said)


def test_it_is_said_why_a_source_does_not_count() -> None:
    said = standing(voice("loud", 150, 0, 0, 150), voice("run", 0, 30, 0, 20))
    assert "one source (loud)" in why(WASH, said) and "neither" in why(WASH, said)
    assert "weighed by trust, 6 for it and 1 against" in why(WASH, Standing(14, 12, 10, 2, (voice("x", 4, 0, 1, 2),)))


def test_counting_follows_each_change() -> None:
    origins = {"a": ("run", 1.0), "b": ("loud", 0.25)}
    one, two = Evidence("a", "i", True, True), Evidence("b", "i", False, False)
    told = updated(Standing(), [(None, one), (None, two)], origins)
    assert told == Standing(1, 1, 1, 0, (Voice("loud", 0, 0, 250, 0), Voice("run", 1000, 1000)))
    turned = updated(told, [(two, Evidence("b", "i", False, True)), (one, None)], origins)
    assert turned == Standing(1, 0, 0, 0, (Voice("loud", 250),))
    assert updated(turned, [(Evidence("b", "i", False, True), None)], origins) == Standing()


@pytest.mark.parametrize("in_turn", [True, False], ids=["heard in turn", "all heard"])
def test_a_memory_does_not_take_up_what_one_loud_source_does(tmp_path: Path, in_turn: bool) -> None:
    rules = RulesDistiller(Gates(in_turn=in_turn))
    with gmem.Memory(tmp_path / "m.db", embedder="none", team="blue", distiller=rules) as memory:
        for number in range(36):
            thing = f"thing{number}"
            if number < 18:
                play(memory, thing, ("take {0} from shelf", "put {0} in pot"), resolved=number % 3 == 0)
            play(memory, thing, ("take {0} from shelf", "shout at {0}"), source="loud")
        memory.consolidate()
        # Not to put anything in the pot tells the loud source from the others, and is no lesson.
        assert bool(memory.insights("active")) is not in_turn
