"""Gives chat models what the memory knows, whoever calls them and however, while a watched team runs.

A function node composes its messages by itself and calls a model that nobody but the node can see; it may
even have made that model a moment ago.  Neither callbacks (which cannot change a message) nor a search for
models from outside would reach it.  So while at least one team is attached, the public calls of LangChain's
`BaseChatModel` look whether they are made by a watched team, and pass everybody else on unchanged.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue

from gmem.adapters._attachment import Inject
from gmem.adapters._watch import Watch
from gmem.adapters.langgraph._recorder import recorder
from gmem.adapters.langgraph._where import place

__all__ = ["listen", "unlisten", "with_note"]

log = logging.getLogger("gmem")
_lock = threading.RLock()  # a team may be freed, and let go of, in the midst of another one's beginning
_listeners = 0
_before: dict[str, Any] = {}
_after: dict[str, Any] = {}


def with_note(messages: Sequence[BaseMessage], note: str, inject: Inject) -> list[BaseMessage]:
    """Give messages with a note put in; those that were given are not changed.

    Args:
        messages: What a model is asked.
        note: The recalled text; '' for none.
        inject: "system": at the end of the leading system message, which is made if there is none;
            "user": as a message of its own, behind the system messages.
    """
    found = list(messages)
    if not note or any(note in _text(m) for m in found):
        return found  # a model that calls another one, or a node that asked for its memory
    head = 0
    while head < len(found) and isinstance(found[head], SystemMessage):
        head += 1
    if inject == "user":
        found.insert(head, HumanMessage(note))
    elif head:
        old = found[head - 1]
        content = f"{old.content}\n\n{note}" if isinstance(old.content, str) else [*old.content, _block(note)]
        found[head - 1] = old.model_copy(update={"content": content})
    else:
        found.insert(0, SystemMessage(note))
    return found


def listen() -> None:
    """Begin to look at the calls of chat models; each call of this needs one of `unlisten`."""
    global _listeners
    with _lock:
        _listeners += 1
        if _listeners == 1:
            for name, make in _HOOKS.items():
                _before[name] = vars(BaseChatModel)[name]
                _after[name] = make(_before[name])
                setattr(BaseChatModel, name, _after[name])


def unlisten() -> None:
    """Stop looking, once nobody wants it any more, and put everything back."""
    global _listeners
    with _lock:
        _listeners -= 1
        if _listeners == 0:
            for name in _HOOKS:
                if vars(BaseChatModel)[name] is _after[name]:
                    setattr(BaseChatModel, name, _before[name])
                else:
                    log.warning("gmem: BaseChatModel.%s was replaced by somebody else since, and is left", name)
            _before.clear()
            _after.clear()


def _text(message: BaseMessage) -> str:
    return message.content if isinstance(message.content, str) else str(message.text)


def _block(note: str) -> str | dict[Any, Any]:
    return {"type": "text", "text": note}


def _asking() -> tuple[Watch, Inject, str] | None:
    """Say for whom a model is called; None if it is for nobody who is watched."""
    seen = recorder.get()
    if seen is None or seen.watch.ended:
        return None
    agent = seen.asks(place())
    return (seen.watch, seen.watch.attachment.inject, agent) if agent else None


def _noted(model: BaseChatModel, given: Any, note: str, inject: Inject) -> Any:
    """Put a note into what a model is called with, in any of the forms that it takes."""
    if not note:
        return given
    messages = model._convert_input(given).to_messages()
    return ChatPromptValue(messages=with_note(messages, note, inject))


def _generate(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(self: BaseChatModel, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> Any:
        if (asking := _asking()) is not None and (note := asking[0].help(asking[2])):
            messages = [with_note(m, note, asking[1]) for m in messages]
        return original(self, messages, *args, **kwargs)

    return generate


def _agenerate(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def agenerate(self: BaseChatModel, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> Any:
        if (asking := _asking()) is not None and (note := await asking[0].ahelp(asking[2])):
            messages = [with_note(m, note, asking[1]) for m in messages]
        return await original(self, messages, *args, **kwargs)

    return agenerate


def _stream(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stream(self: BaseChatModel, input: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if (asking := _asking()) is not None:
            input = _noted(self, input, asking[0].help(asking[2]), asking[1])
        yield from original(self, input, *args, **kwargs)

    return stream


def _astream(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def astream(self: BaseChatModel, input: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        if (asking := _asking()) is not None:
            input = _noted(self, input, await asking[0].ahelp(asking[2]), asking[1])
        async for chunk in original(self, input, *args, **kwargs):
            yield chunk

    return astream


def _stream_events(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stream_events(self: BaseChatModel, input: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("version") == "v3" and (asking := _asking()) is not None:  # others come by `stream`
            input = _noted(self, input, asking[0].help(asking[2]), asking[1])
        return original(self, input, *args, **kwargs)

    return stream_events


def _astream_events(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def astream_events(self: BaseChatModel, input: Any, *args: Any, **kwargs: Any) -> Any:
        asking = _asking() if kwargs.get("version") == "v3" else None
        if asking is None:
            return original(self, input, *args, **kwargs)
        watch, inject, agent = asking

        async def begin() -> Any:
            return await original(self, _noted(self, input, await watch.ahelp(agent), inject), *args, **kwargs)

        return begin()

    return astream_events


_HOOKS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "generate": _generate, "agenerate": _agenerate, "stream": _stream, "astream": _astream,
    "stream_events": _stream_events, "astream_events": _astream_events,
}  # fmt: skip
