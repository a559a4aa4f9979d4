"""One run of somebody's team, as seen from outside: what is said in it is recorded here.

No method of a `Watch` raises: whatever goes wrong in gmem is logged, once a run as a warning, and the
team goes on as if there were no memory.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from gmem.adapters._course import Course
from gmem.adapters._helping import Helping
from gmem.adapters._judging import Status, ajudged, decide, judged
from gmem.adapters._said import Said
from gmem.adapters._storing import SPOOLING, Storing
from gmem.adapters._texts import named, storable
from gmem.adapters._threads import awaited, begun, within
from gmem.model import Kind
from gmem.trace import Run

if TYPE_CHECKING:
    from gmem.adapters._attachment import Attachment

__all__ = ["Watch", "current"]

ANSWERS = ("tool_result", "observation")
"""Kinds of what is said by tools and environments, which play no role in the team."""

current: ContextVar[Watch | None] = ContextVar("gmem_watch", default=None)
"""The run that the code at hand belongs to; parallel runs each see their own."""


class Watch:
    """Records one run, and gives its agents what the memory knows.

    The adapter names each thing that it sees by a key of its own (the framework's message id, mostly)
    and says by which keys it was inspired; keys that belong to no recorded utterance are passed over.
    Safe to use from several threads.

    Args:
        attachment: What the team is attached by.
        run: The run to record into; None if there could be none.
    """

    def __init__(self, attachment: Attachment, run: Run | None) -> None:
        self.attachment = attachment
        self.run = run
        self._numbers: dict[Hashable, int] = {}
        self._silent: dict[Hashable, list[int]] = {}
        self._began = time.time()
        self._course = Course(run)
        self._helping = Helping(attachment, self._course)

    @property
    def id(self) -> str:
        """Id that the task has, or will have, in the memory; '' if nothing is recorded."""
        return self.run.id if self.run is not None else ""

    @property
    def ended(self) -> bool:
        """Whether the run has ended; what is said after that is not recorded."""
        return self._course.over

    @property
    def began(self) -> float:
        """When the run began, in seconds since the epoch."""
        return self._began

    def knows(self, key: Hashable) -> bool:
        """Tell whether an utterance of this run has that key."""
        return key in self._numbers

    # --- what the team does ---------------------------------------------------------------------

    def heard(
        self, key: Hashable, agent: str, text: str, *, upstream: Iterable[Hashable] = (), kind: Kind = "message",
        to: Iterable[str] = (), reward: float | None = None,
    ) -> None:  # fmt: skip
        """Record that an agent said something; a key that is known already is passed over.

        Args:
            key: The adapter's name for it.
            agent: Who.
            text: What; clipped if it is too long to be stored.
            upstream: Keys of what it was inspired by.
            kind: What sort of utterance it is.
            to: Whom it was addressed to; nobody for everybody.
            reward: What an environment gave for it.
        """
        with self._recording(key) as run:
            if run is not None:
                self._numbers[key] = run.say(
                    named(agent), storable(text), kind=kind, to=[named(t) for t in to],
                    inspired_by=self._seqs(upstream), reward=reward,
                    role=None if kind in ANSWERS else self.attachment.role(agent),
                )  # fmt: skip

    def put(self, key: Hashable, message: object, upstream: Iterable[Hashable] = ()) -> bool:
        """Record a message as the user's own `utterances` says; False if it is left to the adapter.

        Each of them builds on the one before, and the key names the last.  A message that is none hands
        on what it built on.
        """
        said: list[Said] | None = None
        if self.attachment.utterances is not None and not self._course.over:
            with self.guard("reading a message"):
                read = self.attachment.utterances(message)
                said = None if read is None else [Said(*one) for one in read]
        for place, one in enumerate(said or ()):
            own = key if said is not None and place == len(said) - 1 else (key, place)
            self.heard(own, one.agent, one.text, upstream=upstream, kind=one.kind, reward=one.reward, to=one.to)
            upstream = (own,)
        if said is not None and not said:
            with self._course.lock:
                self._silent[key] = self._seqs(upstream)
        return said is not None

    def used(
        self, key: Hashable, agent: str, tool: str, arguments: str, result: str | None, *,
        upstream: Iterable[Hashable] = (),
    ) -> None:  # fmt: skip
        """Record the call of a tool and, if there is one, its result; `key` names the last of the two."""
        with self._recording(key) as run:
            if run is not None:
                # An agent that only calls tools has a role as well.
                run.join(named(agent), self.attachment.role(agent))
                self._numbers[key] = run.tool(
                    named(agent), named(tool), storable(arguments, empty=""),
                    None if result is None else storable(result), inspired_by=self._seqs(upstream),
                )  # fmt: skip

    def alias(self, key: Hashable, known: Hashable) -> None:
        """Let a further key name what another one names."""
        with self._course.lock:
            if known in self._numbers:
                self._numbers.setdefault(key, self._numbers[known])

    def spent(self, *, tokens: int = 0, calls: int = 0) -> None:
        """Add to what the run cost the team: tokens and model calls."""
        with self.guard("counting the cost"), self._course.lock:
            if self.run is not None and not self._course.over:
                self.run.spent(tokens=tokens, calls=calls)

    # --- what helps it --------------------------------------------------------------------------

    def help(self, agent: str) -> str:
        """Give what the memory knows for an agent's role, as one fenced text; '' if nothing."""
        return self._helping.help(agent)

    async def ahelp(self, agent: str) -> str:
        """Await `help`; agents that wait at the same time go on in the order in which they came."""
        return await self._helping.ahelp(agent)

    def prepare(self, agents: Iterable[str]) -> None:
        """Recall for agents before any of them works, so that none of their turns waits."""
        self._helping.prepare(agents)

    async def aprepare(self, agents: Iterable[str]) -> None:
        """Await `prepare`."""
        await self._helping.aprepare(agents)

    # --- what came of it ------------------------------------------------------------------------

    def finish(self, status: Status, result: object = None, error: BaseException | str | None = None) -> None:
        """End the run: have it judged, store it, and learn from it if its outcome is known.

        Args:
            status: How it ended.
            result: What the team gave back, for the judge.
            error: The exception that ended it.
        """
        if self._course.end():
            with self.guard("judging the run"):
                self._decide(status, judged(self.attachment, status, result), error)
            self._store()

    async def afinish(self, status: Status, result: object = None, error: BaseException | str | None = None) -> None:
        """Await `finish`; if the waiting is cancelled, the run is stored all the same."""
        if self._course.end():
            try:
                with self.guard("judging the run"):
                    self._decide(status, await ajudged(self.attachment, status, result), error)
            finally:
                await awaited(begun(self._store, "gmem-end", daemon=False))  # it ends in time by itself

    def pause(self) -> None:
        """Put the run aside as it stands: kept on disk, and open for more if it is resumed."""
        if self.run is not None and not self._course.over:
            with self.guard("putting the run aside"):
                recording = self.run.recording()
                within(SPOOLING, lambda: self.attachment.spool.keep(recording, unfinished=True), "gmem-spool")

    # --- inner workings -------------------------------------------------------------------------

    def guard(self, what: str) -> AbstractContextManager[None]:
        """Let nothing that fails in gmem reach the team: it is said once a run, and what follows goes on."""
        return self._course.guard(what)

    def _decide(self, status: Status, said: object, error: BaseException | str | None) -> None:
        assert self.run is not None
        decide(self.run, status, said, error, began=self._began, errors_fail=self.attachment.errors_fail)

    def _store(self) -> None:
        assert self.run is not None
        with self.guard("storing the run"):
            if told := Storing(self.attachment, self.run).store():
                self._course.warn(told)

    @contextmanager
    def _recording(self, key: Hashable) -> Iterator[Run | None]:
        """Give the run to record under a key; None if there is nothing to record it in, or it is there."""
        with self.guard("recording a message"), self._course.lock:
            yield None if self.run is None or self._course.over or key in self._numbers else self.run

    def _seqs(self, keys: Iterable[Hashable]) -> list[int]:
        found: set[int] = set()
        for key in keys:
            found.update([self._numbers[key]] if key in self._numbers else self._silent.get(key, ()))
        return sorted(found)
