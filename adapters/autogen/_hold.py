"""The framework's objects that attached teams are made of: patched once each, put back when the last lets go.

An object can belong to several attached teams (one team is a tool of another, say), so what is patched
is shared: which team a turn belongs to is found out when the turn takes place.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any

from autogen_agentchat.agents import MessageFilterAgent
from autogen_agentchat.base import ChatAgent, TaskResult, Team
from autogen_agentchat.messages import BaseChatMessage
from autogen_agentchat.tools._task_runner_tool import TaskRunnerTool
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import StaticWorkbench

from gmem.adapters._attachment import Inject
from gmem.adapters._patches import Patches
from gmem.adapters._watch import current
from gmem.adapters.autogen._runs import run_once, run_streamed
from gmem.adapters.autogen._scribe import Scribe
from gmem.adapters.autogen._slots import Slot, client_of, slot_of, with_note
from gmem.adapters.autogen._streams import driven
from gmem.adapters.autogen._turn import Place, Turn, here

if TYPE_CHECKING:
    from gmem.adapters.autogen._attach import TeamAttachment

__all__ = ["Hold", "hold", "parts"]

MARK = "__gmem__"


class Hold:
    """One object of the framework, and the attached teams that it belongs to.

    Attributes:
        target: The object.
        users: The teams that it belongs to.
        root: The team or agent's own attachment, if its runs are tasks.
    """

    def __init__(self, target: Any) -> None:
        self.target = target
        self.users: list[TeamAttachment] = []
        self.root: TeamAttachment | None = None
        self._patches = Patches()
        self._slots: dict[Inject, Slot | None] = {}

    def patch(self, name: str, make: Callable[[Hold, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a wrapper in the place of a method of this object."""
        method = getattr(self.target, name, None)
        if callable(method):
            wrapper = make(self, method)
            setattr(wrapper, MARK, self)
            self._patches.set(self.target, name, wrapper)

    def release(self, user: TeamAttachment) -> None:
        """Let go for one team; the last one puts everything back."""
        self.users = [u for u in self.users if u is not user]
        if self.root is user:
            self.root = None
        if not self.users:
            self._patches.undo()

    def scribe(self) -> Scribe | None:
        """Find the run that the code at hand belongs to; None if it is none of ours."""
        watch = current.get()
        if watch is not None and not watch.ended:
            return next((s for u in self.users if (s := u.scribes.get(watch)) is not None), None)
        # A runtime of the user's own carries no context; a team runs only once at a time.
        found = [s for u in self.users for s in u.scribes.values() if not s.watch.ended]
        return found[0] if len(found) == 1 else None

    def slot(self, inject: Inject) -> Slot | None:
        """Give the place where this agent can be told something."""
        if inject not in self._slots:
            self._slots[inject] = slot_of(self.target, inject)
        return self._slots[inject]


def hold(target: Any, user: TeamAttachment, *, root: bool = False) -> Hold:
    """Patch an object for an attached team, unless that is done already.

    Args:
        target: A team, an agent, a tool that runs one of them, or a chat model.
        user: The attached team that it belongs to.
        root: Whether its runs are the tasks of that team.
    """
    found = next((h for name in PATCHED if (h := getattr(vars(target).get(name), MARK, None)) is not None), None)
    held: Hold = found if isinstance(found, Hold) and found.target is target else _new(target)
    if user not in held.users:
        held.users.append(user)
    if root:
        held.root = user
    return held


PATCHED = ("run_stream", "run_json", "create")


def _new(target: Any) -> Hold:
    held = Hold(target)
    if isinstance(target, ChatCompletionClient):
        held.patch("create", _asking)
        held.patch("create_stream", _asking)
    elif isinstance(target, TaskRunnerTool):
        held.patch("run_json", _calling)
        held.patch("run_json_stream", _calling_stream)
    else:
        held.patch("run_stream", run_streamed)
        if isinstance(target, ChatAgent):
            held.patch("run", run_once)
            if not isinstance(target, MessageFilterAgent):  # what it filters is given to the agent within
                held.patch("on_messages", _turn)
                held.patch("on_messages_stream", _turn_stream)
    return held


def parts(target: Any) -> Iterator[Any]:
    """Go through what an object is directly made of: agents, teams, tools that run them, the chat model."""
    if isinstance(target, TaskRunnerTool):
        yield target._task_runner
        return
    for value in vars(target).values():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, (ChatAgent, Team)):
                yield one
            elif isinstance(one, StaticWorkbench):
                yield from (tool for tool in one._tools if isinstance(tool, TaskRunnerTool))
    if isinstance(target, ChatAgent) and (client := client_of(target)) is not None:
        yield client


# --- turns ---------------------------------------------------------------------------------------


async def _begun(held: Hold, messages: Sequence[BaseChatMessage]) -> Turn | None:
    """Begin a turn; None if nothing is to be recorded, or it has begun already."""
    place = here.get()
    scribe = held.scribe()
    if scribe is None or (place is not None and place.turn.agent is held.target):
        return None
    watch = scribe.watch
    with watch.guard("recording a turn"):
        turn = Turn(scribe, held.target, held.target.name, list(messages), _within(place, scribe))
        turn.inject = watch.attachment.inject
        turn.slot = held.slot(turn.inject)
        if turn.slot is not None:
            turn.note = await watch.ahelp(turn.name)
        return turn
    return None


def _within(place: Place | None, scribe: Scribe) -> Place | None:
    return place if place is not None and place.turn.scribe is scribe else None


def _turn(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def on_messages(messages: Sequence[BaseChatMessage], *args: Any, **kwargs: Any) -> Any:
        turn = await _begun(held, messages)
        if turn is None:
            return await method(messages, *args, **kwargs)
        with turn.scope():
            response = await method(_handed(turn, messages), *args, **kwargs)
        turn.hear(response)
        return response

    return on_messages


def _turn_stream(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def on_messages_stream(
        messages: Sequence[BaseChatMessage], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        turn = await _begun(held, messages)
        if turn is None:
            place = here.get()
            going = place.turn if place is not None and place.turn.agent is held.target else None
            async with aclosing(driven(method(messages, *args, **kwargs), nullcontext)) as stream:
                async for item in stream:
                    if going is not None:  # `on_messages` goes by way of this stream; a call is told before its result
                        going.hear(item)
                    yield item
            return
        async with aclosing(driven(method(_handed(turn, messages), *args, **kwargs), turn.scope)) as stream:
            async for item in stream:
                turn.hear(item)
                yield item

    return on_messages_stream


def _handed(turn: Turn, messages: Sequence[BaseChatMessage]) -> Sequence[BaseChatMessage]:
    if turn.note and turn.slot is not None:
        with turn.scribe.watch.guard("handing over what was recalled"):
            return turn.slot.handed(messages, turn.note)
    return messages


# --- tools and chat models -----------------------------------------------------------------------


@contextmanager
def _in_call(call: str | None) -> Iterator[Turn | None]:
    place = here.get()
    if not call or place is None or not place.turn.asks(call):
        yield None
        return
    token = here.set(Place(place.turn, call))
    try:
        yield place.turn
    finally:
        here.reset(token)


def _returned(held: Hold, turn: Turn | None, call: str | None, result: object) -> None:
    """Note which messages an inner team's result hands on to the one who called it."""
    if turn is None or not call or not isinstance(result, TaskResult):
        return
    with turn.scribe.watch.guard("recording the result of a tool"):
        said = [m.id for m in result.messages if isinstance(m, BaseChatMessage) and m.source != "user"]
        turn.answered(call, said[-1:] if held.target._return_value_as_last_message else said, wholly=True)


def _calling(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def run_json(args: Any, cancellation_token: Any, call_id: str | None = None) -> Any:
        with _in_call(call_id) as turn:
            result = await method(args, cancellation_token, call_id)
        _returned(held, turn, call_id, result)
        return result

    return run_json


def _calling_stream(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def run_json_stream(
        args: Any, cancellation_token: Any, call_id: str | None = None
    ) -> AsyncGenerator[Any, None]:
        place = here.get()
        turn = place.turn if place is not None else None

        @contextmanager
        def scope() -> Iterator[None]:
            with _in_call(call_id):
                yield

        async with aclosing(driven(method(args, cancellation_token, call_id), scope)) as stream:
            async for item in stream:
                _returned(held, turn, call_id, item)
                yield item

    return run_json_stream


def _asking(held: Hold, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def create(messages: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        place = here.get()
        if place is not None and place.turn.note and not place.call and client_of(place.turn.agent) is held.target:
            with place.turn.scribe.watch.guard("handing over what was recalled"):
                messages = with_note(messages, place.turn.note, place.turn.inject)
        return method(messages, *args, **kwargs)

    return create
