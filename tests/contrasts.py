"""What a distiller is given: contrasts of a real memory, and one made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from stories import AGENTS, BAD, GOOD, play

import gmem
from gmem import prompts
from gmem.flow import Flow, run
from gmem.graphs.base import Standing
from gmem.ids import insight_id
from gmem.learn import Contrast, RulesDistiller
from gmem.learn import Lessons as Learned
from gmem.learn.by_model import lessons_of
from gmem.model import Insight, Interaction, Task, Utterance

WASH = "Wash vegetables with water before they go into the pot."


class Watching:
    """The rules distiller, which also keeps what it was given."""

    name = "rules"
    external = False

    def __init__(self) -> None:
        self.seen: list[Contrast] = []

    def distil(self, contrast: Contrast) -> Flow[Learned]:
        self.seen.append(contrast)
        return (yield from RulesDistiller().distil(contrast))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Contrast]:
    """What a distiller is given in a real memory: a resolved run, a failed one, then more of both."""
    watching = Watching()
    with gmem.Memory(tmp_path_factory.mktemp("seen") / "m.gmem", embedder="none", distiller=watching) as memory:
        for i, thing in enumerate(["carrot", "leek", "onion", "beet", "pea", "kale", "bean", "turnip", "fennel"]):
            if i % 2:
                play(memory, thing, BAD, resolved=False, run_id=f"run-{thing}")
            else:
                play(memory, thing, GOOD, run_id=f"run-{thing}")
    return watching.seen


@pytest.fixture
def first(seen: list[Contrast]) -> Contrast:
    """A resolved run without a rival."""
    return seen[0]


@pytest.fixture
def lost(seen: list[Contrast]) -> Contrast:
    """A failed run with a resolved rival."""
    return seen[5]


@pytest.fixture
def won(seen: list[Contrast]) -> Contrast:
    """A resolved run with a failed rival."""
    return seen[4]


@pytest.fixture
def mined(seen: list[Contrast]) -> Contrast:
    """One that teaches the rules something."""
    return next(c for c in seen if run(RulesDistiller().distil(c)).insights)


def known(text: str, **changes: Any) -> Insight:
    """Make a lesson that a model wrote earlier."""
    polarity = changes.get("polarity", "do")
    return replace(
        Insight(insight_id(polarity, text), "default", text, state="active", origin="llm", version=3), **changes
    )


def among(contrast: Contrast, *insights: Insight) -> Contrast:
    """Give a contrast these known lessons."""
    return replace(contrast, known=[(i, Standing(2, 2, 1, 0)) for i in insights])


def told(contrast: Contrast, *operations: dict[str, Any]) -> Learned:
    """Take operations of a model that was shown every known lesson."""
    read = prompts.Lessons.model_validate({"operations": list(operations)})
    return lessons_of(contrast, read.operations, [i.id for i, _ in contrast.known])


def add(text: str = WASH, **fields: Any) -> dict[str, Any]:
    return {"op": "ADD", "text": text, "polarity": "do", **fields}


def scene(
    lines: Sequence[str], *, outcome: Literal["resolved", "failed"] = "failed", query: str = "Cook it", **facts: Any
) -> tuple[Task, Interaction]:
    steps = tuple(Utterance(i, "ann", "planner", "message", line, ("bob",)) for i, line in enumerate(lines))
    task = Task("t_one", "default", query, outcome=outcome, agents=AGENTS, key_steps=tuple(range(len(lines))), **facts)
    return task, Interaction(task.id, steps)


CONTRAST = Contrast(
    *scene(["Cook."]),
    run=None,  # type: ignore[arg-type]
    others=(), rival=scene(["Wash.", "Cook."], outcome="resolved"), known=(), now=5.0,
)  # fmt: skip
CONTRAST = replace(
    CONTRAST,
    run=gmem.learn.Neighbour("t_one", False, gmem.learn.patterns.profile(CONTRAST.task, CONTRAST.interaction)),
)
