"""Finds the graphs that a graph's nodes run, as a node or called by a node's function, and the agents in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel

__all__ = ["agents_in", "graphs_in", "is_part"]

AGENT_NODES = frozenset({
    "__start__", "model", "agent", "tools", "pre_model_hook", "post_model_hook", "generate_structured_response",
})  # fmt: skip
"""Nodes that LangChain's agents are made of; what they do is done by one agent."""
PARTS = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""Ends of the names of the nodes that middleware adds to an agent."""

DEEP = 6
"""How far to look into what a function holds."""
WIDE = 500
"""How many things to look at for one node."""
MOST = 50
"""How many agents of a team to name."""


def is_part(node: str) -> bool:
    """Tell whether a node looks like a part of one agent."""
    return node in AGENT_NODES or node.endswith(PARTS)


def agents_in(graphs: Iterable[Pregel[Any, Any, Any, Any]]) -> list[str]:
    """Give the names of all that may be agents in some graphs: their nodes, and what `create_agent` has named."""
    found: dict[str, None] = {}
    for graph in graphs:
        found.update((name, None) for name in graph.nodes if not is_part(name))
        name = ((graph.config or {}).get("metadata") or {}).get("lc_agent_name")
        if isinstance(name, str) and name:
            found[name] = None
    return list(found)[:MOST]


def graphs_in(graph: Pregel[Any, Any, Any, Any]) -> list[Pregel[Any, Any, Any, Any]]:
    """Give a graph and all that are reached from its nodes, each once."""
    found: dict[int, Pregel[Any, Any, Any, Any]] = {}
    ahead = [graph]
    while ahead:
        one = ahead.pop()
        if id(one) not in found:
            found[id(one)] = one
            for node in one.nodes.values():
                ahead += _graphs([getattr(node, "bound", None), *getattr(node, "subgraphs", ())])
    return list(found.values())


def _graphs(roots: Iterable[Any]) -> Iterator[Pregel[Any, Any, Any, Any]]:
    seen: set[int] = set()
    layer = list(roots)
    for _ in range(DEEP):
        below: list[Any] = []
        for one in layer:
            if id(one) in seen or len(seen) > WIDE:
                continue
            seen.add(id(one))
            if isinstance(one, Pregel):
                yield one
            else:
                below += _held(one)
        layer = below


def _held(one: Any) -> Iterable[Any]:
    """Give what may hold a graph, or be one, in something that a node is made of."""
    if isinstance(one, Runnable):
        parts = [getattr(one, name, None) for name in ("func", "afunc", "bound", "steps", "mapper", "runnable")]
        return [p for p in parts if p is not None]
    if isinstance(one, partial):
        return [one.func, *one.args, *one.keywords.values()]
    if isinstance(one, Mapping):
        return list(one.values())
    if isinstance(one, (list, tuple, set, frozenset)):
        return list(one)
    if callable(one) and not isinstance(one, type):
        return _of_function(one)
    return ()


def _of_function(function: Callable[..., Any]) -> list[Any]:
    held: list[Any] = []
    owner = getattr(function, "__self__", None)
    if owner is not None:
        held += vars(owner).values() if hasattr(owner, "__dict__") else ()
    plain = getattr(function, "__func__", function)
    held.append(getattr(plain, "__wrapped__", None))
    held += getattr(plain, "__defaults__", None) or ()
    held += (getattr(plain, "__kwdefaults__", None) or {}).values()
    for cell in getattr(plain, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            continue  # not filled yet
    code = getattr(plain, "__code__", None)
    if code is not None:
        known = plain.__globals__
        held += [known[name] for name in code.co_names if name in known]
    elif hasattr(function, "__dict__"):  # an object that can be called
        held += vars(function).values()
    return [h for h in held if h is not None]
