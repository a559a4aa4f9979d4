"""Small made-up runs of a kitchen team, for the engine's tests."""

from __future__ import annotations

from collections.abc import Sequence

import gmem

AGENTS = {"ann": "planner", "bob": "cook"}

GOOD = ("take {0} from shelf", "wash {0} with water", "put {0} in pot")
BAD = ("take {0} from shelf", "put {0} in pot")


def play(
    memory: gmem.Memory,
    thing: str,
    actions: Sequence[str] = GOOD,
    *,
    resolved: bool | None = True,
    query: str = "Cook a {0} in the pot",
    run_id: str | None = None,
    source: str = "run",
    reason: str = "the {0} was dirty",
) -> gmem.Task:
    """Record one run: the planner names each step, the cook does it."""
    with memory.task(query.format(thing), agents=AGENTS, run_id=run_id, source=source) as run:
        for action in actions:
            done = action.format(thing)
            plan = run.say("ann", f"Please {done}", to="bob")
            run.act("bob", done, f"You {done}.", inspired_by=plan)
        if resolved is None:
            run.leave()
        elif resolved:
            run.resolve(1.0)
        else:
            run.fail(reason.format(thing))
    assert run.result is not None
    return run.result


def kitchen(memory: gmem.Memory, good: int = 6, bad: int = 4) -> None:
    """Record resolved runs that wash, and failed ones that do not."""
    things = [
        "carrot",
        "potato",
        "leek",
        "onion",
        "turnip",
        "beet",
        "radish",
        "bean",
        "pea",
        "cabbage",
        "fennel",
        "kale",
    ]
    for i in range(max(good, bad)):
        if i < bad:
            play(memory, things[-1 - i], BAD, resolved=False)
        if i < good:
            play(memory, things[i], GOOD)
