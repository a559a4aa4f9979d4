"""What a node says, read from the update that it gave: messages where there are any, else the values as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, SystemMessage
from langgraph.types import Command, Send

from gmem.adapters._said import Said
from gmem.adapters._texts import text_of

__all__ = ["Utterances", "goals", "holds", "messages_in", "query_of", "said_in", "updates_in", "values_in"]

HANDED_BACK = "__is_handoff_back"
"""Mark of the messages that langgraph-supervisor makes up when an agent has done its part."""
ASKED = ("task", "question", "query", "input", "request", "prompt", "topic", "goal", "objective", "problem")
"""Names that a team's question mostly has in its state."""


Utterances = Callable[[str, Any], "Iterable[Said | tuple[Any, ...]] | None"]
"""Says what a node said, from its name and its update, one building on the other; None to have it found out."""


def updates_in(output: object) -> Iterator[Any]:
    """Go through the updates of the state in what a node gave back."""
    if isinstance(output, Command):
        if output.update is not None:
            yield from updates_in(output.update)
    elif isinstance(output, (list, tuple)) and any(isinstance(o, Command) for o in output):
        for part in output:
            yield from updates_in(part)
    elif output is not None and not isinstance(output, Send):
        yield output


def goals(output: object) -> list[str]:
    """Give the nodes that a node has named itself as those to go on with."""
    found: list[str] = []
    for part in output if isinstance(output, (list, tuple)) else [output]:
        to = part.goto if isinstance(part, Command) else [part] if isinstance(part, Send) else ()
        for goal in [to] if isinstance(to, (str, Send)) else to:
            found.append(goal.node if isinstance(goal, Send) else str(goal))
    return [g for g in dict.fromkeys(found) if g != "__end__"]


def messages_in(state: object) -> list[BaseMessage]:
    """Give the messages in a state or an update, in order."""
    if isinstance(state, BaseMessage):
        return [state]
    if isinstance(state, (list, tuple)):
        return [m for m in state if isinstance(m, BaseMessage)]
    return [m for value in _fields(state).values() for m in messages_in(value) if not isinstance(value, Mapping)]


def said_in(message: BaseMessage) -> str:
    """Give the text of a message that somebody has said; '' if it is none, or only calls tools."""
    made_up = isinstance(message, (RemoveMessage, SystemMessage)) or message.response_metadata.get(HANDED_BACK)
    if made_up or (isinstance(message, AIMessage) and message.tool_calls and not message.text.strip()):
        return ""
    return str(message.text) or text_of(message.content)


def values_in(update: object) -> str:
    """Write an update without messages as text: one value by itself, several with their names."""
    if isinstance(update, str):
        return update
    told = {k: text_of(v) for k, v in _fields(update).items() if v is not None and not isinstance(v, bool)}
    told = {k: v for k, v in told.items() if v.strip()}
    if not told and not _fields(update):
        return text_of(update)
    if len(told) == 1:
        return next(iter(told.values()))
    return "\n".join(f"{k}: {v}" for k, v in told.items())


def holds(given: object, result: object) -> bool:
    """Tell whether what a function was given has the result of another one in it.

    >>> holds((("about a draft",), {}), "a draft"), holds([1, {"n": 4}], 4), holds("a", "a draft")
    (True, True, False)
    """
    if result is None or isinstance(result, bool) or result in ("", [], {}):
        return False
    if given is result:
        return True
    if isinstance(given, str):
        return isinstance(result, str) and (given == result or (len(result) > 3 and result in given))
    if isinstance(given, Mapping):
        return any(holds(v, result) for v in given.values())
    if isinstance(given, (list, tuple, set, frozenset)):
        return any(holds(v, result) for v in given)
    return isinstance(given, (int, float)) and not isinstance(given, bool) and given == result


def query_of(given: object) -> str:
    """Find out what a team is asked: the last message of a person, a field named so, or all there is."""
    update = next(updates_in(given), None)
    fields = _fields(update)
    spoken = [m for m in _spoken(update) if m.type == "human"] or _spoken(update)
    if spoken:
        return str(spoken[-1].text)
    for name in ASKED:
        if isinstance(fields.get(name), str) and fields[name].strip():
            return str(fields[name])
    texts = [v for v in fields.values() if isinstance(v, str) and v.strip()]
    return texts[0] if len(texts) == 1 else values_in(update)


def _spoken(update: object) -> list[BaseMessage]:
    from langchain_core.messages import convert_to_messages

    found = messages_in(update)
    if not found and (raw := _fields(update).get("messages")):
        try:
            found = convert_to_messages(raw if isinstance(raw, (list, tuple)) else [raw])
        except (ValueError, NotImplementedError):
            return []
    return found


def _fields(state: object) -> Mapping[str, Any]:
    if isinstance(state, Mapping):
        return state
    inside = getattr(state, "__dict__", None)  # a dataclass or a pydantic model
    return inside if isinstance(inside, dict) and not isinstance(state, (BaseMessage, type)) else {}
