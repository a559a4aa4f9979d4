"""gmem's own trace format: one task a line, as `docs/trace-format.md` describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from gmem.errors import InvalidInput
from gmem.importers.reading import Watch, lines, load, unwatched
from gmem.importers.trace import Draft, Refused, Said, Trace, content_id, facts, outcome_of, seconds, text_of
from gmem.model import Kind, Suspect

__all__ = ["VERSION", "looks", "parse"]

VERSION = 1
"""Stands in the field `gmem` of lines that gmem itself wrote: their ids and roles are taken as they are."""
_KNOWN = {
    "gmem", "id", "task", "description", "source", "outcome", "reward", "score", "reason", "feedback", "error",
    "blame", "mistake_agent", "mistake_step", "mistake_reason", "agents", "roles", "messages", "steps", "cost",
    "trust", "started", "ended", "metadata",
}  # fmt: skip
# What a chat API or a log calls a message says nothing of the part that its agent plays in the team.
_CHAT_ROLES = {
    "user", "assistant", "system", "developer", "tool", "function", "human", "ai", "message", "observation",
    "action", "thought", "termination condition",
}  # fmt: skip
_KIND_OF_ROLE: dict[str, Kind] = {
    "thought": "thought", "observation": "observation", "action": "action", "tool": "tool_result",
    "function": "tool_result",
}  # fmt: skip
_THOUGHT = re.compile(r"\W*(?:think|thought)\b[^:\n]{0,12}:", re.IGNORECASE)


def looks(found: object) -> bool:
    """Tell whether a line holds a task in this format."""
    if not isinstance(found, Mapping) or "task" not in found or not ("messages" in found or "steps" in found):
        return False
    messages = found.get("messages") or []
    return isinstance(messages, list) and all(isinstance(m, Mapping) and "agent" in m for m in messages)


def parse(path: Path, watch: Watch = unwatched) -> Iterator[Trace | Refused]:
    """Read the tasks of a file, one a line, in order; empty lines are passed over."""
    for number, line in lines(path, watch):
        if isinstance(line, bytes) and not line.strip():
            continue
        where, name = f"{path}:{number}", ""
        try:
            found = load(line)
            if not isinstance(found, dict):
                raise InvalidInput(f"the line must hold a JSON object, not a {type(found).__name__}")
            name = str(found.get("id", ""))
            yield trace(found, where)
        except InvalidInput as error:
            yield Refused(where, name, str(error))


def trace(found: Mapping[str, Any], where: str) -> Trace:
    """Turn one line into a trace.

    Raises:
        InvalidInput: Something in it has the wrong form.
    """
    own = found.get("gmem")
    if own is not None and (isinstance(own, bool) or not isinstance(own, int) or not 1 <= own <= VERSION):
        raise InvalidInput(f"written in trace format {own!r}, and this gmem reads up to {VERSION}; upgrade gmem-engine")
    if "task" not in found:
        raise InvalidInput("has no `task`, the text of what was asked")
    query = text_of(found["task"], "task")
    messages, steps = _list(found, "messages"), _list(found, "steps")
    draft = Draft()
    _say(draft, messages, steps, literal=own is not None)
    context = text_of(found.get("description"), "description")
    reason = text_of(found.get("reason") or found.get("mistake_reason"), "reason")
    feedback = text_of(found.get("feedback"), "feedback")
    outcome = outcome_of(found.get("outcome"))
    blame = _blame(found, draft)
    if not blame and found.get("mistake_agent") and outcome == "failed":
        blame = draft.blame(found["mistake_agent"], found.get("mistake_step"), reason or feedback)
        reason, feedback = (reason, feedback) if reason else (feedback, "")
    score = found.get("score")
    cost = _mapping(found, "cost")
    started, ended = seconds(found.get("started"), draft.left_out), seconds(found.get("ended"), draft.left_out)
    if own is None:
        started, ended = draft.span(started, ended)
    prompts = _mapping(found, "agents")
    agents = {**{name: name for name in prompts}, **_mapping(found, "roles")}
    extras = {k: v for k, v in found.items() if k not in _KNOWN}
    extras.update({f"prompt of {name}": prompt for name, prompt in prompts.items() if prompt != name})
    original = found.get("id")
    return Trace(
        where=where,
        original=str(original) if original not in (None, "") else content_id(query, [*messages, *steps]),
        source=text_of(found.get("source"), "source") or "jsonl",
        query=query,
        said=tuple(draft.said),
        context="" if own is None and context.strip() == query.strip() else context,
        outcome=outcome,
        score=found.get("reward") if score is None else score,
        reason=reason,
        feedback=feedback,
        error=text_of(found.get("error"), "error"),
        blame=blame,
        agents=agents,
        tokens=cost.get("tokens", 0),
        calls=cost.get("calls", 0),
        started=started,
        ended=ended,
        trust=found.get("trust", 1.0),
        metadata={**facts(extras, draft.left_out), **_mapping(found, "metadata")},
        task_id=str(original) if own is not None and original else "",
        left_out=draft.left_out,
    )


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key) or []
    if not isinstance(value, list) or not all(isinstance(x, Mapping) for x in value):
        raise InvalidInput(f"{key} must be a list of objects")
    return value


def _mapping(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{key} must be an object, not a {type(value).__name__}")
    return value


def _blame(found: Mapping[str, Any], draft: Draft) -> tuple[Suspect, ...]:
    out: list[Suspect] = []
    for b in _list(found, "blame"):
        place = draft.place(b.get("step"))
        if place is None:
            raise InvalidInput(f"blame names step {b.get('step')!r}, which is not the number of a message")
        out.append(Suspect(b.get("agent", ""), place, text_of(b.get("reason"), "the reason"), b.get("score", 1.0)))
    return tuple(out)


def _say(
    draft: Draft, messages: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]], literal: bool
) -> None:
    if steps and not messages:
        messages = [m for step in steps for m in _as_messages(step)]
    acted = _match(messages, steps)
    if steps and not acted:
        draft.left_out["steps that are not among the messages"] += len(steps)
    for number, m in enumerate(messages):
        if "agent" not in m:
            raise InvalidInput(f"message {number} has no `agent`")
        content = text_of(m.get("content"), f"the content of message {number}")
        kind, reward, at = acted.get(number, (None, None, None))
        role = text_of(m.get("role"), f"the role of message {number}")
        if kind == "action" and _THOUGHT.match(content):
            kind = "thought"
        if "agent_note" in m:
            draft.left_out["notes on who spoke"] += 1
        given = m.get("kind") or kind or _KIND_OF_ROLE.get(role.lower(), "message")
        if given not in get_args(Kind):
            raise InvalidInput(f"message {number} is of kind {given!r}; it must be one of {', '.join(get_args(Kind))}")
        draft.add(
            Said(
                agent=m["agent"],
                text=content,
                kind=cast(Kind, given),
                to=_to(m.get("to"), number),
                reward=m.get("reward", reward),
                time=seconds(m.get("ts", at), draft.left_out),
                role=role if literal or role.lower() not in _CHAT_ROLES else "",
                echo=bool(m.get("echo")) if literal else None,
            ),
            m.get("upstream"),
        )


def _to(value: object, number: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(value)
    raise InvalidInput(f"message {number} is addressed to {value!r}; it must be a name, a list of names or null")


def _as_messages(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    agent, at = step.get("agent") or "agent", step.get("ts")
    act = {"agent": agent, "to": "environment", "content": step.get("action"), "ts": at}
    return [act, {"agent": "environment", "to": agent, "content": step.get("observation"), "ts": at}]


def _match(
    messages: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]
) -> dict[int, tuple[Kind, Any, Any]]:
    """Find the action and the answer of each step among the messages.

    Returns:
        (kind, reward, time) by number of the message; nothing unless every step is found, in order.
    """
    found: dict[int, tuple[Kind, Any, Any]] = {}
    at = 0
    for step in steps:
        for kind, reward in (("action", step.get("reward")), ("observation", None)):
            wanted = step.get(kind)
            while at < len(messages) and messages[at].get("content") != wanted:
                at += 1
            if at == len(messages):
                return {}
            found[at] = (cast(Kind, kind), reward, step.get("ts"))
            at += 1
    return found
