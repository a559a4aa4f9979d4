"""Hostile calls of one team at the memory of others, each done to two stores: one with the victims, one without.

What a team is told, and what its calls do, must be the same in both; so not even a count, a rank or an error
may tell it that there is another team.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

import gmem
from gmem.embed import Embedder
from gmem.errors import GmemError
from gmem.export import lines
from gmem.graphs import Batch, GraphStore
from gmem.graphs._carrying import Portable, fingerprint
from gmem.model import Evidence, InsightLink, Task
from gmem.testing import EXAMPLE_MODEL, example_insight, example_interaction, example_recall, example_task, similar
from gmem.testing._suite import HOSTILE_NAMES
from gmem.text import terms

__all__ = ["ATTACKERS", "SECRET", "VICTIMS", "Probes", "attack", "furnish", "state_of"]

VICTIMS = ("blue", "caf\u00e9 \u03a3", "red.team:1")
SECRET = "Zanzibarquokka"
_CLOCK = re.compile(r"\b[12]\d{9}(\.\d+)?\b")
_ABC = "abcdefghijklmnopqrstuvwxyz"
_WIDE = {ord(c): 0xFEE0 + ord(c) for c in _ABC}
_LOOKALIKE = str.maketrans("aeocpx", "\u0430\u0435\u043e\u0441\u0440\u0445")


def _near(name: str) -> list[str]:
    """Give names that something careless takes for a victim's."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    return [
        *forms, name.upper(), name.casefold(), name.title(), name.translate(_WIDE), name.translate(_LOOKALIKE),
        name[:-1], name[:1], name[1:], name + "s", name + " ", " " + name, name + "\n", name + "\t", name + "\u200b",
        "\ufeff" + name, name + "\u0000", name + "\x1f", name + "\x1ft", name + "/", name + "/../" + name, name + ":t0",
        name + "%", name[:2] + "%", name[:2] + "*", "_" * len(name), "?" * len(name), f"^{name}$", f"({name}|x)",
        f"{name}' OR '1'='1", f"' OR team = '{name}", f'" OR "" = "{name}', f"{name}'; DROP TABLE record; --",
        f"x' UNION SELECT * FROM record WHERE team = '{name}",  # noqa: S608 - a name, no query
        f"{name}'}}) MATCH (n) RETURN n //",
        f"x'}}) OR t.team = '{name}' //", f"`{name}`", f"${name}", "$team", "${team}", f"{{team: '{name}'}}",
        f"\\u{ord(name[0]):04x}{name[1:]}", f"%{ord(name[0]):02x}{name[1:]}", f"{name},{VICTIMS[1]}", f"['{name}']",
        name[::-1], name + "x" * 200, name * 80,
    ]  # fmt: skip


ATTACKERS = tuple(dict.fromkeys(
    name
    for name in (*(n for victim in VICTIMS for n in _near(victim)), *HOSTILE_NAMES, "", "\ud800")
    if name not in VICTIMS
))  # fmt: skip

TASKS = tuple(f"t{n}" for n in range(6))
INSIGHTS = ("i0", "i1", "i2")
STRANGE = ("*", "%", "t%", "t_", "t?", ".*", "", "t0\x1ft1", "t0 ", "T0", "\uff540", "' OR '1'='1", "t0' OR 1=1 --",
           "blue/t0", "blue:t0", "blue\x1ft0", "../blue/t0", "t0'}) MATCH (n) RETURN n //", "x" * 400)  # fmt: skip
_QUERIES = ("boil water for", "refund the order of", "find the lost key of")


def _query(number: int) -> str:
    return f"{_QUERIES[number % 3]} {SECRET} number {number}"


class _Hashed(Embeddings):
    """Embeds by the hash of each word, so that vectors take part without any model."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(t) for t in texts]

    def embed_query(self, text: str) -> list[float]:
        total = np.full(EXAMPLE_MODEL.dimension, 1e-3)
        for word in text.split():
            total += np.frombuffer(hashlib.sha256(word.encode()).digest()[:8], dtype=np.uint8).astype(float) - 127.5
        return [float(x) for x in total]


EMBEDDER = Embedder(_Hashed(), EXAMPLE_MODEL.name, EXAMPLE_MODEL.dimension)


def _vector(text: str) -> NDArray[np.float32]:
    return EMBEDDER.query(text)


def furnish(store: GraphStore, victims: Sequence[str] = VICTIMS) -> None:
    """Give each victim six tasks, three insights and every kind of edge, the secret in every text."""
    for team in victims:
        tasks = [
            example_task(id, team, query=_query(n), context=f"context {SECRET}", reason=f"reason {SECRET}",
                         feedback=f"feedback {SECRET}", metadata={SECRET: SECRET},
                         agents={f"Ada {SECRET}": "planner", "Bob": SECRET},
                         outcome=("resolved", "failed")[n % 2], learned=True)
            for n, id in enumerate(TASKS)
        ]  # fmt: skip
        insights = [example_insight(i, team, text=f"Take care of {SECRET} ({i}).") for i in INSIGHTS]
        store.write([
            Batch(
                team, "task t0", tasks=tasks, insights=insights,
                interactions=[example_interaction(t.id) for t in tasks],
                vectors={t.id: _vector(t.query) for t in tasks},
                similar=[similar("t0", "t1"), similar("t2", "t3", 0.9)],
                evidence=[Evidence(t, i, True, n % 2 == 0) for n, t in enumerate(TASKS) for i in INSIGHTS],
                links=[InsightLink("i0", "i1", "t0")],
                recalls=[example_recall("r0", "t4", ("i0", "t0")), example_recall("r1", "t5", ("i1",))],
            )
        ])  # fmt: skip


def state_of(store: Portable, victims: Sequence[str] = VICTIMS) -> object:
    """Sum up everything that victims have, bit for bit."""
    return fingerprint(r for r in store.records() if r[1] in victims)


def _memory(store: GraphStore, team: str) -> gmem.Memory:
    return gmem.Memory(store, team=team, embedder=EMBEDDER)


@dataclass(frozen=True)
class Probe:
    """One call: by whom, which, and what does it to a store."""

    team: str
    call: str
    do: Callable[[GraphStore], object]


class Probes:
    """Makes probes, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._number = 0
        self._written: dict[tuple[str, str], int] = {}

    def next(self) -> Probe:
        """Make the next one."""
        self._number += 1
        team = self._chance.choice(ATTACKERS)
        kind = self._chance.choices((self._read, self._write, self._ask, self._change), (55, 15, 22, 8))[0]
        call, do = kind(team)
        return Probe(team, call, do)

    def _id(self) -> str:
        return self._chance.choice((*TASKS, *INSIGHTS, "r0", *STRANGE))

    def _text(self) -> str:
        """Give a victim's very query, a part of it, or a text of query language."""
        query = _query(self._chance.randrange(6))
        return self._chance.choice((
            query, SECRET, query.upper(), f'"{query}"', f"{SECRET[:5]}*", f"team:{VICTIMS[0]} {query}",
            f"*:* {SECRET}", f"' OR 1=1 -- {SECRET}", f"kettle {SECRET}", f"{query} {query}",
        ))  # fmt: skip

    def _read(self, team: str) -> tuple[str, Callable[[GraphStore], object]]:
        a, b, text = self._id(), self._id(), self._text()
        calls: Mapping[str, Callable[[GraphStore], object]] = {
            "tasks": lambda s: s.tasks(team, [a]),
            "task_ids": lambda s: s.task_ids(team),
            "interaction": lambda s: s.interaction(team, a),
            "cases": lambda s: s.cases(team, [a, b]),
            "insights": lambda s: s.insights(team),
            "insights by id": lambda s: s.insights(team, [b]),
            "candidates": lambda s: _found(s, team, text),
            "vectors": lambda s: {k: v.tobytes() for k, v in s.vectors(team, [a, b]).items()},
            "neighbours": lambda s: s.neighbours(team, a),
            "evidence": lambda s: s.evidence(team, task_id=a),
            "evidence about": lambda s: s.evidence(team, insight_id=b),
            "standing": lambda s: s.standing(team, b),
            "links": lambda s: (s.links(team), s.links(team, b)),
            "recalls": lambda s: (s.recalls(team), s.recalls(team, a)),
            "tally": lambda s: s.tally(team, a),
            "stats": lambda s: re.sub(r"bytes=\d+", "", repr(s.stats(team))),
            "applied": lambda s: sorted(s.applied(team, ["task t0", "task t1", a or "x"])),
            "export": lambda s: list(lines(s, team)),
        }
        call = self._chance.choice(list(calls))
        return call, calls[call]

    def _write(self, team: str) -> tuple[str, Callable[[GraphStore], object]]:
        chance = self._chance
        victim, a, b = chance.choice(VICTIMS), chance.choice(TASKS), self._id()
        i, op = chance.choice(INSIGHTS), chance.choice(("task t0", f"op {self._number}", f"op {self._number}"))
        x, y = chance.sample(TASKS, 2)
        version = chance.choice((1, 1, 2, 3))
        task = example_task(a, team, query=f"kettle of {self._number % 5}")
        batches: Mapping[str, Batch] = {
            "write a task": Batch(team, op, tasks=[task], vectors={a: _vector(task.query)}),
            "write another team's task": Batch(team, op, tasks=[example_task(a, victim)]),
            "write another team's insight": Batch(team, op, insights=[example_insight(i, victim)]),
            "write an insight": Batch(team, op, insights=[example_insight(i, team, version=version)]),
            "write what they said": Batch(team, op, interactions=[example_interaction(a)]),
            "write an edge": Batch(team, op, similar=[similar(x, y)]),
            "write evidence": Batch(team, op, evidence=[Evidence(a, i, chance.random() < 0.5, True)]),
            "write a link": Batch(team, op, links=[InsightLink("i0", i, a)]),
            "write a ledger entry": Batch(team, op, recalls=[example_recall("r0", a, (i, b or "t0"))]),
            "write a vector": Batch(team, op, vectors={a: _vector("kettle")}),
            "forget tasks": Batch(team, op, forget_tasks=[a, b or "t1"]),
            "forget insights": Batch(team, op, forget_insights=[i, b or "i1"]),
        }
        call = chance.choice(list(batches))
        return call, lambda s: s.write([batches[call]])

    def _ask(self, team: str) -> tuple[str, Callable[[GraphStore], object]]:
        a, text, role = self._id(), self._text(), self._chance.choice(("", "actor", SECRET, VICTIMS[0]))
        calls: Mapping[str, Callable[[gmem.Memory], object]] = {
            "recall": lambda m: _told(m.recall(text, role)),
            "recall in a run": lambda m: _told(m.recall(text, role, run_id=a)),
            "get": lambda m: _core(m.get(a)),
            "interaction": lambda m: [u.content for u in m.interaction(a).utterances],
            "tasks": lambda m: [_core(t) for t in m.tasks(limit=3)],
            "insights": lambda m: sorted((i.id, i.text) for i in m.insights()),
            "query_graph": lambda m: sorted(map(repr, m.query_graph().edges(data=True))),
            "insight_graph": lambda m: sorted(map(repr, m.insight_graph().edges)),
            "interaction_graph": lambda m: sorted(map(repr, m.interaction_graph(a).edges)),
            "learn": lambda m: m.learn(),
        }
        call = self._chance.choice(list(calls))
        return f"Memory: {call}", lambda s: calls[call](_memory(s, team))

    def _change(self, team: str) -> tuple[str, Callable[[GraphStore], object]]:
        a, id, good = self._id(), self._chance.choice(TASKS), self._chance.random() < 0.5
        words = f"kettle of {self._number % 5}"

        def record(m: gmem.Memory) -> object:
            with m.task(words, agents={"Ada": "planner"}, run_id=id) as run:
                run.say("Ada", f"put the {words} on the stove", time=1.0)
                run.happened(started=1.0, ended=2.0)
                if good:
                    run.resolve(1.0)
                else:
                    run.fail("cold")
            return _core(m.get(id))

        calls: Mapping[str, Callable[[gmem.Memory], object]] = {
            "record": record,
            "feedback": lambda m: _core(m.feedback(a, score=0.5, text="changed", outcome="failed")),
            "forget task": lambda m: m.forget(task=a),
            "forget agent": lambda m: m.forget(agent=f"Ada {SECRET}"),
            "forget source": lambda m: m.forget(source="run") if self._rare else m.forget(source=SECRET),
            "forget everything": lambda m: m.forget(everything=True),
            "consolidate": lambda m: sorted(m.consolidate()),
        }
        call = self._chance.choices(list(calls), (12, 8, 1, 1, 1, 1, 4))[0]
        return f"Memory: {call}", lambda s: calls[call](_memory(s, team))

    @property
    def _rare(self) -> bool:
        return self._number % 2 == 0


def _found(store: GraphStore, team: str, text: str) -> object:
    """Give candidates with their figures: those too are a team's own."""
    found = store.candidates(team, terms(text), _vector(text))
    return {
        id: (round(float(found.lexical[r]), 4), round(float(found.dense[r]), 4), int(found.outcomes[r]))
        for id, r in ((id, found.rows[id]) for id in found.ids)
    }


def _told(recall: Any) -> object:
    return recall.text.replace(recall.id, "r_"), sorted(recall.shown), recall.withheld


def _core(task: Task) -> object:
    return task.id, task.team, task.query, task.outcome, task.score, task.feedback, task.reason, dict(task.metadata)


def _answer(probe: Probe, store: GraphStore) -> tuple[str, str]:
    try:
        return "answer", _CLOCK.sub("now", repr(probe.do(store)))
    except GmemError as error:
        return type(error).__name__, str(error).replace(store.location, "")


def attack(store: Portable, twin: GraphStore, count: int, seed: int) -> dict[str, int]:
    """Do a number of probes to a store with victims and to its twin without.

    Args:
        store: Furnished with victims.
        twin: The same, without them.
        count: How many.
        seed: Of the choice.

    Returns:
        How often each call was made.
    """
    probes, made = Probes(seed), dict[str, int]()
    before, state = state_of(store), 0
    for number in range(count):
        probe = probes.next()
        made[probe.call] = made.get(probe.call, 0) + 1
        answer, other = _answer(probe, store), _answer(probe, twin)
        told = f"probe {number} of seed {seed}: {probe.call} by {probe.team!r}"
        assert answer[0] == other[0], f"{told}: {answer} with victims, {other} without"
        if answer[0] == "answer":
            assert answer[1] == other[1], f"{told}: {answer[1]!r} with victims, {other[1]!r} without"
            assert SECRET not in answer[1] or SECRET in other[1], told
        if number - state >= 5000:
            state = number
            assert state_of(store) == before, f"a victim was changed before {told}"
    assert state_of(store) == before, f"a victim was changed (seed {seed})"
    return made
