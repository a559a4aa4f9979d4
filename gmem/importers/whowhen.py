"""Who&When: failed runs of teams in which people marked who made the decisive mistake, and when.

One JSON document a run (or a tar archive of them): question, history, mistake_agent, mistake_step,
mistake_reason.  Source: Zhang et al. 2025, "Which Agent Causes Task Failures and When?".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gmem.errors import InvalidInput
from gmem.importers.reading import Watch, documents, load, unwatched
from gmem.importers.trace import Draft, Refused, Said, Trace, content_id, facts, text_of
from gmem.model import Kind, Outcome

__all__ = ["looks", "parse"]

_KNOWN = {
    "question", "question_ID", "history", "mistake_agent", "mistake_step", "mistake_reason", "is_correct",
    "is_corrected", "system_prompt",
}  # fmt: skip
_SPEAKER = re.compile(r"(?P<agent>[^()]*)(?:\((?:->(?P<to>[^()]+)|(?P<note>[^()]*))\))?")


def looks(found: object) -> bool:
    """Tell whether a document holds a run in this format."""
    return isinstance(found, Mapping) and isinstance(found.get("history"), list) and "question" in found


def parse(path: Path, watch: Watch = unwatched) -> Iterator[Trace | Refused]:
    """Read the runs of a file or archive, in order."""
    for where, body in documents(path, watch):
        name = ""
        try:
            found = load(body)
            if not looks(found):
                raise InvalidInput("not a Who&When run: it needs `question` and `history`")
            name = str(found.get("question_ID", ""))
            yield _trace(found, where)
        except InvalidInput as error:
            yield Refused(where, name, str(error))


def _trace(found: Mapping[str, Any], where: str) -> Trace:
    query = text_of(found["question"], "question")
    history: list[Any] = found["history"]
    draft = Draft()
    for number, m in enumerate(history):
        if not isinstance(m, Mapping):
            raise InvalidInput(f"message {number} of the history must be an object, not {type(m).__name__}")
        draft.add(_said(m, number))
    reason = text_of(found.get("mistake_reason"), "mistake_reason")
    correct = bool(found.get("is_correct") or found.get("is_corrected"))
    outcome: Outcome = "resolved" if correct and not found.get("mistake_agent") else "failed"
    blame = draft.blame(found.get("mistake_agent"), found.get("mistake_step"), reason)
    prompts = found.get("system_prompt") or {}
    if not isinstance(prompts, Mapping):
        raise InvalidInput("system_prompt must map the names of agents to texts")
    extras = {k: v for k, v in found.items() if k not in _KNOWN}
    extras.update({f"prompt of {name}": prompt for name, prompt in prompts.items()})
    return Trace(
        where=where,
        # Two teams played the same questions, so the question alone does not name a run.
        original=f"{found.get('question_ID', '')}/{content_id(query, history)}",
        source="whowhen",
        query=query,
        said=tuple(draft.said),
        outcome=outcome,
        reason=reason,
        blame=blame,
        agents={name: name for name in prompts},
        metadata=facts(extras, draft.left_out),
        left_out=draft.left_out,
    )


def _said(m: Mapping[str, Any], number: int) -> Said:
    content = text_of(m.get("content"), f"the content of message {number}")
    if m.get("name"):
        return Said(agent=m["name"], text=content)
    spoken = _SPEAKER.fullmatch(text_of(m.get("role"), f"the role of message {number}").strip())
    agent, to, note = ((s or "").strip() for s in spoken.groups()) if spoken is not None else ("", "", "")
    if not agent:
        raise InvalidInput(f"message {number} of the history says neither in `name` nor in `role` who spoke")
    kind: Kind = "thought" if note == "thought" else "message"
    return Said(agent=agent, text=content, kind=kind, to=(to,) if to else ())
