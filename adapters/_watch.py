"""One run of somebody's team, as seen from outside.

No method of a `Watch` raises: whatever goes wrong in gmem is logged, once a run as a warning, and the
team goes on as if there were no memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal

from gmem.adapters._recalls import Recalls
from gmem.adapters._said import Said
from gmem.adapters._storing import SPOOLING, Storing
from gmem.adapters._texts import named, storable
from gmem.adapters._threads import awaited, begun, within
from gmem.adapters._verdict import Verdict, verdict
from gmem.model import Kind
from gmem.recall import Recall
from gmem.trace import Run

if TYPE_CHECKING:
    from gmem.adapters._attachment import Attachment

__all__ = ["Status", "Watch", "current"]

log = logging.getLogger("gmem")
Status = Literal["completed", "failed", "cancelled", "interrupted"]
"""How a framework says that a run ended; whether the task was resolved is for a judge."""

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
        self._notes: dict[str, str] = {}
        self._recalls = Recalls(self._recall, attachment.patience)
        self._began = time.time()
        self._warned = False
        self._ended = run is None
        self._lock = threading.RLock()

    @property
    def id(self) -> str:
        """Id that the task has, or will have, in the memory; '' if nothing is recorded."""
        return self.run.id if self.run is not None else ""

    @property
    def ended(self) -> bool:
        """Whether the run has ended; what is said after that is not recorded."""
        return self._ended

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
                    role=None if kind in ANSWERS else self._role(agent),
                )  # fmt: skip

    def put(self, key: Hashable, message: object, upstream: Iterable[Hashable] = ()) -> bool:
        """Record a message as the user's own `utterances` says; False if it is left to the adapter.

        Each of them builds on the one before, and the key names the last.  A message that is none hands
        on what it built on.
        """
        said: list[Said] | None = None
        if self.attachment.utterances is not None and not self._ended:
            with self.guard("reading a message"):
                read = self.attachment.utterances(message)
                said = None if read is None else [Said(*one) for one in read]
        for place, one in enumerate(said or ()):
            own = key if said is not None and place == len(said) - 1 else (key, place)
            self.heard(own, one.agent, one.text, upstream=upstream, kind=one.kind, reward=one.reward, to=one.to)
            upstream = (own,)
        if said is not None and not said:
            with self._lock:
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
                run.join(named(agent), self._role(agent))
                self._numbers[key] = run.tool(
                    named(agent), named(tool), storable(arguments, empty=""),
                    None if result is None else storable(result), inspired_by=self._seqs(upstream),
                )  # fmt: skip

    def alias(self, key: Hashable, known: Hashable) -> None:
        """Let a further key name what another one names."""
        with self._lock:
            if known in self._numbers:
                self._numbers.setdefault(key, self._numbers[known])

    def spent(self, *, tokens: int = 0, calls: int = 0) -> None:
        """Add to what the run cost the team: tokens and model calls."""
        with self.guard("counting the cost"), self._lock:
            if self.run is not None and not self._ended:
                self.run.spent(tokens=tokens, calls=calls)

    # --- what helps it --------------------------------------------------------------------------

    def help(self, agent: str) -> str:
        """Give what the memory knows for an agent's role, as one fenced text; '' if nothing.

        It is recalled once a run for each role, and the same text is given at each further turn.
        """
        role = self._role(agent)
        if self._wants(role):
            with self.guard("recall"):
                self._recalls.wait([role])
        return self._note(role)

    async def ahelp(self, agent: str) -> str:
        """Await `help`; agents that wait at the same time go on in the order in which they came."""
        role = self._role(agent)
        wanted = [role] if self._wants(role) else []
        if wanted or self._recalls.waiting():
            with self.guard("recall"):
                await self._recalls.arrive(wanted)
        return self._note(role)

    def prepare(self, agents: Iterable[str]) -> None:
        """Recall for agents before any of them works, so that none of their turns waits.

        What waits lets others pass, so this is what leaves the order of a team's work wholly alone.
        """
        if roles := self._unasked(agents):
            with self.guard("recall"):
                self._recalls.wait(roles)
            self._prepared(roles)

    async def aprepare(self, agents: Iterable[str]) -> None:
        """Await `prepare`."""
        if roles := self._unasked(agents):
            with self.guard("recall"):
                await self._recalls.arrive(roles)
            self._prepared(roles)

    def _unasked(self, agents: Iterable[str]) -> list[str]:
        return [r for r in dict.fromkeys(map(self._role, agents)) if self._wants(r)]

    def _prepared(self, roles: Iterable[str]) -> None:
        if any(self._recalls.answer(role) is None for role in roles):
            self.attachment.rest()

    def _wants(self, role: str) -> bool:
        """Tell whether the memory is still to be asked for a role, or has not answered."""
        if self.attachment.budget == 0 or self._ended or role in self._notes:  # of no budget: the team is only watched
            return False
        return self._recalls.answer(role) is None and not self.attachment.resting()

    def _recall(self, roles: Sequence[str]) -> dict[str, Recall]:
        run, attachment = self.run, self.attachment
        assert run is not None
        return attachment.memory.recall_each(run.query, roles, run_id=run.id, budget=attachment.budget)

    def _note(self, role: str) -> str:
        """Give the text for a role; from then on it counts as delivered."""
        with self._lock:
            if role not in self._notes and self._recalls.asked(role) and not self._ended:
                self._notes[role] = ""
                found = self._recalls.answer(role)
                if found is None:  # the recall failed: nobody waits for it again in this run
                    self.attachment.rest()
                elif self.run is not None:
                    with self.guard("recall"):
                        self.run.note_recall(found)
                        self._notes[role] = found.text
            return self._notes.get(role, "")

    # --- what came of it ------------------------------------------------------------------------

    def finish(self, status: Status, result: object = None, error: BaseException | str | None = None) -> None:
        """End the run: have it judged, store it, and learn from it if its outcome is known.

        Args:
            status: How it ended.
            result: What the team gave back, for the judge.
            error: The exception that ended it.
        """
        if self._end():
            with self.guard("judging the run"):
                said = self._judged(status, result)
                if isawaitable(said):
                    if iscoroutine(said):
                        said.close()
                    log.warning("gmem: the judge must be awaited, and this run is not; its outcome stays unknown")
                    said = None
                self._decide(status, said, error)
            self._store()

    async def afinish(self, status: Status, result: object = None, error: BaseException | str | None = None) -> None:
        """Await `finish`; if the waiting is cancelled, the run is stored all the same."""
        if self._end():
            try:
                with self.guard("judging the run"):
                    self._decide(status, await self._ajudged(status, result), error)
            finally:
                await awaited(begun(self._store, "gmem-end", daemon=False))  # it ends in time by itself

    def pause(self) -> None:
        """Put the run aside as it stands: kept on disk, and open for more if it is resumed."""
        if self.run is not None and not self._ended:
            with self.guard("putting the run aside"):
                recording = self.run.recording()
                within(SPOOLING, lambda: self.attachment.spool.keep(recording, unfinished=True), "gmem-spool")

    # --- inner workings -------------------------------------------------------------------------

    def _end(self) -> bool:
        with self._lock:
            first, self._ended = not self._ended, True
            return first

    def _judged(self, status: Status, result: object) -> Any:
        judge = self.attachment.judge
        return judge(result) if judge is not None and status == "completed" else None

    async def _ajudged(self, status: Status, result: object) -> Any:
        """Await the judge; one that is not made to be awaited may take its time, and is called in a thread."""
        judge = self.attachment.judge
        if judge is None or status != "completed":
            return None
        if iscoroutinefunction(judge):
            return await judge(result)
        context = copy_context()
        said = await awaited(begun(lambda: context.run(judge, result), "gmem-judge"))
        return await said if isawaitable(said) else said

    def _decide(self, status: Status, said: object, error: BaseException | str | None) -> None:
        assert self.run is not None
        told = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error or ""
        if not told and status != "completed":
            told = status
        self.run.happened(
            started=self._began, ended=max(self._began, time.time()), error=storable(told, 2000, empty="")
        )  # fmt: skip
        if status == "failed" and self.attachment.errors_fail:
            said = Verdict("failed", reason=storable(told, 2000))
        v = verdict(said)
        self.run.judge(v.outcome, score=v.score, reason=v.reason, feedback=v.feedback)

    def _store(self) -> None:
        assert self.run is not None
        with self.guard("storing the run"):
            if told := Storing(self.attachment, self.run).store():
                self._warn(told)

    @contextmanager
    def _recording(self, key: Hashable) -> Iterator[Run | None]:
        """Give the run to record under a key; None if there is nothing to record it in, or it is there."""
        with self.guard("recording a message"), self._lock:
            yield None if self.run is None or self._ended or key in self._numbers else self.run

    def _seqs(self, keys: Iterable[Hashable]) -> list[int]:
        found: set[int] = set()
        for key in keys:
            found.update([self._numbers[key]] if key in self._numbers else self._silent.get(key, ()))
        return sorted(found)

    def _role(self, agent: str) -> str:
        return named(self.attachment.roles.get(agent) or agent)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Let nothing that fails in gmem reach the team: it is said once a run, and what follows goes on."""
        try:
            yield
        except Exception as error:
            log.debug("gmem: %s failed", what, exc_info=error)
            self._warn(f"{what} failed ({_told(error)}); the team goes on without it")

    def _warn(self, what: str) -> None:
        """Say once a run that the memory is of no help; further troubles of it are logged as details."""
        say = log.debug if self._warned else log.warning
        self._warned = True
        say("gmem: %s", what)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
