"""Where an agent can be told something for one turn only, without a trace in its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from autogen_agentchat.agents import CodeExecutorAgent, UserProxyAgent
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_core.models import ChatCompletionClient, LLMMessage, SystemMessage, UserMessage

from gmem.adapters._attachment import Inject

__all__ = ["Slot", "slot_of", "with_note"]

SOURCE = "gmem"
"""Who a note is from, where a message must name its sender."""


class Slot(Protocol):
    """A place for a note."""

    def open(self, note: str, inject: Inject) -> Any:
        """Give a context manager in which the agent finds the note."""

    def handed(self, messages: Sequence[BaseChatMessage], note: str) -> Sequence[BaseChatMessage]:
        """Give the messages that the agent is handed."""


class _Attribute:
    """An attribute that the agent reads its prompt from, exchanged while the agent works.

    Turns of one agent may overlap (it can be a tool that is called twice at once), so the attribute is
    put back when the last of them leaves.
    """

    def __init__(self, agent: Any, name: str, noted: Callable[[Any, str, Inject], Any]) -> None:
        self._agent = agent
        self._name = name
        self._noted = noted
        self._before: Any = None
        self._ours: list[tuple[Any, Any]] = []
        self._depth = 0

    @contextmanager
    def open(self, note: str, inject: Inject) -> Iterator[None]:
        if not self._depth:
            self._before, self._ours = getattr(self._agent, self._name), []
        self._depth += 1
        now = self._noted(self._before, note, inject)
        self._ours.append((now, list(now) if isinstance(now, list) else now))
        setattr(self._agent, self._name, now)
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._put_back()

    def handed(self, messages: Sequence[BaseChatMessage], note: str) -> Sequence[BaseChatMessage]:
        return messages

    def _put_back(self) -> None:
        """Put the attribute back, with what the agent itself has changed meanwhile."""
        now = getattr(self._agent, self._name)
        made = next((copy for ours, copy in self._ours if ours is now), None)
        if made == now:
            setattr(self._agent, self._name, self._before)
        elif made is not None:  # it added to our list
            setattr(self._agent, self._name, [*self._before, *(m for m in now if m not in made)])
        self._before, self._ours = None, []


class _Handed:
    """The messages that an agent is handed, for one that has no prompt of its own."""

    @contextmanager
    def open(self, note: str, inject: Inject) -> Iterator[None]:
        yield

    def handed(self, messages: Sequence[BaseChatMessage], note: str) -> Sequence[BaseChatMessage]:
        return [TextMessage(content=note, source=SOURCE), *messages] if messages else messages


class _Client:
    """The chat model of an agent; the note goes into what it is asked, by way of `Hold`."""

    @contextmanager
    def open(self, note: str, inject: Inject) -> Iterator[None]:
        yield

    def handed(self, messages: Sequence[BaseChatMessage], note: str) -> Sequence[BaseChatMessage]:
        return messages


def slot_of(agent: Any, inject: Inject) -> Slot | None:
    """Find where an agent can be told something; None if it is told nothing.

    A person is told nothing, and neither is an executor of code, which would run what it is told.
    """
    found = vars(agent)
    if isinstance(agent, UserProxyAgent):
        return None
    if isinstance(agent, CodeExecutorAgent) and found.get("_model_client") is None:
        return None
    if isinstance(found.get("_system_messages"), list):
        return _Attribute(agent, "_system_messages", with_note)
    for name in ("_instruction", "_system_message"):
        if isinstance(found.get(name), str):
            return _Attribute(agent, name, lambda before, note, inject: _joined(before, note))
    if client_of(agent) is not None:
        return _Client()
    return _Handed() if inject == "user" else None


def client_of(agent: Any) -> ChatCompletionClient | None:
    """Give the chat model of an agent that keeps no prompt which could be exchanged; None if it has either."""
    found = vars(agent)
    if isinstance(found.get("_system_messages"), list) or any(
        isinstance(found.get(name), str) for name in ("_instruction", "_system_message")
    ):
        return None
    return next((v for v in found.values() if isinstance(v, ChatCompletionClient)), None)


def with_note(messages: Sequence[LLMMessage], note: str, inject: Inject) -> list[LLMMessage]:
    """Add a note to what a model is asked: to the end of the leading system message, or right behind it.

    Several system messages that do not stand together at the start are refused by some models.
    """
    lead = 0
    while lead < len(messages) and isinstance(messages[lead], SystemMessage):
        lead += 1
    if inject == "user":
        return [*messages[:lead], UserMessage(content=note, source=SOURCE), *messages[lead:]]
    if not lead:
        return [SystemMessage(content=note), *messages]
    last = messages[lead - 1]
    told = SystemMessage(content=_joined(str(last.content), note))
    return [*messages[: lead - 1], told, *messages[lead:]]


def _joined(before: str, note: str) -> str:
    return f"{before}\n\n{note}" if before.strip() else note
