"""Finds the graphs that a graph's nodes run: as a node, or called by a node's function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel

__all__ = ["graphs_in"]

DEEP = 6
"""How far to look into what a function holds."""
WIDE = 500
"""How many things to look at for one node."""


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
