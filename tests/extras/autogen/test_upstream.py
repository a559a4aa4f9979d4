"""Whose message builds on which, in teams whose true edges are known from how they were made."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ag_teams import Speaker, client, edges
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow, RoundRobinGroupChat, SelectorGroupChat, Swarm

from gmem import Memory
from gmem.adapters.autogen import attach

Made = tuple[Any, dict[str, set[str]]]


def truth(batches: Iterable[Iterable[str]], names: Iterable[str]) -> dict[str, set[str]]:
    """Work out the edges of a team in which everybody hears what the others say; a batch speaks at once."""
    inbox: dict[str, list[str]] = {name: [] for name in names}
    turns = dict.fromkeys(inbox, 0)
    last: dict[str, str] = {}
    asked = dict.fromkeys(inbox, True)  # the task itself, which is no utterance
    found: dict[str, set[str]] = {}
    for batch in batches:
        spoken = []
        for name in batch:
            turns[name] += 1
            text = f"{name}{turns[name]}"
            alone = not inbox[name] and not asked[name]
            found[text] = {last[name]} if alone else set(inbox[name])
            inbox[name], asked[name], last[name] = [], False, text
            spoken.append((name, text))
        for name, text in spoken:
            for other in inbox:
                if other != name:
                    inbox[other].append(text)
    return found


def round_robin(rng: random.Random) -> Made:
    names = [f"r{i}_" for i in range(rng.randint(1, 5))]
    turns = rng.randint(1, 12)
    team = RoundRobinGroupChat([Speaker(n) for n in names], max_turns=turns)
    return team, truth([[names[i % len(names)]] for i in range(turns)], names)


def selector(rng: random.Random) -> Made:
    names = [f"s{i}_" for i in range(rng.randint(2, 5))]
    order = [rng.choice(names) for _ in range(rng.randint(1, 12))]
    left = iter(order)

    team = SelectorGroupChat(
        [Speaker(n) for n in names], model_client=client(), selector_func=lambda _: next(left), max_turns=len(order),
        allow_repeated_speaker=True,
    )  # fmt: skip
    return team, truth([[n] for n in order], names)


def swarm(rng: random.Random) -> Made:
    names = [f"w{i}_" for i in range(rng.randint(2, 5))]
    plans: dict[str, list[str]] = {n: [] for n in names}
    order, now = [], names[0]
    for _ in range(rng.randint(1, 12)):
        order.append(now)
        target = rng.choice(["", *names])
        plans[now].append("" if target == now else target)
        now = target or now
    team = Swarm([Speaker(n, plans[n]) for n in names], termination_condition=MaxMessageTermination(len(order) + 1))
    return team, truth([[n] for n in order], names)


def graph(rng: random.Random) -> Made:
    """Make an acyclic graph in layers: fans out and joins; a node speaks when all its parents have spoken."""
    layers: list[list[str]] = [["g0_"]]
    for depth in range(rng.randint(1, 4)):
        layers.append([f"g{depth + 1}{chr(97 + i)}_" for i in range(rng.randint(1, 3))])
    agents = {n: Speaker(n) for layer in layers for n in layer}
    builder = DiGraphBuilder()
    for agent in agents.values():
        builder.add_node(agent)
    for above, below in itertools.pairwise(layers):
        for child in below:  # all of the layer above, so that a layer speaks at once
            for parent in above:
                builder.add_edge(agents[parent], agents[child])
    return GraphFlow(builder.get_participants(), graph=builder.build()), truth(layers, agents)


def loop(rng: random.Random) -> Made:
    """Make a graph with a loop: a and b take turns until b has spoken often enough, then c speaks."""
    rounds = rng.randint(1, 4)
    a, b, c = Speaker("a"), Speaker("b"), Speaker("c")
    builder = DiGraphBuilder().add_node(a).add_node(b).add_node(c).set_entry_point(a)
    builder.add_edge(a, b)
    builder.add_edge(b, a, condition=lambda m: m.to_model_text() != f"b{rounds}")
    builder.add_edge(b, c, condition=lambda m: m.to_model_text() == f"b{rounds}")
    team = GraphFlow(builder.get_participants(), graph=builder.build(), max_turns=20)
    return team, truth([*[["a"], ["b"]] * rounds, ["c"]], ["a", "b", "c"])


def nested(rng: random.Random) -> Made:
    """Make a round of teams: what an inner team is given, each of its agents is given."""
    teams, plan = [], []
    for t in range(rng.randint(1, 3)):
        names = [f"n{t}{chr(97 + i)}_" for i in range(rng.randint(1, 3))]
        turns = rng.randint(1, 4)
        teams.append(RoundRobinGroupChat([Speaker(n) for n in names], name=f"inner{t}", max_turns=turns))
        plan.append((names, turns))
    outer = Speaker("outer_")
    team = RoundRobinGroupChat([*teams, outer], max_turns=len(teams) + 1)
    found: dict[str, set[str]] = {}
    before: list[str] = []
    for names, turns in plan:
        inner = truth([[names[i % len(names)]] for i in range(turns)], names)
        first = {f"{n}1" for n in names}
        found |= {text: up | (set(before) if text in first else set()) for text, up in inner.items()}
        before += inner
    return team, found | {"outer_1": set(before)}


@pytest.mark.parametrize("seed", range(34))
@pytest.mark.parametrize("make", [round_robin, selector, swarm, graph, loop, nested])
def test_every_edge_is_the_true_one(make: Callable[[random.Random], Made], seed: int, tmp_path: Path) -> None:
    team, true = make(random.Random(seed))
    with Memory(tmp_path / "team.gmem", embedder="none") as memory, attach(team, memory) as attached:
        result = asyncio.run(team.run(task="Say who you are"))
        assert len(result.messages) == len(true) + 1
        assert attached.last is not None
        assert edges(memory, attached.last.id) == true
