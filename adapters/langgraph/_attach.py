"""Attaching a compiled graph to a memory, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from langgraph.pregel import Pregel

from gmem.adapters._attachment import Attachment, Inject
from gmem.adapters._verdict import Judge
from gmem.adapters.langgraph._recorder import recorder
from gmem.adapters.langgraph._says import Utterances
from gmem.adapters.langgraph._team import Team
from gmem.adapters.langgraph._watched import Watched
from gmem.adapters.langgraph._where import place
from gmem.errors import InvalidInput
from gmem.memory import Memory

__all__ = ["attach", "attachment", "detach", "get_memory"]

Graph = TypeVar("Graph", bound="Pregel[Any, Any, Any, Any]")


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
    if isinstance(app, Watched) and app.gmem.attached:
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
    if isinstance(app, Watched):
        return app.gmem
    raise InvalidInput("this graph is not attached to a memory")


def detach(app: Pregel[Any, Any, Any, Any]) -> None:
    """Put a graph back as it was before `attach`; a graph that is not attached is left alone."""
    if isinstance(app, Watched):
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
