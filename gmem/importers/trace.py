"""What every importer turns its format into, and the little conversions that all of them need."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from gmem.errors import InvalidInput
from gmem.ids import digest
from gmem.model import Kind, Outcome, Suspect

__all__ = [
    "Draft", "Refused", "Said", "Trace", "content_id", "facts", "outcome_of", "seconds", "text_of",
]  # fmt: skip

LONGEST_FACT = 2000
"""Characters of one further fact (or system prompt) that is kept with a task."""
_OUTCOMES: dict[object, Outcome] = {
    "success": "resolved", "resolved": "resolved", True: "resolved",
    "failure": "failed", "failed": "failed", False: "failed",
    "unknown": "unknown", None: "unknown",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance of a trace; `upstream` counts the utterances that are kept, from 0."""

    agent: str
    text: str
    kind: Kind = "message"
    to: tuple[str, ...] = ()
    upstream: tuple[int, ...] = ()
    reward: float | None = None
    time: float = 0.0
    role: str = ""
    echo: bool | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """One task as an importer found it; its values are checked when it is recorded.

    Attributes:
        where: File and place in it, for a report.
        original: Its id where it comes from.
        source: Where it comes from, to be stored behind `import:`.
        task_id: Id under which to store it; '' to have it made from `source` and `original`.
        left_out: How many of what was not taken over, by what it is.
    """

    where: str
    original: str
    source: str
    query: str
    said: tuple[Said, ...]
    context: str = ""
    outcome: Outcome = "unknown"
    score: float | None = None
    reason: str = ""
    feedback: str = ""
    error: str = ""
    blame: tuple[Suspect, ...] = ()
    agents: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    calls: int = 0
    started: float = 0.0
    ended: float = 0.0
    trust: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict)
    task_id: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not brought in: where it stands, what it is called there, and why."""

    where: str
    original: str
    reason: str


class Draft:
    """Collects the utterances of one trace: empty ones are left out, and references pass through them."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.left_out: Counter[str] = Counter()
        self._kept: list[tuple[int, ...]] = []  # by number in the source: what stands for it here

    def add(self, said: Said, upstream: object = None) -> None:
        """Add the next message of the source.

        Args:
            said: The message; its own `upstream` is not looked at.
            upstream: Numbers of earlier messages of the source; None for the one just before.

        Raises:
            InvalidInput: It builds on something that is not an earlier message.
        """
        resolved = self._resolve(upstream)
        if not said.text.strip():
            self.left_out["empty messages"] += 1
            self._kept.append(resolved)
            return
        self._kept.append((len(self.said),))
        self.said.append(
            Said(said.agent, said.text, said.kind, said.to, resolved, said.reward, said.time, said.role, said.echo)
        )

    def _resolve(self, upstream: object) -> tuple[int, ...]:
        n = len(self._kept)
        if upstream is None:
            return self._kept[-1] if n else ()
        if not isinstance(upstream, list):
            raise InvalidInput(f"message {n} has upstream {upstream!r}; it must be null or a list of numbers")
        for ref in upstream:
            if isinstance(ref, bool) or not isinstance(ref, int) or not 0 <= ref < n:
                raise InvalidInput(f"message {n} builds on {ref!r}, which is not the number of an earlier message")
        return tuple(sorted({new for ref in upstream for new in self._kept[ref]}))

    def place(self, number: object) -> int | None:
        """Give the place here of a message of the source; None if it is not here.

        Args:
            number: Its number in the source, which may be written as text.
        """
        try:
            n = int(number)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):  # the last of an infinite number
            return None
        kept: tuple[int, ...] = self._kept[n] if 0 <= n < len(self._kept) else ()
        return kept[-1] if kept else None

    def blame(self, agent: object, number: object, reason: str) -> tuple[Suspect, ...]:
        """Take over whom a person blamed for a failure, if that message is here."""
        if not isinstance(agent, str) or not agent.strip():
            return ()
        place = self.place(number)
        if place is None:
            self.left_out["blamed steps that are not in the trace"] += 1
            return ()
        return (Suspect(agent, place, reason, 1.0),)

    def span(self, started: float, ended: float) -> tuple[float, float]:
        """Complete the times of a run by those of its utterances, as far as they are known."""
        times = [s.time for s in self.said if s.time]
        started = started or (times[0] if times else ended)
        return started, max(started, ended or (times[-1] if times else started))


# --- conversions ---------------------------------------------------------------------------------


def outcome_of(value: object) -> Outcome:
    """Read an outcome: success, failure, null, a truth value, or gmem's own words."""
    key = value.strip().lower() if isinstance(value, str) else value
    if (key is not None and not isinstance(key, (str, bool))) or key not in _OUTCOMES:
        raise InvalidInput(f"outcome must be success, failure or null, not {value!r}")
    return _OUTCOMES[key]


def text_of(value: object, what: str) -> str:
    """Read a text; a list of parts, as chat models use them, becomes its texts, one below the other."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [p if isinstance(p, str) else p.get("text") for p in value if isinstance(p, (str, Mapping))]
        return "\n".join(p for p in parts if isinstance(p, str))
    raise InvalidInput(f"{what} must be text, not {type(value).__name__} ({_short(value)})")


def seconds(value: object, left_out: Counter[str]) -> float:
    """Read a time, in seconds or as ISO 8601 (UTC if it names no zone); 0 if there is none."""
    if value is None or value == "":
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e11 else 0.0
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(_iso(value))
            return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
        except (ValueError, OverflowError):
            pass
    left_out["times that cannot be read"] += 1
    return 0.0


_FRACTION = re.compile(r"\.(\d+)")


def _iso(value: str) -> str:
    """Put a time into the narrower form that Python 3.10 reads."""
    value = value.strip()
    value = value[:-1] + "+00:00" if value[-1:] in "Zz" else value
    return _FRACTION.sub(lambda m: "." + (m.group(1) + "000000")[:6], value, count=1)


def facts(extras: Mapping[str, Any], left_out: Counter[str]) -> dict[str, str]:
    """Write what else is known of a task as text; what is empty goes, what is too long is counted."""
    out: dict[str, str] = {}
    for key, value in extras.items():
        if value is None or value == "" or value == [] or value == {}:
            continue
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        if len(shown) > LONGEST_FACT:
            left_out["facts longer than 2,000 characters"] += 1
        elif shown.strip():
            out[key] = shown
    return out


def content_id(query: str, messages: Sequence[object]) -> str:
    """Name a task that has no id of its own by what was asked and said."""
    return digest(query, json.dumps(messages, ensure_ascii=True, sort_keys=True))[:16]


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
