"""Who was inspired by whom, in random graphs: what was captured against a second reckoning of the same run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.config import get_config
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from langgraph_teams import ask

from gmem import Memory
from gmem.adapters.langgraph import attach, attachment

GRAPHS = 200
LAST = 6
"""After so many steps every choice is to end."""


class State(MessagesState):
    tag: str


@dataclass
class Plan:
    """A random graph: edges and joins lead on; choices and commands lead anywhere, by node and step."""

    seed: int
    nodes: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    edges: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    joins: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    choosing: set[str] = field(default_factory=set)
    commanding: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        dice = Random(self.seed)
        self.nodes = [f"n{i}" for i in range(dice.randint(3, 8))]
        self.entries = dice.sample(self.nodes[:3], dice.randint(1, 2))
        for i, node in enumerate(self.nodes):
            later = self.nodes[i + 1 :]
            self.edges[node] = dice.sample(later, min(len(later), dice.choice([0, 1, 1, 2])))
            if (kind := dice.random()) < 0.3:
                self.choosing.add(node)
            elif kind < 0.5:
                self.commanding.add(node)
            if i >= 2 and dice.random() < 0.5:
                self.joins.append((tuple(dice.sample(self.nodes[:i], 2)), node))

    def choice(self, node: str, step: int) -> list[tuple[str, bool]]:
        """Give where a node leads at a step by itself, and whether by a packet."""
        dice = Random(f"{self.seed}/{node}/{step}")
        if step >= LAST:
            return []
        chosen = dice.choices(self.nodes, k=dice.choice([0, 1, 1, 2, 3]))
        packets = dice.random() < 0.5
        return [(goal, packets) for goal in (chosen if packets else dict.fromkeys(chosen))]


def build(plan: Plan) -> Any:
    """Make the graph; each run of a node says its own name, by which it can be told from all others."""
    names: dict[str, str] = {}
    graph = StateGraph(State)

    def going(node: str, name: str, step: int) -> list[Any]:
        goals = plan.choice(node, step)
        return [Send(g, {"tag": f"{name}#{i}", "messages": []}) if sent else g for i, (g, sent) in enumerate(goals)]

    def here() -> tuple[str, int]:
        facts = get_config()["metadata"]
        return facts["langgraph_checkpoint_ns"], facts["langgraph_step"]

    def member(node: str) -> Any:
        def run(state: State) -> Any:
            ns, step = here()
            tag = state.get("tag") or ""
            pushed = get_config()["metadata"]["langgraph_path"][0] == "__pregel_push"
            name = names[ns] = f"{node}@{step}" + (f"({tag})" if pushed else "")
            update = {"messages": [AIMessage(name)]}
            return Command(goto=going(node, name, step), update=update) if node in plan.commanding else update

        return run

    def chooser(node: str) -> Any:
        def choose(state: State) -> Any:
            ns, step = here()
            return going(node, names[ns], step) or END

        return choose

    for node in plan.nodes:
        graph.add_node(node, member(node), destinations=tuple(plan.nodes) if node in plan.commanding else None)
        for goal in plan.edges[node]:
            graph.add_edge(node, goal)
        if node in plan.choosing:
            graph.add_conditional_edges(node, chooser(node), [*plan.nodes, END])
    for node in plan.entries:
        graph.add_edge(START, node)
    for sources, goal in plan.joins:
        graph.add_edge(list(sources), goal)
    return graph.compile()


def reckon(plan: Plan) -> tuple[set[str], set[tuple[str, str]]]:
    """Work out by hand which runs there are, and which inspired which."""
    runs: set[str] = set()
    true: set[tuple[str, str]] = set()
    waiting: list[dict[str, list[str]]] = [defaultdict(list) for _ in plan.joins]
    pulled: dict[str, list[str]] = {node: [] for node in plan.entries}
    pushed: list[tuple[str, str, int]] = []
    step = 1
    while pulled or pushed:
        now = [(node, f"{node}@{step}", before) for node, before in pulled.items()]
        now += [(node, f"{node}@{step}({sender}#{i})", [sender]) for sender, node, i in pushed]
        pulled, pushed = defaultdict(list), []
        for node, name, before in now:
            runs.add(name)
            true |= {(b, name) for b in before}
            for goal in plan.edges[node]:
                pulled[goal].append(name)
            for (sources, _), arrived in zip(plan.joins, waiting, strict=True):
                if node in sources:
                    arrived[node].append(name)
            if node in plan.choosing | plan.commanding:
                for i, (goal, sent) in enumerate(plan.choice(node, step)):
                    if sent:
                        pushed.append((name, goal, i))
                    else:
                        pulled[goal].append(name)
        for (sources, goal), arrived in zip(plan.joins, waiting, strict=True):
            if set(arrived) == set(sources):
                pulled[goal] += [name for names in arrived.values() for name in names]
                arrived.clear()
        pulled = dict(pulled)
        step += 1
    return runs, true


def captured(memory: Memory, app: Any) -> tuple[set[str], set[tuple[str, str]], int]:
    last = attachment(app).last
    assert last is not None
    said = memory.interaction(last.id).utterances
    return {u.content for u in said}, {(said[i].content, u.content) for u in said for i in u.inspired_by}, len(said)


def run(app: Any, seed: int) -> None:
    config = {"recursion_limit": 200}
    if seed % 2:
        asyncio.run(app.ainvoke(ask("go"), config))
    else:
        app.invoke(ask("go"), config)


@pytest.mark.parametrize("part", range(10))
def test_every_edge_of_a_random_graph_is_the_true_one(words: Memory, part: int) -> None:
    for seed in range(part, GRAPHS, 10):
        plan = Plan(seed)
        with attach(build(plan), words) as app:
            run(app, seed)
            runs, true = reckon(plan)
            found, edges, count = captured(words, app)
        assert found == runs and count == len(runs), f"seed {seed}"
        assert edges == true, f"seed {seed}: too many {edges - true}, missing {true - edges}"


@pytest.mark.parametrize("inner", ["subgraph", "called by a function"])
@pytest.mark.parametrize("part", range(4))
def test_so_are_those_of_a_graph_inside_a_graph(words: Memory, part: int, inner: str) -> None:
    for seed in range(part, 40, 4):
        plan = Plan(seed)
        team = build(plan)
        graph = StateGraph(State)
        graph.add_node("before", lambda state: {"messages": [AIMessage("before")]})
        node = team if inner == "subgraph" else lambda state, team=team: {"messages": team.invoke(state)["messages"]}
        graph.add_node("team", node)
        graph.add_node("after", lambda state: {"messages": [AIMessage("after")]})
        graph.add_edge(START, "before")
        graph.add_edge("before", "team")
        graph.add_edge("team", "after")
        with attach(graph.compile(), words) as app:
            run(app, seed)
            found, edges, _ = captured(words, app)
        runs, true = reckon(plan)
        ends = runs - {a for a, _ in true}
        begun = {f"{n}@1" for n in plan.entries}
        true |= {("before", b) for b in begun} | {(e, "after") for e in ends}
        assert found == runs | {"before", "after"}, f"seed {seed}"
        assert edges == true, f"seed {seed}: too many {edges - true}, missing {true - edges}"
