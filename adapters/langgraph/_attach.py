"""Attaching a compiled graph to a memory, and the way back."""

from __future__ import annotations

import logging
import weakref
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel
from langgraph.types import Command

from gmem.adapters._attachment import Attachment, Inject
from gmem.adapters._threads import awaited, begun
from gmem.adapters._verdict import Judge
from gmem.adapters._watch import Status, Watch, current
from gmem.adapters.langgraph import _models
from gmem.adapters.langgraph._reach import agents_in, graphs_in, is_part
from gmem.adapters.langgraph._recorder import Recorder, recorder
from gmem.adapters.langgraph._says import Utterances, query_of
from gmem.adapters.langgraph._where import place
from gmem.adapters.langgraph._writers import tell, untell
from gmem.errors import InvalidInput
from gmem.memory import Memory

__all__ = ["attach", "attachment", "detach", "get_memory"]

log = logging.getLogger("gmem")
Graph = TypeVar("Graph", bound="Pregel[Any, Any, Any, Any]")
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
        self._kind = type(kind.__name__, (_Watched, kind), {"gmem": self, "__module__": kind.__module__})
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
        thread = _thread(config)
        watch = self.resume(thread) if thread is not None else None
        if watch is not None and _goes_on(given):
            found = self._recorders.get(watch)
            if found is not None:
                found.begin()
                return found
        if watch is not None:
            self.stale(watch)
        metadata = {} if thread is None else {"thread_id": str(thread)}
        if _goes_on(given):
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
        import threading

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
        return (thread := _thread(config)) is not None and thread in self._paused


class _Watched(Pregel[Any, Any, Any, Any]):
    """What an attached graph does besides; everything in LangGraph comes by these two methods."""

    gmem: ClassVar[Team]

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Run the graph, as it does without a memory, and watch it."""
        team = self.gmem
        if not team.attached or team.outer():
            yield from super().stream(input, config, **kwargs)
            return
        state = None
        if _goes_on(input) and not team.known(_full(self, config)):
            state = _quietly(lambda: self.get_state(_full(self, config)).values)
        seen = team.start(input, _full(self, config), state)
        steps = super().stream(input, merge_configs(config, {"callbacks": [seen]}), **kwargs)
        try:
            seen.watch.prepare(team.likely())
            while True:
                with _set(seen):
                    try:
                        chunk = next(steps)
                    except StopIteration:
                        break
                yield chunk
        except BaseException as error:
            with _set(seen):
                steps.close()  # type: ignore[attr-defined]
            _leave(team, seen, self, config, error)
            raise
        _leave(team, seen, self, config)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Await `stream`."""
        team = self.gmem
        if not team.attached or team.outer():
            async for chunk in super().astream(input, config, **kwargs):
                yield chunk
            return
        state = None
        if _goes_on(input) and not team.known(_full(self, config)):
            try:
                state = (await self.aget_state(_full(self, config))).values
            except Exception as error:
                log.debug("gmem: the state of a resumed run cannot be read", exc_info=error)
        seen = team.start(input, _full(self, config), state)
        steps = super().astream(input, merge_configs(config, {"callbacks": [seen]}), **kwargs)
        try:
            await seen.watch.aprepare(team.likely())
            while True:
                with _set(seen):
                    try:
                        chunk = await steps.__anext__()
                    except StopAsyncIteration:
                        break
                yield chunk
        except BaseException as error:
            with _set(seen):
                await steps.aclose()  # type: ignore[attr-defined]
            await _aleave(team, seen, self, config, error)
            raise
        await _aleave(team, seen, self, config)

    def detach(self) -> None:
        """Detach this graph from its memory."""
        self.gmem.detach()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gmem.detach()


def attach(
    app: Graph, memory: Memory, *, judge: Judge | None = None, roles: Mapping[str, str] | None = None,
    budget: int = 1500, inject: Inject = "system", utterances: Utterances | None = None,
    query: Callable[[Any], str] | None = None, errors_fail: bool = False, patience: float = 5.0,
    spool: Path | None = None,
) -> Graph:  # fmt: skip
    """Attach a compiled graph to a memory: each run is recalled for, recorded, and learned from.

    Doing it again for the same memory changes nothing.  The graph can also be used as a context manager,
    which detaches it at the end.

    Args:
        app: Any compiled graph; it is changed in place until `detach`.
        memory: What the team is to remember with.
        judge: Says what came of a run, from the last state: True or False, a figure from 0 to 1, a
            `Verdict`, or None for unknown.  It may be awaitable in async runs; one that is not is called in
            a thread there.  The result waits for it.  Without one nobody knows, until somebody calls
            `memory.feedback(attachment(app).last.id, ...)`.
        roles: Role of each agent, by its name; the name by default.  An agent is a node of the graph, or
            of a graph inside; what is made by `create_agent` is one agent, with its tools.
        budget: Largest price of what one role is given, in tokens.
        inject: Where recalled text goes, in every call of a chat model that an agent makes: "system", the
            end of the system message, or "user", a message of its own behind it.
        utterances: What a node said, from its name and its update, as (agent, text, kind, reward, to)
            tuples, of which the end may be left out; '' for the node's own agent.  What it gives None
            for, is found out: the messages of the update, or else its values.
        query: What the team is asked, from what it is called with; found out by default.
        errors_fail: Whether a run that an exception ended counts as failed; else its outcome is unknown.
        patience: Seconds that the team waits for the memory, for a recall and at its end to be stored, before
            it goes on without; a run that is not stored by then is stored later.
        spool: Folder in which runs wait while the store is away.

    Returns:
        The graph.

    Raises:
        InvalidInput: It is no compiled graph, is attached to another memory, or an option makes no sense;
            nothing was changed.
    """
    if not isinstance(app, Pregel):
        hint = "; call its compile() first" if hasattr(app, "compile") else ""
        raise InvalidInput(f"app must be a compiled LangGraph graph, not {type(app).__name__}{hint}")
    if isinstance(app, _Watched) and app.gmem.attached:
        if app.gmem.memory is not memory:
            raise InvalidInput("this graph is attached to another memory; detach() it first")
        return app
    Team(
        app, memory, judge=judge, roles=roles, budget=budget, inject=inject, utterances=utterances, query=query,
        errors_fail=errors_fail, patience=patience, spool=spool,
    )  # fmt: skip
    return app


def attachment(app: Pregel[Any, Any, Any, Any]) -> Attachment:
    """Give what holds a graph and its memory together, with `last`, the last run that was stored.

    Raises:
        InvalidInput: The graph is not attached.
    """
    if isinstance(app, _Watched):
        return app.gmem
    raise InvalidInput("this graph is not attached to a memory")


def detach(app: Pregel[Any, Any, Any, Any]) -> None:
    """Put a graph back as it was before `attach`; a graph that is not attached is left alone."""
    if isinstance(app, _Watched):
        app.gmem.detach()


def get_memory(agent: str = "") -> str:
    """Give the text that the memory has for the node that calls this; '' outside of an attached team.

    A node that does not call a LangChain model can put it into its prompt itself.  It is not put in a
    second time where the node passes it on to one.

    Args:
        agent: Whom to ask for; the agent of the node by default.
    """
    seen = recorder.get()
    if seen is None:
        return ""
    name = agent or seen.asks(place())
    return seen.watch.help(name) if name else ""


# --- inner workings ---------------------------------------------------------------------------------


@contextmanager
def _set(seen: Recorder) -> Iterator[None]:
    """Let what runs meanwhile know by whom it is watched; not longer, as a stream is the caller's context."""
    before = (recorder.set(seen), current.set(seen.watch))
    try:
        yield
    finally:
        recorder.reset(before[0])
        current.reset(before[1])


def _let_go(tellers: list[tuple[int, str]]) -> list[str]:
    """Undo what was done beyond the graph itself; returns the nodes that somebody has replaced since."""
    _models.unlisten()
    return untell(tellers)


def _full(app: Pregel[Any, Any, Any, Any], config: RunnableConfig | None) -> RunnableConfig:
    return merge_configs(app.config, config)


def _thread(config: RunnableConfig) -> Hashable | None:
    found = (config.get("configurable") or {}).get("thread_id")
    return found if isinstance(found, Hashable) else None


def _goes_on(given: Any) -> bool:
    """Tell whether a graph is asked to go on, rather than to begin."""
    return given is None or (isinstance(given, Command) and given.resume is not None)


def _quietly(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        log.debug("gmem: the state of a resumed run cannot be read", exc_info=error)
        return None


def _status(seen: Recorder, error: BaseException | None) -> Status:
    if seen.interrupted or isinstance(error, GraphDrained):
        return "interrupted"
    if error is None:
        return "completed"
    return "failed" if isinstance(error, Exception) else "cancelled"


def _leave(
    team: Team, seen: Recorder, app: Any, config: RunnableConfig | None, error: BaseException | None = None
) -> None:
    team.left()
    status, thread = _status(seen, error), _thread(_full(app, config))
    if status == "interrupted" and thread is not None:
        team.pause(thread, seen.watch)
    else:
        seen.watch.finish(status, seen.result, error if status == "failed" else None)


async def _aleave(
    team: Team, seen: Recorder, app: Any, config: RunnableConfig | None, error: BaseException | None = None
) -> None:
    team.left()
    status, thread = _status(seen, error), _thread(_full(app, config))
    if status == "interrupted" and thread is not None:
        await awaited(begun(lambda: team.pause(thread, seen.watch), "gmem-pause", daemon=False))
    else:
        await seen.watch.afinish(status, seen.result, error if status == "failed" else None)
