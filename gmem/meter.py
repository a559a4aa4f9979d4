"""Counting what a chat model is used for, with hard caps."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from gmem.errors import BudgetExceeded, InvalidInput

__all__ = ["Meter", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a chat model was used for.

    Attributes:
        calls: How often it was asked, repairs included; what a provider's client repeats by itself
            after a rate limit or a lost connection is not seen from here.
        repairs: How many of the calls asked for an answer again that could not be used.
        prompt_tokens: Tokens sent, as the provider said, else estimated.
        completion_tokens: Tokens received, likewise.
        prompt_characters: Characters sent, the form of the answer included.
    """

    calls: int = 0
    repairs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_characters: int = 0

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.repairs + other.repairs,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.prompt_characters + other.prompt_characters,
        )


class Meter:
    """Counts what is used, and refuses what would cross a cap; for any number of threads."""

    def __init__(self, name: str, max_calls: int | None, max_tokens: int | None) -> None:
        for what, cap in (("max_calls", max_calls), ("max_tokens", max_tokens)):
            if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 0):
                raise InvalidInput(f"{what} must be a whole number from 0 or None, not {cap!r}")
        self._name = name
        self._max_calls = max_calls
        self._max_tokens = max_tokens
        self._used: dict[str, Usage] = {}
        self._reserved = 0
        self._lock = Lock()

    def snapshot(self) -> dict[str, Usage]:
        with self._lock:
            return dict(self._used)

    def reserve(self, operation: str, booked: Usage, expected: int) -> None:
        """Book a call before it is made, and set its expected tokens aside."""
        with self._lock:
            total = sum(self._used.values(), Usage())
            if self._max_calls is not None and total.calls + 1 > self._max_calls:
                raise BudgetExceeded(
                    f"{operation!r} needs one more call of {self._name}, but {total.calls} of max_calls="
                    f"{self._max_calls} are used; raise the cap or begin with a new ChatModel"
                )
            if self._max_tokens is not None and total.tokens + self._reserved + expected > self._max_tokens:
                raise BudgetExceeded(
                    f"{operation!r} may need {expected} tokens of {self._name}, but {total.tokens} of max_tokens="
                    f"{self._max_tokens} are used and {self._reserved} set aside; raise the cap or begin with a "
                    "new ChatModel"
                )
            self._used[operation] = self._used.get(operation, Usage()) + booked
            self._reserved += expected

    def settle(self, operation: str, expected: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Replace what was set aside by what was used."""
        used = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        with self._lock:
            self._reserved -= expected
            self._used[operation] += used
