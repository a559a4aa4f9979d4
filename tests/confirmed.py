"""Failures for which people blamed somebody, of a team in which whoever asks is to blame."""

from __future__ import annotations

import random
from collections.abc import Sequence

import gmem
from gmem.model import Interaction, Suspect, Task, Utterance

__all__ = ["NAMES", "confirm", "fail", "failure"]

NAMES = ("ann", "bob", "cid", "dan", "eve")
CALM = ("The list is done.", "The box is full.", "The door is shut.", "The bill is paid.")


def failure(number: int, *, asks: bool = True, trust: float = 1.0) -> tuple[Task, Interaction]:
    """Make a failure in which whoever asked was to blame, or whoever did not ask and spoke last."""
    rng = random.Random(number)
    guilty = rng.randrange(1, len(NAMES))
    said = [rng.choice(CALM) for _ in NAMES]
    said[guilty] = "Shall we go on?"
    step = guilty if asks else 0
    suspect = Suspect(NAMES[step], step, "a person said so", 1.0)
    task = Task(f"t{number}", "blue", f"Do job {number}", outcome="failed", blame=(suspect,), trust=trust)
    trace = tuple(
        Utterance(i, name, "", "message", text) for i, (name, text) in enumerate(zip(NAMES, said, strict=True))
    )
    return task, Interaction(task.id, trace)


def confirm(memory: gmem.Memory, numbers: Sequence[int]) -> None:
    for number in numbers:
        task, trace = failure(number)
        with memory.task(task.query, run_id=task.id) as run:
            for u in trace.utterances:
                run.say(u.agent, u.content)
            run.fail()
    for number in numbers:
        suspect = failure(number)[0].blame[0]
        memory.feedback(f"t{number}", blame=(suspect.agent, suspect.seq, "a person said so"))


def fail(memory: gmem.Memory, number: int) -> tuple[Suspect, ...]:
    task, trace = failure(number)
    with memory.task(task.query, run_id=task.id) as run:
        for u in trace.utterances:
            run.say(u.agent, u.content)
        run.fail()
    (stored,) = memory.store.tasks(memory.team, [task.id])
    return stored.blame
