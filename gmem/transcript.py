"""The utterances of a run while it lasts: each is checked, numbered and tied to what it builds on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import get_args

from gmem import checks
from gmem.errors import GmemError, InvalidInput
from gmem.model import Kind, Utterance
from gmem.recall.lines import unfence
from gmem.text import shingles

__all__ = ["Transcript"]

ECHO_SHARE = 0.6
"""An utterance is an echo when this share of its word runs stood in a text that was recalled."""


class Transcript:
    """A growing list of utterances; safe to add to from several threads.

    Args:
        run_id: Name of the run, for error messages.
        agents: Role of each agent, by name; added to where a role is named later.
        clock: Gives seconds since the epoch.

    Attributes:
        lock: Held while the transcript changes.
    """

    def __init__(self, run_id: str, agents: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.agents = dict(agents)
        self._run_id = run_id
        self._clock = clock
        self._utterances: list[Utterance] = []
        self._quotable: set[tuple[str, ...]] = set()

    def __len__(self) -> int:
        return len(self._utterances)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """What was said so far, in order."""
        return tuple(self._utterances)

    def delivered(self, text: str) -> None:
        """Note a text that the memory gave the team, so that it is known when somebody repeats it."""
        with self.lock:
            self._quotable |= shingles(text)

    def add(
        self,
        agent: str,
        text: str,
        *,
        kind: Kind,
        to: str | Sequence[str] | None = None,
        inspired_by: int | Sequence[int] | None = None,
        reward: float | None = None,
        role: str | None = None,
        time: float | None = None,
        echo: bool | None = None,
    ) -> int:
        """Add one utterance; arguments and errors are those of `Run.say`."""
        checks.name(agent, "agent")
        checks.text(text, f"what {agent} said")
        if kind not in get_args(Kind):
            raise InvalidInput(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
        given = None if reward is None else checks.number(reward, "reward")
        at = self._clock() if time is None else checks.number(time, "time")
        named = checks.names(to, "to")
        if role is not None:
            checks.name(role, "role")
        content = unfence(text)
        with self.lock:
            upstream = self._upstream(inspired_by)
            seq = len(self._utterances)
            if seq >= checks.MAX_MESSAGES:
                raise InvalidInput(f"a run holds at most {checks.MAX_MESSAGES:,} utterances; split the task")
            if role is not None:
                self.agents[agent] = role
            quotes = kind in ("message", "thought", "handoff") and self._quotes(content) if echo is None else bool(echo)
            part = self.agents.get(agent, "")
            self._utterances.append(Utterance(seq, agent, part, kind, content, named, upstream, given, at, quotes))
            return seq

    def add_pair(
        self,
        agent: str,
        act: str,
        answer: str | None,
        *,
        kinds: tuple[Kind, Kind],
        answerer: str,
        reward: float | None,
        inspired_by: int | Sequence[int] | None,
    ) -> int:
        """Add an act and the answer to it, both or neither; returns the number of the last of them."""
        checks.name(answerer, "environment")
        if answer is not None:
            checks.text(answer, f"the answer to {agent}", empty=True)
        with self.lock:
            seq = self.add(agent, act, kind=kinds[0], to=answerer, inspired_by=inspired_by, reward=reward)
            if answer is None:
                return seq
            shown = answer if answer.strip() else "(no answer)"
            try:
                return self.add(answerer, shown, kind=kinds[1], to=agent, inspired_by=seq)
            except GmemError:
                del self._utterances[seq]
                raise

    def _upstream(self, given: int | Sequence[int] | None) -> tuple[int, ...]:
        n = len(self._utterances)
        if given is None:
            return (n - 1,) if n else ()
        if isinstance(given, int):
            given = (given,)
        if not isinstance(given, Iterable):
            raise InvalidInput(f"inspired_by must be a number or a list of numbers, not {type(given).__name__}")
        for seq in given:
            if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq < n:
                raise InvalidInput(
                    f"inspired_by names utterance {seq!r}, but run {self._run_id} has only 0 to {n - 1} so far; "
                    "an utterance can build only on earlier ones, by the numbers that say() and act() returned"
                    if n
                    else f"inspired_by names utterance {seq!r}, but run {self._run_id} has none yet"
                )
        return tuple(sorted(set(given)))

    def _quotes(self, content: str) -> bool:
        if not self._quotable:
            return False
        said = shingles(content)
        return bool(said) and len(said & self._quotable) >= ECHO_SHARE * len(said)
