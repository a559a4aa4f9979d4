"""One turn of one agent: what it is given, what it is told, and each thing that it says or does."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from autogen_agentchat.base import Response
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    CodeExecutionEvent,
    CodeGenerationEvent,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
)

from gmem.adapters._attachment import Inject
from gmem.adapters._watch import current
from gmem.adapters.autogen._scribe import Scribe
from gmem.adapters.autogen._slots import Slot

__all__ = ["Place", "Turn", "here"]

EXECUTOR = "code_executor"
"""Who answers when code is run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run some code runs: in whose turn, and in which call of a tool ("" for none)."""

    turn: Turn
    call: str = ""


here: ContextVar[Place | None] = ContextVar("gmem_autogen_place", default=None)


class Turn:
    """A turn that is going on.

    Args:
        scribe: Writes down what is said.
        agent: Whose turn it is.
        name: Its name.
        messages: What it is given.
        outer: Where the turn takes place, if within another one.
    """

    def __init__(
        self, scribe: Scribe, agent: Any, name: str, messages: Sequence[BaseChatMessage], outer: Place | None
    ) -> None:
        self.scribe = scribe
        self.agent = agent
        self.name = name
        self.note = ""
        self.inject: Inject = "system"
        self.slot: Slot | None = None
        self._outer = outer
        self._given: list[Hashable] = scribe.inputs(agent, messages)
        self._stale = True
        self._calls: dict[str, Hashable] = {}
        self._answers: dict[str, list[Hashable]] = {}
        self._events: set[tuple[str, str]] = set()
        self._own: set[Hashable] = set()

    # --- while the agent works ------------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Be in force while the agent works, and not while others look at what it said."""
        place = here.set(Place(self))
        watch = current.set(self.scribe.watch)
        try:
            with self.slot.open(self.note, self.inject) if self.note and self.slot is not None else nullcontext():
                yield
        finally:
            current.reset(watch)
            here.reset(place)

    def asks(self, call: str) -> bool:
        """Tell whether a call of a tool is one of this turn."""
        return call in self._calls

    def behind(self, call: str) -> list[Hashable]:
        """Give the keys of what is behind a task that is set to an inner team, in a call or in the turn itself."""
        return [self._calls[call]] if call in self._calls else list(self._given)

    def answered(self, call: str, keys: Sequence[Hashable], *, wholly: bool = False) -> None:
        """Note what an inner agent said, in a call of a tool or in the turn itself.

        Args:
            call: The call; "" for the turn itself.
            keys: What was said.
            wholly: Whether this is all that the tool gives back.
        """
        if not call:
            self._given_now(keys)
        elif wholly:
            self._answers[call] = list(keys)
        else:
            self._answers.setdefault(call, []).extend(keys)

    # --- what it says ---------------------------------------------------------------------------

    def hear(self, item: object) -> None:
        """Record an item of the agent's stream; whatever is wrong with it, the team does not notice."""
        with self.scribe.watch.guard("recording a message"):
            if isinstance(item, Response):
                for inner in item.inner_messages or ():
                    self._hear(inner)
                self._chat(item.chat_message, response=True)
            else:
                self._hear(item)

    def _hear(self, item: object) -> None:
        if isinstance(item, BaseChatMessage):
            self._chat(item)
        elif isinstance(item, BaseAgentEvent) and (key := (type(item).__name__, item.id)) not in self._events:
            self._events.add(key)
            self._event(item)

    def _chat(self, message: BaseChatMessage, response: bool = False) -> None:
        scribe = self.scribe
        if not scribe.watch.knows(message.id) and not scribe.is_task(message):
            own = response or message.source == self.name
            scribe.chat(message, self.name if own else message.source, self._given)
            if own:
                self._said([message.id])
            else:
                self._given_now([message.id])
        if response:
            scribe.spoke(self.agent, message.id)
            if self._outer is not None:
                self._outer.turn.answered(self._outer.call, [message.id])

    def _event(self, event: BaseAgentEvent) -> None:
        if isinstance(event, ThoughtEvent):
            key = ("thought", event.id)
            self.scribe.watch.heard(key, self.name, event.content, upstream=self._given, kind="thought", to=[self.name])
            self._given = [*self._given, key]
        elif isinstance(event, ToolCallRequestEvent):
            self._requests(event)
        elif isinstance(event, ToolCallExecutionEvent):
            self._results(event)
        elif isinstance(event, CodeGenerationEvent):
            key = ("code", event.id)
            self.scribe.watch.heard(
                key, self.name, event.content, upstream=self._given, kind="tool_call", to=[EXECUTOR]
            )  # fmt: skip
            self._said([key])
        elif isinstance(event, CodeExecutionEvent):
            key = ("ran", event.id)
            self.scribe.watch.heard(
                key, EXECUTOR, event.result.output, upstream=self._given, kind="tool_result", to=[self.name]
            )  # fmt: skip
            self._given_now([key])
        usage = event.models_usage
        if usage is not None:
            self.scribe.watch.spent(tokens=usage.prompt_tokens + usage.completion_tokens, calls=1)

    def _requests(self, event: ToolCallRequestEvent) -> None:
        handoffs = getattr(self.agent, "_handoffs", None) or ()  # told by the message that hands over
        made: list[Hashable] = []
        for call in event.content:
            if call.name in handoffs:
                continue
            key = (event.id, call.id, len(made))
            self.scribe.watch.heard(
                key, self.name, f"{call.name}({call.arguments})", upstream=self._given, kind="tool_call", to=[call.name]
            )  # fmt: skip
            self._calls[call.id] = key
            self._answers.pop(call.id, None)
            made.append(key)
        if made:
            self._said(made)

    def _results(self, event: ToolCallExecutionEvent) -> None:
        got: list[Hashable] = []
        for result in event.content:
            call = self._calls.pop(result.call_id, None)
            if call is None:
                continue  # a handoff
            key = (event.id, result.call_id)
            upstream = [call, *self._answers.pop(result.call_id, ())]
            self.scribe.watch.heard(
                key, result.name, result.content, upstream=upstream, kind="tool_result", to=[self.name]
            )  # fmt: skip
            got.append(key)
        if got:
            self._given_now(got)

    def _said(self, keys: Sequence[Hashable]) -> None:
        self._given, self._stale = list(keys), True

    def _given_now(self, keys: Sequence[Hashable]) -> None:
        self._given = [*(() if self._stale else self._given), *keys]
        self._stale = False
