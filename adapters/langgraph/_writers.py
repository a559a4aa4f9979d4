"""A last writer for each node, which tells the recorder what the node gave back and what it handed on."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.named_barrier_value import NamedBarrierValue, NamedBarrierValueAfterFinish
from langgraph.pregel import NodeBuilder, Pregel
from langgraph.types import Send

from gmem.adapters.langgraph._flow import Turn, Write
from gmem.adapters.langgraph._recorder import recorder

__all__ = ["Teller", "tell", "untell"]

SEND = "__pregel_send"
"""Key of what takes a node's writes, in its configuration."""
_told: dict[tuple[int, str], tuple[MutableMapping[str, Any], Any, Any, int]] = {}
_lock = threading.RLock()  # a team may be freed, and let go of, in the midst of another one's beginning


class Teller(Runnable[Any, Any]):
    """Passes on what a node gave back, and tells the recorder of the run about it, if there is one.

    Args:
        channels: The channels of the graph that the node belongs to.
    """

    def __init__(self, channels: Mapping[str, Any]) -> None:
        self._channels = channels

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Tell, and give back what came in."""
        if (seen := recorder.get()) is not None and config is not None:
            ns = str((config.get("metadata") or {}).get("langgraph_checkpoint_ns", ""))
            seen.ended(ns, input, lambda turn: self._writes(turn, config))
        return input

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Do the same; nothing here waits."""
        return self.invoke(input, config)

    def _writes(self, turn: Turn, config: RunnableConfig) -> Iterator[Write]:
        for order, (channel, value) in enumerate(_sent(config)):
            kind = self._channels.get(channel)
            if isinstance(value, Send):
                yield Write(turn, channel, value.node, order)
            elif isinstance(kind, (NamedBarrierValue, NamedBarrierValueAfterFinish)):
                yield Write(turn, channel, value, order, "join", frozenset(kind.names))
            else:
                yield Write(
                    turn, channel, None, order, "run" if type(kind).__name__.endswith("AfterFinish") else "step"
                )


def _sent(config: RunnableConfig) -> Iterable[tuple[str, Any]]:
    """Give what a task has written so far; LangGraph collects it in a list behind a function."""
    send = config.get("configurable", {}).get(SEND)
    held = getattr(send, "__self__", None)
    if held is None:  # a node with a time limit has a guard around it
        for cell in getattr(send, "__closure__", None) or ():
            held = held or getattr(cell.cell_contents, "__self__", None) if callable(cell.cell_contents) else held
    return list(held) if held is not None and not callable(held) else []


def tell(graph: Pregel[Any, Any, Any, Any]) -> list[tuple[int, str]]:
    """Give each node of a graph a last writer; returns what `untell` needs."""
    done = []
    with _lock:
        for name, node in list(graph.nodes.items()):
            if name == "__start__" or isinstance(node, NodeBuilder) or not node.writers:
                continue
            key = (id(graph.nodes), name)
            nodes, before, after, count = _told.get(key) or (graph.nodes, node, None, 0)
            if after is None:
                after = node.copy({"writers": [*node.writers, Teller(graph.channels)], "subgraphs": node.subgraphs})
                graph.nodes[name] = after
            _told[key] = (nodes, before, after, count + 1)
            done.append(key)
    return done


def untell(keys: Iterable[tuple[int, str]]) -> list[str]:
    """Take the last writers away, once nobody needs them; returns the nodes that were replaced since."""
    lost = []
    with _lock:
        for key in keys:
            nodes, before, after, count = _told[key]
            if count > 1:
                _told[key] = (nodes, before, after, count - 1)
                continue
            del _told[key]
            if nodes.get(key[1]) is after:
                nodes[key[1]] = before
            else:
                lost.append(key[1])
    return lost
