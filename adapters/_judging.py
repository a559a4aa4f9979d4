"""What came of a run, put into it before it is stored: the judge's word, times, and what ended it."""

from __future__ import annotations

import logging
import time
from contextvars import copy_context
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal

from gmem.adapters._texts import storable
from gmem.adapters._threads import awaited, begun
from gmem.adapters._verdict import Verdict, verdict
from gmem.trace import Run

if TYPE_CHECKING:
    from gmem.adapters._attachment import Attachment

__all__ = ["Status", "ajudged", "decide", "judged"]

log = logging.getLogger("gmem")
Status = Literal["completed", "failed", "cancelled", "interrupted"]
"""How a framework says that a run ended; whether the task was resolved is for a judge."""


def judged(attachment: Attachment, status: Status, result: object) -> Any:
    """Give what the judge says of a run that nobody awaits; None if it says nothing, or only to who awaits it."""
    judge = attachment.judge
    said = judge(result) if judge is not None and status == "completed" else None
    if isawaitable(said):
        if iscoroutine(said):
            said.close()
        log.warning("gmem: the judge must be awaited, and this run is not; its outcome stays unknown")
        return None
    return said


async def ajudged(attachment: Attachment, status: Status, result: object) -> Any:
    """Await the judge; one that is not made to be awaited may take its time, and is called in a thread."""
    judge = attachment.judge
    if judge is None or status != "completed":
        return None
    if iscoroutinefunction(judge):
        return await judge(result)
    context = copy_context()
    said = await awaited(begun(lambda: context.run(judge, result), "gmem-judge"))
    return await said if isawaitable(said) else said


def decide(
    run: Run, status: Status, said: object, error: BaseException | str | None, *, began: float, errors_fail: bool
) -> None:  # fmt: skip
    """Write into a run how it ended and what came of it.

    Args:
        run: The run.
        status: How it ended.
        said: What the judge said, in any form that `verdict` reads.
        error: The exception that ended it.
        began: When it began, in seconds since the epoch.
        errors_fail: Whether what an exception ended counts as failed.
    """
    told = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error or ""
    if not told and status != "completed":
        told = status
    run.happened(started=began, ended=max(began, time.time()), error=storable(told, 2000, empty=""))
    if status == "failed" and errors_fail:
        said = Verdict("failed", reason=storable(told, 2000))
    v = verdict(said)
    run.judge(v.outcome, score=v.score, reason=v.reason, feedback=v.feedback)
