"""Recording a run: who said what to whom, caused by what, with what result.

This is the only way into a memory: adapters and importers use it as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, get_args

from gmem import checks, ids
from gmem.errors import InvalidInput, RunClosed
from gmem.flow import Flow, arun, run
from gmem.model import Cost, Kind, Outcome, RecallEvent, Suspect, Task, Utterance
from gmem.recall.result import Recall
from gmem.transcript import Transcript

__all__ = ["Recording", "Run"]

log = logging.getLogger("gmem")
ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished run, as it is handed to the memory to be kept."""

    task: Task
    utterances: tuple[Utterance, ...]
    recalls: tuple[RecallEvent, ...] = ()


@dataclass
class _Draft:
    outcome: Outcome = "unknown"
    score: float | None = None
    reason: str = ""
    feedback: str = ""
    error: str = ""
    blame: tuple[Suspect, ...] = ()
    cost: Cost = field(default_factory=Cost)


class Run:
    """One task that a team is working on; made by `Memory.task`, used as a context manager.

    Each recording call returns the number of what it recorded, to be named in a later `inspired_by`.
    Nothing is written until the run ends; then all of it is, in one transaction.  A run may be
    written to from several threads.

    Attributes:
        id: The id that the task will have.
        query: What the team was asked.
    """

    def __init__(
        self,
        query: str,
        *,
        team: str,
        finish: Callable[[Recording, Callable[[], None]], Flow[Task]],
        recaller: Callable[..., Flow[Recall]],
        context: str = "",
        agents: Mapping[str, str] | None = None,
        run_id: str | None = None,
        source: str = "run",
        trust: float = 1.0,
        metadata: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.query = checks.text(query, "the query", checks.MAX_QUERY)
        self.id = ids.new_id("t") if run_id is None else checks.id(run_id, "run_id")
        self._team = team
        self._context = checks.text(context, "context", empty=True)
        self._transcript = Transcript(self.id, checks.mapping(agents, "agents"), clock)
        self._source = checks.name(source, "source")
        self._trust = checks.share(trust, "trust")
        self._metadata = checks.mapping(metadata, "metadata")
        self._finish = finish
        self._recaller = recaller
        self._clock = clock
        self._events: list[RecallEvent] = []
        self._started = clock()
        self._span: tuple[float, float] | None = None
        self._draft = _Draft()
        self._decided = False
        self._closed = False
        self._written = False
        self._result: Task | None = None

    # --- what the team did ----------------------------------------------------------------------

    def say(
        self,
        agent: str,
        text: str,
        *,
        to: str | Sequence[str] | None = None,
        inspired_by: int | Sequence[int] | None = None,
        kind: Kind = "message",
        reward: float | None = None,
        role: str | None = None,
        time: float | None = None,
        echo: bool | None = None,
    ) -> int:
        """Record what an agent said.

        Args:
            agent: Who.
            text: What.
            to: Whom it was addressed to; None for everybody.
            inspired_by: Numbers of the utterances that it builds on; None for the one just before,
                `()` for none.
            kind: What sort of utterance it is.
            reward: What the environment gave for it.
            role: The agent's role, if it was not named when the run began.
            time: Seconds since the epoch; None for now.
            echo: Whether it repeats what the memory had delivered; None to find out.

        Returns:
            The number of the utterance.

        Raises:
            InvalidInput: A value cannot be stored; nothing was recorded.
            RunClosed: The run has ended.
        """
        with self._transcript.lock:
            self._open()
            return self._transcript.add(
                agent, text, kind=kind, to=to, inspired_by=inspired_by, reward=reward, role=role, time=time, echo=echo
            )

    def think(self, agent: str, text: str, *, inspired_by: int | Sequence[int] | None = None) -> int:
        """Record a thought that an agent kept to itself; arguments as for `say`."""
        return self.say(agent, text, to=agent, inspired_by=inspired_by, kind="thought")

    def act(
        self,
        agent: str,
        action: str,
        observation: str | None = None,
        reward: float | None = None,
        *,
        inspired_by: int | Sequence[int] | None = None,
        environment: str = ENVIRONMENT,
    ) -> int:
        """Record an action and what the environment answered.

        Args:
            agent: Who acted.
            action: What it did.
            observation: The answer, which may be empty; None if there was none.
            reward: What the environment gave for it.
            inspired_by: What the action builds on, as for `say`.
            environment: Name of what answered.

        Returns:
            The number of the observation, or of the action if there was none.
        """
        return self._pair(agent, action, observation, ("action", "observation"), environment, reward, inspired_by)

    def tool(
        self,
        agent: str,
        tool: str,
        arguments: str = "",
        result: str | None = None,
        reward: float | None = None,
        *,
        inspired_by: int | Sequence[int] | None = None,
    ) -> int:
        """Record the call of a tool and its result; returns the number of the last of the two.

        Args:
            agent: Who called it.
            tool: Name of the tool.
            arguments: What it was called with, as text.
            result: What it gave back; None if it is not known (yet).
            reward: What the environment gave for it.
            inspired_by: What the call builds on, as for `say`.
        """
        checks.name(tool, "tool")
        checks.text(arguments, "arguments", empty=True)
        call = f"{tool}({arguments})"
        return self._pair(agent, call, result, ("tool_call", "tool_result"), tool, reward, inspired_by)

    def handoff(self, agent: str, to: str, text: str = "", *, inspired_by: int | Sequence[int] | None = None) -> int:
        """Record that an agent handed the task over; returns the number of the utterance."""
        return self.say(agent, text or f"hands over to {to}", to=to, inspired_by=inspired_by, kind="handoff")

    def join(self, agent: str, role: str) -> None:
        """Name the role of an agent that was not named when the run began."""
        checks.name(agent, "agent")
        checks.name(role, "role")
        with self._transcript.lock:
            self._open()
            self._transcript.agents[agent] = role

    def spent(self, *, tokens: int = 0, calls: int = 0) -> None:
        """Add to what the run cost the team: tokens and model calls."""
        more = (checks.number(tokens, "tokens"), checks.number(calls, "calls"))
        for figure, what in zip(more, ("tokens", "calls"), strict=True):
            if figure < 0:
                raise InvalidInput(f"{what} must be 0 or more, not {figure:g}: what was spent only grows")
        with self._transcript.lock:
            self._open()
            cost = self._draft.cost
            self._draft.cost = replace(cost, tokens=cost.tokens + int(more[0]), calls=cost.calls + int(more[1]))

    # --- what came of it ------------------------------------------------------------------------

    def resolve(self, score: float | None = None, *, feedback: str = "") -> None:
        """Say that the task was resolved, as verified by an environment, a judge or a person."""
        self._decide("resolved", score, "", feedback)

    def fail(
        self, reason: str = "", *, score: float | None = None, feedback: str = "",
        blame: tuple[str, int, str] | None = None,
    ) -> None:  # fmt: skip
        """Say that the task failed, why, and who was to blame as (agent, number of the utterance, why)."""
        self._decide("failed", score, reason, feedback, () if blame is None else (Suspect(*checks.blame(blame), 1.0),))

    def leave(self, score: float | None = None, *, feedback: str = "") -> None:
        """Say that nobody verified the outcome; it is kept, and nothing is learned from it."""
        self._decide("unknown", score, "", feedback)

    def judge(
        self, outcome: Outcome, *, score: float | None = None, reason: str = "", feedback: str = "",
        blame: Sequence[Suspect] = (),
    ) -> None:  # fmt: skip
        """Say what came of a run that is recorded afterwards; the suspects of a failure need not be alone."""
        if outcome not in get_args(Outcome):
            raise InvalidInput(f"outcome must be one of {', '.join(get_args(Outcome))}, not {outcome!r}")
        self._decide(outcome, score, reason, feedback, blame)

    def happened(self, *, started: float, ended: float, error: str = "") -> None:
        """Say when a run that is recorded afterwards took place, and by which exception it ended.

        Args:
            started: Seconds since the epoch; 0 if it is not known.
            ended: Likewise, and not before `started`.
            error: The exception, as `Type: message`.
        """
        span = (checks.number(started, "started"), checks.number(ended, "ended"))
        checks.text(error, "error", empty=True)
        if span[1] < span[0]:
            raise InvalidInput(f"the run ended at {span[1]:g}, before it started at {span[0]:g}")
        with self._transcript.lock:
            self._open()
            self._span = span
            self._draft.error = error

    # --- what helps -----------------------------------------------------------------------------

    def recall(self, role: str = "", **settings: Any) -> Recall:
        """Ask the memory what helps with this task; what it delivers is put in the ledger.

        Args:
            role: Role or agent to deliver to; '' for everybody.
            **settings: As for `Memory.recall`.
        """
        return run(self._recall(role, settings))

    async def arecall(self, role: str = "", **settings: Any) -> Recall:
        """Await `recall`."""
        return await arun(self._recall(role, settings))

    def _recall(self, role: str, settings: Mapping[str, Any]) -> Flow[Recall]:
        with self._transcript.lock:
            self._open()
        found = yield from self._recaller(self.query, role, run_id=self.id, **settings)
        self.note_recall(found)
        return found

    def note_recall(self, recall: Recall) -> None:
        """Put in the ledger that this run was given a recall that was made elsewhere."""
        with self._transcript.lock:
            self._open()
            self._transcript.delivered(recall.text)
            self.given(RecallEvent(
                recall.id, self.id, recall.role, recall.shown, recall.withheld, recall.tokens, self._clock()
            ))  # fmt: skip

    def given(self, event: RecallEvent) -> None:
        """Put an entry in the ledger of a run that is recorded afterwards."""
        if event.task_id != self.id:
            raise InvalidInput(f"the recall {event.id} was given to run {event.task_id}, not to {self.id}")
        with self._transcript.lock:
            self._open()
            self._events.append(event)

    # --- ending ---------------------------------------------------------------------------------

    @property
    def result(self) -> Task | None:
        """The task as it was stored; None while the run is open."""
        return self._result

    @property
    def written(self) -> bool:
        """Whether the store has the run already; a model may still be writing lessons from it."""
        return self._written

    def close(self) -> Task:
        """End the run and store it; leaving the `with` block does the same."""
        return run(self._close())

    async def aclose(self) -> Task:
        """Await `close`."""
        return await arun(self._close())

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self._leave(error))

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await arun(self._leave(error))

    def recording(self) -> Recording:
        """Give the run as it would be stored if it ended now."""
        with self._transcript.lock:
            d = self._draft
            started, ended = self._span or (self._started, self._clock())
            cost = replace(d.cost, seconds=round(max(0.0, ended - started), 3))
            task = Task(
                id=self.id, team=self._team, query=self.query, context=self._context,
                outcome=d.outcome, score=d.score, reason=d.reason, feedback=d.feedback, error=d.error,
                blame=d.blame, agents=dict(self._transcript.agents), cost=cost,
                source=self._source, trust=self._trust, started=started, ended=ended,
                length=len(self._transcript), metadata=self._metadata,
            )  # fmt: skip
            return Recording(task, self._transcript.utterances, tuple(self._events))

    # --- inner workings -------------------------------------------------------------------------

    def _open(self) -> None:
        if self._closed:
            raise RunClosed(
                f"run {self.id} has ended and is stored; use memory.feedback({self.id!r}, ...) to add to it"
            )
        if self._decided:
            raise RunClosed(
                f"run {self.id} was already marked {self._draft.outcome}; record everything before resolve() or "
                "fail(), and change the outcome later with memory.feedback()"
            )

    def _decide(
        self, outcome: Outcome, score: float | None, reason: str, feedback: str, blame: Sequence[Suspect] = ()
    ) -> None:
        figure = None if score is None else checks.number(score, "score")
        checks.text(reason, "reason", empty=True)
        checks.text(feedback, "feedback", empty=True)
        with self._transcript.lock:
            self._open()
            suspects = tuple(self._suspect(s) for s in blame)
            self._draft = replace(
                self._draft, outcome=outcome, score=figure, reason=reason, feedback=feedback, blame=suspects
            )
            self._decided = True

    def _suspect(self, s: Suspect) -> Suspect:
        n = len(self._transcript)
        if isinstance(s.seq, bool) or not isinstance(s.seq, int) or not 0 <= s.seq < n:
            raise InvalidInput(f"blame names utterance {s.seq!r}, but run {self.id} has {n} of them, counted from 0")
        checks.text(s.reason, "the reason of the blame", empty=True)
        return Suspect(checks.name(s.agent, "agent"), s.seq, s.reason, checks.share(s.score, "the share of the blame"))

    def _leave(self, error: BaseException | None) -> Flow[None]:
        """End the run as its block ends; an exception of the team goes on, whatever becomes of ours."""
        if error is not None:
            text = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode().replace("\0", "\ufffd")
            self._draft.error = text[:2000]
        if self._closed:
            return
        try:
            yield from self._close()
        except Exception:
            if error is None:
                raise
            log.exception("gmem: run %s ended by an exception and could not be stored", self.id)

    def _pair(
        self, agent: str, act: str, answer: str | None, kinds: tuple[Kind, Kind], answerer: str,
        reward: float | None, inspired_by: int | Sequence[int] | None,
    ) -> int:  # fmt: skip
        with self._transcript.lock:
            self._open()
            return self._transcript.add_pair(
                agent, act, answer, kinds=kinds, answerer=answerer, reward=reward, inspired_by=inspired_by
            )

    def _note_written(self) -> None:
        self._written = True

    def _close(self) -> Flow[Task]:
        with self._transcript.lock:
            if self._closed:
                raise RunClosed(f"run {self.id} was closed before; memory.feedback({self.id!r}, ...) adds to it")
            self._closed = True
            recording = self.recording()
        try:
            self._result = yield from self._finish(recording, self._note_written)
        except BaseException:
            self._closed = False  # it is not stored, so the caller may try again
            raise
        return self._result
