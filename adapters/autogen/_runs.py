"""Runs of a team or a lone agent: which are tasks, which take place within another one, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage, HandoffMessage, TextMessage
from autogen_agentchat.teams import BaseGroupChat
from autogen_core import AgentId, SingleThreadedAgentRuntime

from gmem.adapters._judging import Status
from gmem.adapters._watch import Watch, current
from gmem.adapters.autogen._scribe import Scribe
from gmem.adapters.autogen._streams import driven
from gmem.adapters.autogen._turn import here

if TYPE_CHECKING:
    from gmem.adapters.autogen._attach import TeamAttachment
    from gmem.adapters.autogen._hold import Hold

__all__ = ["run_once", "run_streamed"]

log = logging.getLogger("gmem")
CONTINUED = "(goes on with an earlier task)"
"""What the team was asked, if that cannot be found out any more."""


def run_streamed(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `run_stream` of a team or an agent."""

    @wraps(method)
    async def run_stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        user = await _task_of(held)
        if user is None:
            async with aclosing(driven(method(*args, **_inner(held, kwargs)), nullcontext)) as stream:
                async for item in stream:
                    yield item
            return
        async with (
            await _Run.begin(user, held.target, kwargs.get("task")) as run,
            aclosing(driven(method(*args, **kwargs), run.scope)) as stream,
        ):
            async for item in stream:
                await run.saw(item)
                yield item

    return run_stream


def run_once(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `run` of an agent, which does not go by way of its `run_stream`."""

    @wraps(method)
    async def run(*args: Any, **kwargs: Any) -> Any:
        user = await _task_of(held)
        if user is None:
            return await method(*args, **_inner(held, kwargs))
        async with await _Run.begin(user, held.target, kwargs.get("task")) as run:
            with run.scope():
                result = await method(*args, **kwargs)
            await run.saw(result)
            return result

    return run


class _Run:
    """One task of an attached team, from its first message to its end."""

    def __init__(self, user: TeamAttachment, watch: Watch) -> None:
        self._user = user
        self._watch = watch
        self._scribe = user.scribes[watch] = Scribe(watch, user.managers)

    @classmethod
    async def begin(cls, user: TeamAttachment, target: Any, task: Any) -> _Run:
        """Begin to record a task, and recall for all agents; raises nothing but that the waiting is cancelled."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        user.starting = started
        run: _Run | None = None
        try:
            query, facts, more = await cls._read(user, target, task)
            user.asked = query
            run = cls(user, user.begin(query, user.agents, facts))
            if more:  # what is said to a team that goes on is no task of its own
                with run._watch.guard("recording a message"):
                    for message in _messages(task):
                        run._scribe.chat(message, message.source, ())
            await run._watch.aprepare(user.told())
            return run
        except BaseException as error:
            if run is not None:
                await run.__aexit__(type(error), error, error.__traceback__)
            raise
        finally:
            started.set_result(None)

    @staticmethod
    async def _read(user: TeamAttachment, target: Any, task: Any) -> tuple[str, dict[str, str], bool]:
        """Read what the team is asked, what else is known of it, and whether it goes on with an earlier task."""
        query, facts, more = CONTINUED, {}, False
        try:
            query, more = _query(task), _goes_on(task)
            if more:
                query = user.asked or await _asked(target) or query or CONTINUED
                facts = {"continues": user.last.id} if user.last is not None else {}
        except Exception as error:
            log.debug("gmem: the task of a team cannot be read", exc_info=error)
        return query, facts, more

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Be in force while the team works."""
        token = current.set(self._watch)
        try:
            yield
        finally:
            current.reset(token)

    async def saw(self, item: object) -> None:
        """Look at what the team gives: its result ends the task."""
        if isinstance(item, TaskResult):
            await self._watch.afinish("completed", item)
        else:
            with self._watch.guard("recording a message"):
                self._scribe.overheard(item)

    async def __aenter__(self) -> _Run:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status: Status = "failed" if isinstance(error, Exception) else "cancelled"
        try:
            await self._watch.afinish(status, error=error if status == "failed" else None)
        finally:
            self._user.scribes.pop(self._watch, None)


async def _task_of(held: Hold) -> TeamAttachment | None:
    """Find whose task a run is; None if it takes place within another one, or is nobody's.

    A team can do one task at a time, so the run that came first must also be the first to begin.
    """
    user, loop = held.root, asyncio.get_running_loop()
    if user is None or _inside(user):
        return None
    while (other := user.starting) is not None and not other.done() and other.get_loop() is loop:
        await asyncio.wait([other])
    return None if getattr(held.target, "_is_running", False) is True else user


def _inside(user: TeamAttachment) -> bool:
    watch = current.get()
    return watch is not None and not watch.ended and watch in user.scribes


def _inner(held: Hold, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Make a text that is set as an inner task the message that the framework would make of it, to know its id."""
    place = here.get()
    task = kwargs.get("task")
    if (
        isinstance(task, str)
        and place is not None
        and not place.turn.scribe.watch.ended
        and isinstance(held.target, (BaseGroupChat, BaseChatAgent))
        and held.scribe() is place.turn.scribe
    ):
        message = TextMessage(content=task, source="user")
        place.turn.scribe.stands(message, place.turn.behind(place.call))
        return {**kwargs, "task": message}
    return dict(kwargs)


def _messages(task: Any) -> list[BaseChatMessage]:
    found = [task] if isinstance(task, BaseChatMessage) else task if isinstance(task, (list, tuple)) else []
    return [m for m in found if isinstance(m, BaseChatMessage)]


def _query(task: Any) -> str:
    return task if isinstance(task, str) else "\n".join(m.to_model_text() for m in _messages(task))


def _goes_on(task: Any) -> bool:
    """Tell whether a team is asked to go on where it stopped, with or without a word from a person."""
    return task is None or any(isinstance(m, HandoffMessage) for m in _messages(task))


async def _asked(target: Any) -> str:
    """Read in a team's own state what it was asked last; it may have been loaded from elsewhere."""
    if not isinstance(target, BaseGroupChat) or not target._initialized:
        return ""
    if not isinstance(target._runtime, SingleThreadedAgentRuntime):
        return ""
    manager: object = await target._runtime.try_get_underlying_agent_instance(
        AgentId(type=target._group_chat_manager_topic_type, key=target._team_id)
    )
    thread = getattr(manager, "_message_thread", ())
    said = [m for m in thread if isinstance(m, BaseChatMessage) and m.source == "user"]
    return said[-1].to_model_text() if said else ""
