"""A graph and its memory held together: what is done to the graph, the runs that are open, and the way back."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel

from gmem.adapters._attachment import Attachment
from gmem.adapters._watch import Watch
from gmem.adapters.langgraph import _models
from gmem.adapters.langgraph._calls import goes_on, thread_of
from gmem.adapters.langgraph._reach import agents_in, graphs_in, is_part
from gmem.adapters.langgraph._recorder import Recorder, recorder
from gmem.adapters.langgraph._says import Utterances, query_of
from gmem.adapters.langgraph._watched import Watched
from gmem.adapters.langgraph._writers import tell, untell
from gmem.errors import InvalidInput
from gmem.memory import Memory

__all__ = ["Team"]

log = logging.getLogger("gmem")
UNNAMED = "LangGraph"
"""The name that LangGraph gives a graph that has none."""


class Team(Attachment):
    """A graph that is attached to a memory.

    Args:
        app: The graph.
        memory: What it is to remember with.
        utterances: What a node said, from its name and its update.
        query: What the team is asked, from what it is called with.
        **options: As for `Attachment`.
    """

    def __init__(
        self, app: Pregel[Any, Any, Any, Any], memory: Memory, *, utterances: Utterances | None = None,
        query: Callable[[Any], str] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        for name, function in (("utterances", utterances), ("query", query)):
            if function is not None and not callable(function):
                raise InvalidInput(f"{name} must be a function, not {function!r}")
        super().__init__(memory, source="langgraph", **options)
        self.says = utterances
        self.query = query
        self.app = app
        self._recorders: weakref.WeakKeyDictionary[Watch, Recorder] = weakref.WeakKeyDictionary()
        nodes = [n for n in app.nodes if n != "__start__"]
        self._agent = ""
        if nodes and all(map(is_part, nodes)):
            self._agent = app.get_name() if app.get_name() != UNNAMED else "agent"
        kind = type(app)
        self._kind = type(kind.__name__, (Watched, kind), {"gmem": self, "__module__": kind.__module__})
        self._before = kind
        graphs = graphs_in(app)
        self._tellers = [key for graph in graphs for key in tell(graph)]
        self._known = [self._agent] if self._agent else agents_in(graphs)
        self._askers: set[str] = set()
        self._ran = False
        app.__class__ = self._kind
        _models.listen()
        # A team that is dropped without `detach` must not keep its graphs, or the look at models, for ever.
        self._dropped = weakref.finalize(app, _let_go, self._tellers)
        self._dropped.atexit = False

    def detach(self) -> None:
        """Put the graph, and all that was done for it, back as it was."""
        if self.attached:
            super().detach()
            self._dropped.detach()
            lost = _let_go(self._tellers)
            if type(self.app) is self._kind:
                self.app.__class__ = self._before
            else:
                lost.append("the graph itself")
            if lost:
                log.warning("gmem: %s: replaced by somebody else since, and left as it is", ", ".join(lost))

    # --- one run --------------------------------------------------------------------------------

    def outer(self) -> bool:
        """Tell whether the code at hand is in a run of this very team already, which then covers it."""
        seen = recorder.get()
        return seen is not None and seen.watch.attachment is self and not seen.watch.ended

    def start(self, given: Any, config: RunnableConfig, state: Any = None) -> Recorder:
        """Begin to watch a run, or go on with the one that was interrupted; never raises."""
        thread = thread_of(config)
        watch = self.resume(thread) if thread is not None else None
        if watch is not None and goes_on(given):
            found = self._recorders.get(watch)
            if found is not None:
                found.begin()
                return found
        if watch is not None:
            self.stale(watch)
        metadata = {} if thread is None else {"thread_id": str(thread)}
        if goes_on(given):
            metadata["resumed"] = "true"
        watch = self.begin(self._asked(given if state is None else state), metadata=metadata)
        found = self._recorders[watch] = Recorder(watch, self._agent, self.says, self._askers)
        return found

    def likely(self) -> list[str]:
        """Give the agents that are to be recalled for before a run: those that asked before, or at first all."""
        return sorted(self._askers) if self._ran else self._known

    def left(self) -> None:
        """Note that a run is over, so that it is known by now which agents ask for their memory at all."""
        self._ran = True

    def stale(self, watch: Watch) -> None:
        """Store an interrupted run that nobody goes on with, without keeping anybody waiting."""
        threading.Thread(target=watch.finish, args=("interrupted",), name="gmem-store").start()

    def _asked(self, given: Any) -> str:
        try:
            asked = self.query(given) if self.query is not None else query_of(given)
        except Exception as error:
            log.warning("gmem: what the team is asked cannot be told (%s: %s)", type(error).__name__, error)
            asked = ""
        return asked if isinstance(asked, str) and asked.strip() else "(no text)"

    def known(self, config: RunnableConfig) -> bool:
        """Tell whether the run that was interrupted in a thread is known here."""
        return (thread := thread_of(config)) is not None and thread in self._paused


def _let_go(tellers: list[tuple[int, str]]) -> list[str]:
    """Undo what was done beyond the graph itself; returns the nodes that somebody has replaced since."""
    _models.unlisten()
    return untell(tellers)
