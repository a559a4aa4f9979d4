"""Chats of AG2 and AutoGen: message lists, `ChatResult` and AgentChat `TaskResult` dumps.

A document is a list of messages, an object with `messages` or `chat_history`, or a list of such
objects.  A message says who spoke in `name` (AG2), `source` (AgentChat) or else in `role`.  That a
chat came to its end is no success, so the outcome is unknown unless the document says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gmem.errors import InvalidInput
from gmem.importers.reading import Watch, documents, load, unwatched
from gmem.importers.trace import Draft, Refused, Said, Trace, content_id, facts, outcome_of, seconds, text_of
from gmem.model import Kind

__all__ = ["looks", "parse"]

_LISTS = ("messages", "chat_history")
_KNOWN = {
    *_LISTS, "id", "chat_id", "task", "query", "source", "outcome", "success", "is_correct", "score", "reward",
    "reason", "feedback", "cost", "started", "ended",
}  # fmt: skip
_KINDS: dict[str, Kind] = {"ThoughtEvent": "thought", "HandoffMessage": "handoff"}


def looks(found: object) -> bool:
    """Tell whether a document holds one chat or several."""
    return bool(_chats(found))


def _chats(found: object) -> list[Mapping[str, Any]]:
    """Give the chats of a document, each as an object with `messages`; none if it holds no chat."""
    if isinstance(found, Mapping):
        for key in _LISTS:
            if _is_talk(found.get(key)):
                return [{**found, "messages": found[key]}]
    elif isinstance(found, list):
        if _is_talk(found):
            return [{"messages": found}]
        each = [_chats(x) if isinstance(x, Mapping) else [] for x in found]
        return [chat for chats in each for chat in chats] if all(each) else []
    return []


def _is_talk(found: object) -> bool:
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(m, Mapping) and {"role", "source", "name"} & set(m) and "agent" not in m for m in found)
        and any({"content", "tool_calls", "function_call", "tool_responses"} & set(m) for m in found)
    )


def parse(path: Path, watch: Watch = unwatched) -> Iterator[Trace | Refused]:
    """Read the chats of a file or archive, in order."""
    for where, body in documents(path, watch):
        try:
            chats = _chats(load(body))
            if not chats:
                raise InvalidInput("not an AG2 or AutoGen chat: it needs messages with role, name or source")
        except InvalidInput as error:
            yield Refused(where, "", str(error))
            continue
        for number, chat in enumerate(chats):
            place = where if len(chats) == 1 else f"{where}:chat {number}"
            name = str(chat.get("id") or chat.get("chat_id") or "")
            try:
                yield _trace(chat, place, name)
            except InvalidInput as error:
                yield Refused(place, name, str(error))


def _trace(chat: Mapping[str, Any], where: str, name: str) -> Trace:
    messages: list[Mapping[str, Any]] = chat["messages"]
    talk = _Talk()
    for number, m in enumerate(messages):
        talk.add(m, number)
    draft = talk.draft
    query = text_of(chat.get("task") or chat.get("query"), "task")
    if not query.strip():
        first = next((s for s in draft.said if s.kind == "message"), None)
        if first is None:
            raise InvalidInput("nobody says what the task is: give it as `task`, or as the first message")
        query = first.text
    said_outcome = next((chat[k] for k in ("outcome", "success", "is_correct") if chat.get(k) is not None), None)
    left_out = draft.left_out
    started, ended = draft.span(seconds(chat.get("started"), left_out), seconds(chat.get("ended"), left_out))
    score = chat.get("score")
    return Trace(
        where=where,
        # Numbers count from anew in every process, so alone they name nothing.
        original=name if name and not name.isdigit() else content_id(query, messages),
        source=text_of(chat.get("source"), "source") or "ag2",
        query=query,
        said=tuple(draft.said),
        outcome=outcome_of(said_outcome),
        score=chat.get("reward") if score is None else score,
        reason=text_of(chat.get("reason"), "reason"),
        feedback=text_of(chat.get("feedback"), "feedback"),
        tokens=talk.tokens,
        calls=talk.calls,
        started=started,
        ended=ended,
        metadata=facts({k: v for k, v in chat.items() if k not in _KNOWN}, left_out),
        left_out=left_out,
    )


class _Talk:
    """Turns messages into utterances: a message that calls tools becomes one for itself and one a call."""

    def __init__(self) -> None:
        self.draft = Draft()
        self.tokens = self.calls = 0
        self._count = 0
        self._made: dict[str, tuple[int, str, str]] = {}  # calls: utterance, caller and tool, by id
        self._answers: list[int] = []  # results of tools that nobody has spoken after

    def add(self, m: Mapping[str, Any], number: int) -> None:
        agent = m.get("name") or m.get("source") or m.get("role")
        if not isinstance(agent, str):
            raise InvalidInput(f"message {number} does not say who spoke")
        at = seconds(m.get("created_at") or m.get("timestamp"), self.draft.left_out)
        self._count_usage(m.get("models_usage"))
        type_ = m.get("type")
        content = m.get("content")
        if type_ == "ToolCallRequestEvent" and isinstance(content, list):
            self._calls(agent, [c for c in content if isinstance(c, Mapping)], at)
        elif type_ == "ToolCallExecutionEvent" and isinstance(content, list):
            self._results(agent, [r for r in content if isinstance(r, Mapping)], at)
        elif isinstance(m.get("tool_responses"), list):
            self._results(agent, [r for r in m["tool_responses"] if isinstance(r, Mapping)], at)
        elif m.get("role") in ("tool", "function"):
            self._results(agent, [m], at)
        else:
            calls = m.get("tool_calls") or []
            if not isinstance(calls, list):
                raise InvalidInput(f"tool_calls of message {number} must be a list, not a {type(calls).__name__}")
            made = [c for c in calls if isinstance(c, Mapping)]
            if type_ == "ToolCallSummaryMessage":
                made = []  # it repeats calls that stand before it
            elif isinstance(m.get("function_call"), Mapping):
                made.append(m["function_call"])
            if made and not text_of(content, f"the content of message {number}").strip():
                self._calls(agent, made, at)
                return
            self._plain(agent, m, number, at)
            self._calls(agent, made, at)

    def _plain(self, agent: str, m: Mapping[str, Any], number: int, at: float) -> None:
        content = m.get("content")
        if isinstance(content, Mapping):  # a StructuredMessage
            content = "\n".join(facts(content, self.draft.left_out).values())
        text = text_of(content, f"the content of message {number}")
        if isinstance(content, list) and (other := sum(not isinstance(p, str) and not _texts(p) for p in content)):
            self.draft.left_out["parts that are not text"] += other
        target = m.get("target") or m.get("recipient")
        to = (target,) if isinstance(target, str) and target else ()
        kind = _KINDS.get(str(m.get("type")), "message")
        self._put(Said(agent=agent, text=text, kind=kind, to=to, time=at), self._before())

    def _before(self) -> list[int] | None:
        """Give what the next message builds on: all results of tools just before it; None for the last message."""
        answers, self._answers = self._answers, []
        return answers or None

    def _calls(self, agent: str, calls: Sequence[Mapping[str, Any]], at: float) -> None:
        before = self._before() or ([self._count - 1] if self._count else [])
        for call in calls:
            function = call["function"] if isinstance(call.get("function"), Mapping) else call
            tool = str(function.get("name") or "tool")
            given = function.get("arguments")
            arguments = given if isinstance(given, str) else "" if given is None else str(given)
            id = str(call.get("id") or call.get("call_id") or tool)
            self._made[id] = (self._count, agent, tool)
            self._put(Said(agent=agent, text=f"{tool}({arguments})", kind="tool_call", to=(tool,), time=at), before)

    def _results(self, agent: str, results: Sequence[Mapping[str, Any]], at: float) -> None:
        for result in results:
            id = str(result.get("tool_call_id") or result.get("call_id") or result.get("name") or "")
            self._answers.append(self._count)
            call, caller, tool = self._made.get(id, (None, "", str(result.get("name") or agent)))
            content = text_of(result.get("content"), "the result of a tool")
            self._put(
                Said(
                    agent=tool, text=content if content.strip() else "(no answer)", kind="tool_result",
                    to=(caller,) if caller else (), time=at,
                ),
                None if call is None else [call],
            )  # fmt: skip

    def _put(self, said: Said, upstream: list[int] | None = None) -> None:
        self.draft.add(said, upstream)
        self._count += 1

    def _count_usage(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            figures = [usage.get(k) for k in ("prompt_tokens", "completion_tokens")]
            self.tokens += sum(n for n in figures if isinstance(n, int) and not isinstance(n, bool))
            self.calls += 1


def _texts(part: object) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)
