"""A graph that is watched: the same graph, of a class that tells a memory what it does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel

from gmem.adapters._judging import Status
from gmem.adapters._threads import awaited, begun
from gmem.adapters._watch import current
from gmem.adapters.langgraph._calls import full, goes_on, thread_of
from gmem.adapters.langgraph._recorder import Recorder, recorder

if TYPE_CHECKING:
    from gmem.adapters.langgraph._team import Team

__all__ = ["Watched"]

log = logging.getLogger("gmem")


class Watched(Pregel[Any, Any, Any, Any]):
    """What an attached graph does besides; everything in LangGraph comes by these two methods."""

    gmem: ClassVar[Team]

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Run the graph, as it does without a memory, and watch it."""
        team = self.gmem
        if not team.attached or team.outer():
            yield from super().stream(input, config, **kwargs)
            return
        state = None
        if goes_on(input) and not team.known(full(self, config)):
            state = _quietly(lambda: self.get_state(full(self, config)).values)
        seen = team.start(input, full(self, config), state)
        steps = super().stream(input, merge_configs(config, {"callbacks": [seen]}), **kwargs)
        try:
            seen.watch.prepare(team.likely())
            while True:
                with _set(seen):
                    try:
                        chunk = next(steps)
                    except StopIteration:
                        break
                yield chunk
        except BaseException as error:
            with _set(seen):
                steps.close()  # type: ignore[attr-defined]
            _leave(team, seen, self, config, error)
            raise
        _leave(team, seen, self, config)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Await `stream`."""
        team = self.gmem
        if not team.attached or team.outer():
            async for chunk in super().astream(input, config, **kwargs):
                yield chunk
            return
        state = None
        if goes_on(input) and not team.known(full(self, config)):
            try:
                state = (await self.aget_state(full(self, config))).values
            except Exception as error:
                log.debug("gmem: the state of a resumed run cannot be read", exc_info=error)
        seen = team.start(input, full(self, config), state)
        steps = super().astream(input, merge_configs(config, {"callbacks": [seen]}), **kwargs)
        try:
            await seen.watch.aprepare(team.likely())
            while True:
                with _set(seen):
                    try:
                        chunk = await steps.__anext__()
                    except StopAsyncIteration:
                        break
                yield chunk
        except BaseException as error:
            with _set(seen):
                await steps.aclose()  # type: ignore[attr-defined]
            await _aleave(team, seen, self, config, error)
            raise
        await _aleave(team, seen, self, config)

    def detach(self) -> None:
        """Detach this graph from its memory."""
        self.gmem.detach()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gmem.detach()


@contextmanager
def _set(seen: Recorder) -> Iterator[None]:
    """Let what runs meanwhile know by whom it is watched; not longer, as a stream is the caller's context."""
    before = (recorder.set(seen), current.set(seen.watch))
    try:
        yield
    finally:
        recorder.reset(before[0])
        current.reset(before[1])


def _quietly(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        log.debug("gmem: the state of a resumed run cannot be read", exc_info=error)
        return None


def _status(seen: Recorder, error: BaseException | None) -> Status:
    if seen.interrupted or isinstance(error, GraphDrained):
        return "interrupted"
    if error is None:
        return "completed"
    return "failed" if isinstance(error, Exception) else "cancelled"


def _leave(
    team: Team, seen: Recorder, app: Any, config: RunnableConfig | None, error: BaseException | None = None
) -> None:
    team.left()
    status, thread = _status(seen, error), thread_of(full(app, config))
    if status == "interrupted" and thread is not None:
        team.pause(thread, seen.watch)
    else:
        seen.watch.finish(status, seen.result, error if status == "failed" else None)


async def _aleave(
    team: Team, seen: Recorder, app: Any, config: RunnableConfig | None, error: BaseException | None = None
) -> None:
    team.left()
    status, thread = _status(seen, error), thread_of(full(app, config))
    if status == "interrupted" and thread is not None:
        await awaited(begun(lambda: team.pause(thread, seen.watch), "gmem-pause", daemon=False))
    else:
        await seen.watch.afinish(status, seen.result, error if status == "failed" else None)
