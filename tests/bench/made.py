"""Made-up experience of realistic shape, the same on every machine.

A team has forty kinds of task.  A query has twelve words, half of them common ones (by Zipf's law, so the
first stands in two thirds of all queries), half of them words of its kind.  Its vector lies near that of its
kind.  A run is a plan, four actions with their answers, and a verdict; in resolved runs of a kind an action
is done that failed ones mostly lack, so there is something to learn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gmem.graphs import Batch, GraphStore
from gmem.ids import insight_id
from gmem.learn.deeds import deeds
from gmem.memory import Memory
from gmem.model import Evidence, Insight, Interaction, Kind, Model, Outcome, Similar, Task, Utterance
from gmem.trace import Run

__all__ = ["AGENTS", "DIMENSION", "MODEL", "Experience", "Made", "fill", "record"]

DIMENSION = 256
MODEL = Model("bench", DIMENSION)
KINDS = 40
WORDS = 6_000
QUERY_WORDS = 12
SENTENCES = 3_000
AGENTS = {"ada": "planner", "bo": "actor", "cy": "critic"}
VERBS = ("take", "open", "clean", "heat", "cool", "measure", "move", "mix", "sort", "check", "weigh", "pour")
_SHAPE: tuple[tuple[str, Kind], ...] = (
    ("ada", "message"),
    ("bo", "action"), ("environment", "observation"), ("bo", "action"), ("environment", "observation"),
    ("bo", "action"), ("environment", "observation"), ("bo", "action"), ("environment", "observation"),
    ("cy", "message"),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One task with its run, and the kind it is of."""

    task: Task
    interaction: Interaction
    kind: int

    @property
    def characters(self) -> int:
        """Length of everything said in it."""
        return sum(len(u.content) for u in self.interaction.utterances)


class Experience:
    """A source of tasks.

    Args:
        seed: Another seed gives other tasks of the same kinds.
        sentences: How many sentences a message has; actions and answers are always short ones.
        chat: Whether all ten utterances are messages.
    """

    def __init__(self, seed: int = 1, *, sentences: int = 4, chat: bool = False) -> None:
        fixed = random.Random(0)
        self._rng = random.Random(seed)
        self._sentences, self._chat = sentences, chat
        self._words = _vocabulary(fixed)
        self._weights = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))
        self._of_kind = [fixed.sample(self._words[50:], 30) for _ in range(KINDS)]
        self._verbs = [fixed.sample(VERBS, 5) for _ in range(KINDS)]
        self._pool = [" ".join(self._common(fixed, fixed.randint(8, 16))) + "." for _ in range(SENTENCES)]
        noise = np.random.default_rng(0)
        self._centres = noise.standard_normal((KINDS, DIMENSION)).astype(np.float32)
        self._noise = np.random.default_rng(seed)

    def _common(self, rng: random.Random, count: int) -> list[str]:
        return rng.choices(self._words, cum_weights=self._weights, k=count)

    def query(self, kind: int) -> str:
        """Make up what is asked."""
        own = self._rng.choices(self._of_kind[kind], k=QUERY_WORDS // 2)
        words = self._common(self._rng, QUERY_WORDS - len(own)) + own
        self._rng.shuffle(words)
        return " ".join(words)

    def vectors(self, kinds: Sequence[int]) -> NDArray[np.float32]:
        """Give float32 array (n, 256) of unit vectors; two of one kind have a cosine of about .6."""
        noise = self._noise.standard_normal((len(kinds), DIMENSION)).astype(np.float32)
        rows = self._centres[list(kinds)] + np.float32(0.8) * noise
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def kind(self) -> int:
        """Choose what kind of task comes next."""
        return self._rng.randrange(KINDS)

    def tasks(self, count: int, team: str = "bench") -> Iterator[Made]:
        """Make up tasks with their runs."""
        prefix = f"t_{self._rng.getrandbits(32):08x}"
        for number in range(count):
            kind, draw = self.kind(), self._rng.random()
            outcome: Outcome = "resolved" if draw < 0.6 else "failed" if draw < 0.9 else "unknown"
            trace = self._trace(kind, outcome)
            task = Task(
                id=f"{prefix}{number:08x}", team=team, query=self.query(kind), outcome=outcome,
                score={"resolved": 1.0, "failed": 0.0}.get(outcome), agents=AGENTS,
                key_steps=tuple(range(len(trace))), started=1.7e9 + number, ended=1.7e9 + number + 60,
                length=len(trace), learned=outcome != "unknown",
            )  # fmt: skip
            interaction = Interaction(task.id, trace)
            yield Made(replace(task, deeds=deeds(task, interaction)), interaction, kind)

    def _trace(self, kind: int, outcome: Outcome) -> tuple[Utterance, ...]:
        rng, things = self._rng, self._of_kind[kind]
        key, *others = self._verbs[kind]
        verbs = rng.sample(others, 4)
        if rng.random() < (0.9 if outcome == "resolved" else 0.2):
            verbs[rng.randrange(4)] = key
        trace = []
        for seq, (agent, sort) in enumerate(_SHAPE):
            if self._chat or sort == "message":
                text = " ".join(rng.choices(self._pool, k=self._sentences))
            elif sort == "action":
                text = f"{verbs[seq // 2]} {rng.choice(things)} {rng.randrange(9)} from {rng.choice(things)}"
            else:
                text = rng.choice(self._pool)
            if self._chat:
                agent, sort = list(AGENTS)[seq % 3], "message"
            trace.append(Utterance(
                seq, agent, AGENTS.get(agent, ""), sort, text, (), (seq - 1,) if seq else (), None, 1.7e9 + seq,
            ))  # fmt: skip
        return tuple(trace)


def _vocabulary(rng: random.Random) -> list[str]:
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < WORDS:
        found["".join(rng.choices(syllables, k=rng.randint(1, 4)))] = None
    return list(found)


def _insights(team: str, count: int) -> list[Insight]:
    pairs = [(a, b) for a in VERBS for b in VERBS if a != b][:count]
    return [
        Insight(
            insight_id("do", pattern := f"before|{a} * from *|{b} * from *"), team,
            f"Before `{b} * from *`, do `{a} * from *`", state="active", pattern=pattern,
        )
        for a, b in pairs
    ]  # fmt: skip


def fill(
    store: GraphStore, count: int, *, team: str = "bench", edges: int = 4, evidence: int = 2,
    insights: int = 48, at_once: int = 500, experience: Experience | None = None,
) -> None:  # fmt: skip
    """Write tasks into a store, many in one transaction, as if all had been learned from.

    Args:
        store: Where to; it gets vectors of 256 numbers.
        count: How many tasks.
        team: Whose.
        edges: SIMILAR edges of a task to earlier ones of its kind.
        evidence: Insights that a verified task speaks for or against.
        insights: How many insights there are.
        at_once: Tasks of one transaction.
        experience: Where the tasks come from.
    """
    rng = random.Random(2)
    source = experience or Experience()
    if store.embedder() is None:
        store.set_embedder(MODEL)
    lessons = _insights(team, insights)
    store.write([Batch(team, "insights", insights=lessons)])
    earlier: list[list[str]] = [[] for _ in range(KINDS)]
    coming = source.tasks(count, team)
    for start in range(0, count, at_once):
        part = [made for made, _ in zip(coming, range(min(at_once, count - start)), strict=False)]
        similar: list[Similar] = []
        said: list[Evidence] = []
        for made in part:
            id, before = made.task.id, earlier[made.kind]
            for other in rng.sample(before, min(edges, len(before))):
                similar.append(Similar(min(id, other), max(id, other), round(rng.uniform(0.3, 0.9), 4)))
            before.append(id)
            if made.task.outcome != "unknown":
                resolved = made.task.outcome == "resolved"
                said += [
                    Evidence(id, lessons[(made.kind * 3 + rng.randrange(6)) % insights].id, followed, resolved)
                    for followed in (resolved, resolved if rng.random() < 0.8 else not resolved)[:evidence]
                ]
        vectors = dict(zip((m.task.id for m in part), source.vectors([m.kind for m in part]), strict=True))
        store.write([
            Batch(
                team, f"part {start}", tasks=[m.task for m in part], interactions=[m.interaction for m in part],
                vectors=vectors, similar=similar, evidence=said,
            )
        ])  # fmt: skip


def record(memory: Memory, made: Made) -> Run:
    """Play a made-up run through the API that programs use; gives the run, ended."""
    with memory.task(made.task.query, agents=AGENTS, run_id=made.task.id) as run:
        for u in made.interaction.utterances:
            run.say(u.agent, u.content, kind=u.kind, inspired_by=u.inspired_by)
        if made.task.outcome == "failed":
            run.fail("the check at the end failed")
        else:
            run.resolve(1.0)
    return run
