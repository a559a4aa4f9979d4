"""What chat models answer: the form that is asked for, and reading what came.  Pure.

Import this only where a model is asked: it needs pydantic, which comes with langchain-core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from gmem.errors import GmemError
from gmem.text import clip, tokens

__all__ = [
    "MAX_READ",
    "CutShort",
    "Reading",
    "Unreadable",
    "cut_short",
    "read",
    "read_message",
    "read_value",
    "tokens_of",
    "unwrapped",
    "wire_schema",
]

MAX_READ = 64 * 1024
"""Characters of an answer that are looked at."""
_MAX_STARTS = 256
_CUT = ("length", "max_tokens", "MAX_TOKENS")
"""How providers say that an answer was cut off."""

T = TypeVar("T", bound=BaseModel)


class Unreadable(GmemError):
    """An answer is not of the agreed form; the message says why, and quotes nothing of it."""


def wire_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Give the JSON schema of a form as providers want it.

    Without references and defaults, every field required and no other allowed: the strictest reading
    of what providers ask for.  Our own reading of the answer is more tolerant.
    """
    schema = form.model_json_schema()
    plain = _plain(schema, schema.get("$defs", {}))
    return {"title": form.__name__.lower(), "description": (form.__doc__ or "").partition("\n")[0], **plain}


def _plain(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(definitions[node["$ref"].rpartition("/")[2]], definitions)
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            out[key] = {name: _plain(field, definitions) for name, field in value.items()}
        elif key not in ("$defs", "title", "default", "description"):
            out[key] = _plain(value, definitions)
    if "properties" in out:
        out["required"] = list(out["properties"])
        out["additionalProperties"] = False
    return out


# --- reading answers -----------------------------------------------------------------------------


def read(text: str, form: type[T]) -> T:
    """Find the answer in what a model wrote: bare JSON, in a code fence, after thoughts, in prose.

    Args:
        text: The answer; what follows the first 64 Ki characters is not looked at.
        form: What it must be.

    Returns:
        Of all JSON values in it that are of that form, the longest; so that an example which the
        model repeats is not taken for its answer.

    Raises:
        Unreadable: None is.
    """
    body = _without_thoughts(text[:MAX_READ])
    if not body.strip():
        raise Unreadable("the answer is empty")
    best: tuple[int, T] | None = None
    problem, worst = "", 0
    for size, value in _json_values(body):
        try:
            found = read_value(value, form)
        except Unreadable as error:
            if size > worst:
                problem, worst = str(error), size
        else:
            if best is None or size >= best[0]:
                best = size, found
    if best is not None:
        return best[1]
    raise Unreadable("; ".join(filter(None, (_broken(body), problem))))


def read_value(value: object, form: type[T]) -> T:
    """Read an answer that is JSON already, such as the arguments of a tool call.

    Raises:
        Unreadable: It is not of the form.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Unreadable(clip("; ".join(dict.fromkeys(found)), 300)) from None


def _without_thoughts(text: str) -> str:
    """Drop what a model thought aloud before its answer; a thought without an end has no answer."""
    for name in ("think", "thinking", "thought", "reasoning"):
        head, end, tail = text.rpartition(f"</{name}>")
        if end and ("{" in tail or head.lstrip().startswith(f"<{name}>")):
            return tail
        if text.lstrip().startswith(f"<{name}>"):
            return ""
    return text


def _json_values(text: str) -> Iterator[tuple[int, object]]:
    """Give the JSON objects and lists in a text that are not inside another, with their length."""
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(_MAX_STARTS):
        starts = [i for i in (text.find("{", at), text.find("[", at)) if i >= 0]
        if not starts:
            return
        at = min(starts)
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of brackets
            at += 1
            continue
        yield end - at, value
        at = end


def _broken(text: str) -> str:
    """Say where the first object of a text is broken; '' if it is not."""
    start = text.find("{")
    if start < 0:
        return "there is no JSON object in the answer"
    try:
        json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        return f"broken JSON: {error.msg} at character {error.pos - start}"
    except (ValueError, RecursionError) as error:
        return f"broken JSON: {type(error).__name__}"
    return ""


# --- reading what providers give -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """An answer, read as far as it could be.

    Attributes:
        value: The answer; None if it was of no use.
        text: What was written instead.
        problem: Why it was of no use.
        refused: Whether the model declined to answer.
    """

    value: T | None = None
    text: str = ""
    problem: str = ""
    refused: bool = False


def read_message(message: Any, parsed: Any, form: type[T]) -> Reading[T]:
    """Read a model's message, whichever way it holds the answer.

    Args:
        message: The message, as LangChain gives it.
        parsed: What LangChain made of it, looked at last.
        form: What the answer must be.
    """
    calls = [c.get("args") for c in getattr(message, "tool_calls", None) or ()]
    broken = [str(c.get("args") or "") for c in getattr(message, "invalid_tool_calls", None) or ()]
    texts = [t for t in (*broken, _text_of(message)) if t.strip()]
    why = _ended_by(message)
    attempts = [partial(read, text, form) for text in texts]
    problems = []
    if why in _CUT:
        # Of a streamed answer that was cut off LangChain completes the arguments by guessing: text only.
        problems.append("the answer was cut off at the length limit, so give a shorter one")
    else:
        attempts = [*(partial(read_value, value, form) for value in calls), *attempts]
        if parsed is not None:
            attempts.append(partial(read_value, parsed, form))
    for attempt in attempts:
        try:
            return Reading(attempt())
        except Unreadable as error:
            problems.append(str(error))
    refused = bool(_refusal_of(message)) or why == "content_filter"
    written = "\n".join([*(json.dumps(value, default=str) for value in calls), *texts])
    problem = "; ".join(dict.fromkeys(problems)) or "the answer is empty"
    return Reading(text=written, problem=problem, refused=refused)


def unwrapped(raw: Any) -> tuple[Any, Any]:
    """Give the model's message, and what LangChain's parser made of it."""
    if isinstance(raw, Mapping) and "raw" in raw:
        return raw["raw"], raw.get("parsed")
    return raw, None


def _text_of(message: Any) -> str:
    """Give the text of a message, without thoughts that a provider keeps apart."""
    content = getattr(message, "content", message)
    if isinstance(content, str):
        return content
    parts = []
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, Mapping) and block.get("type") in ("text", "output_text"):
            parts.append(str(block.get("text") or ""))
    return "".join(parts)


def _refusal_of(message: Any) -> str:
    extra = getattr(message, "additional_kwargs", None) or {}
    content = getattr(message, "content", None)
    blocks = content if isinstance(content, list) else []
    said = [b.get("refusal") for b in blocks if isinstance(b, Mapping) and b.get("type") == "refusal"]
    return str(extra.get("refusal") or (said[0] if said else "") or "")


def _ended_by(message: Any) -> str:
    facts = getattr(message, "response_metadata", None) or {}
    return str(facts.get("finish_reason") or facts.get("stop_reason") or facts.get("done_reason") or "")


def tokens_of(message: Any, estimate: int) -> tuple[int, int]:
    """Give the tokens of prompt and answer, as the provider counted them, else estimated."""
    said = getattr(message, "usage_metadata", None) or {}
    sent, received = said.get("input_tokens") or 0, said.get("output_tokens") or 0
    if sent or received:
        return int(sent), int(received)
    calls = getattr(message, "tool_calls", None) or ()
    return estimate, tokens(_text_of(message)) + sum(tokens(str(c.get("args"))) for c in calls)


@dataclass(frozen=True, slots=True)
class CutShort:
    """The message of an answer that a client threw away, since it was cut off or filtered."""

    content: str
    response_metadata: Mapping[str, str]
    usage_metadata: Mapping[str, int]


def cut_short(error: Exception) -> CutShort | None:
    """Get back an answer that OpenAI's client has and raises about, instead of giving it."""
    completion = getattr(error, "completion", None)
    try:
        choice, usage = completion.choices[0], completion.usage  # type: ignore[union-attr]
        counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens} if usage else {}
        return CutShort(choice.message.content or "", {"finish_reason": choice.finish_reason}, counts)
    except (AttributeError, IndexError, TypeError):
        return None
