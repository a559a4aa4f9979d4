"""gmem as middleware of one LangChain agent, for those who prefer to say it where the agent is made."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from langgraph.channels.untracked_value import UntrackedValue
from typing_extensions import NotRequired

from gmem.adapters._attachment import Attachment, Inject
from gmem.adapters._texts import text_of
from gmem.adapters._verdict import Judge
from gmem.adapters._watch import Watch
from gmem.adapters.langgraph._models import with_note
from gmem.adapters.langgraph._recorder import recorder
from gmem.adapters.langgraph._says import query_of, said_in
from gmem.ids import new_id
from gmem.memory import Memory

__all__ = ["GMemMiddleware"]

MOST_OPEN = 1000
"""Runs held open; agents that break never say that they have ended."""


class _State(AgentState[Any]):
    gmem_run: NotRequired[Annotated[str, UntrackedValue, PrivateStateAttr]]


@dataclass
class _Open:
    watch: Watch
    before: int


class GMemMiddleware(AgentMiddleware[_State, Any, Any]):
    """Gives one agent of `create_agent` a memory: `create_agent(model, tools, middleware=[GMemMiddleware(memory)])`.

    Each run of the agent is a task.  Of an agent in a team that is attached (`attach`), the team's run is
    recorded, and this does nothing.  A run that an exception ends is not seen here; `attach` sees it.

    Args:
        memory: What the agent is to remember with.
        agent: Name of the agent.
        judge: Says what came of a run, from the agent's last state; as for `attach`.
        roles: Role of the agent, by its name.
        budget: Largest price of what it is given, in tokens.
        inject: Where recalled text goes.
        patience: Seconds that the agent waits for the memory, for a recall and at its end to be stored.
        spool: Folder in which runs wait while the store is away.
    """

    state_schema = _State

    def __init__(
        self, memory: Memory, agent: str = "agent", *, judge: Judge | None = None,
        roles: Mapping[str, str] | None = None, budget: int = 1500, inject: Inject = "system",
        patience: float = 5.0, spool: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attachment = Attachment(
            memory, source="langchain", judge=judge, roles=roles, budget=budget, inject=inject, patience=patience,
            spool=spool,
        )  # fmt: skip
        self._agent = agent
        self._runs: OrderedDict[str, _Open] = OrderedDict()

    def before_agent(self, state: _State, runtime: Any) -> dict[str, Any] | None:
        """Begin to watch a run."""
        if recorder.get() is not None:
            return None
        watch = self.attachment.begin(query_of(state))
        key = new_id("m")
        self._runs[key] = _Open(watch, len(state["messages"]))
        if len(self._runs) > MOST_OPEN:
            self._runs.popitem(last=False)[1].watch.finish("interrupted")
        return {"gmem_run": key}

    async def abefore_agent(self, state: _State, runtime: Any) -> dict[str, Any] | None:
        """Do the same; nothing here waits."""
        return self.before_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Put in what the memory knows; it is not kept in the agent's messages."""
        found = self._run_of(request.state)
        return handler(request if found is None else self._noted(request, found.watch.help(self._agent)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Await `wrap_model_call`."""
        found = self._run_of(request.state)
        return await handler(request if found is None else self._noted(request, await found.watch.ahelp(self._agent)))

    def after_agent(self, state: _State, runtime: Any) -> None:
        """Record what the agent said and did, and store the run."""
        if (found := self._run_of(state)) is not None:
            self._record(found, state["messages"])
            self._runs.pop(state["gmem_run"], None)
            found.watch.finish("completed", state)

    async def aafter_agent(self, state: _State, runtime: Any) -> None:
        """Await `after_agent`."""
        if (found := self._run_of(state)) is not None:
            await asyncio.to_thread(self._record, found, state["messages"])
            self._runs.pop(state["gmem_run"], None)
            await found.watch.afinish("completed", state)

    def _run_of(self, state: Any) -> _Open | None:
        return self._runs.get(state.get("gmem_run", ""))

    def _noted(self, request: ModelRequest[Any], note: str) -> ModelRequest[Any]:
        if not note:
            return request
        head = [request.system_message] if request.system_message is not None else []
        first, *rest = with_note([*head, *request.messages], note, self.attachment.inject)
        messages: Any = rest if isinstance(first, SystemMessage) else [first, *rest]
        if isinstance(first, SystemMessage):
            return request.override(system_message=first, messages=messages)
        return request.override(messages=messages)

    def _record(self, found: _Open, messages: list[AnyMessage]) -> None:
        watch, before = found.watch, set[Any]()
        calls: dict[str | None, tuple[str, str]] = {}
        with watch.guard("recording a run"):
            for number, message in enumerate(messages[found.before :]):
                if isinstance(message, AIMessage):
                    calls |= {c["id"]: (c["name"], text_of(c["args"])) for c in message.tool_calls}
                    answers, start = set[Any](), before
                    if message.usage_metadata:
                        watch.spent(tokens=message.usage_metadata["total_tokens"], calls=1)
                    if text := said_in(message):
                        watch.heard(number, self._agent, text, upstream=before)
                        before = start = {number}
                elif isinstance(message, ToolMessage):
                    name, given = calls.get(message.tool_call_id, (message.name or "tool", ""))
                    watch.used(number, self._agent, name, given, text_of(message.content), upstream=start)
                    answers.add(number)
                    before = answers
