"""Storing a run that has ended, without keeping its team waiting for a store that does not answer."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from gmem.adapters._threads import begun, over, within
from gmem.trace import Run

if TYPE_CHECKING:
    from gmem.adapters._attachment import Attachment

__all__ = ["SPOOLING", "Storing"]

log = logging.getLogger("gmem")
SPOOLING = 10.0
"""Seconds within which a run must be in the spool; a disk that takes longer may be what hangs."""


class Storing:
    """The way of one run into the memory: written by a thread of its own, or else kept in the spool.

    A write that takes too long is not broken off: it goes on while the run waits in the spool, and takes it
    out again if it succeeds after all.  That both may carry it out is harmless, as a run is stored once.

    Args:
        attachment: What the team is attached by.
        run: The run, with all that is known of it.
    """

    def __init__(self, attachment: Attachment, run: Run) -> None:
        self._attachment = attachment
        self._run = run
        self._trouble: BaseException | None = None
        self._stored = False
        self._ended = False
        self._left = False
        self._lock = threading.Lock()

    def store(self) -> str:
        """Store the run, as long as the team can wait.

        Returns:
            What a person should know; '' if all is well.

        Raises:
            OSError, TimeoutError: The run could not even be put in the spool in time.
        """
        attachment = self._attachment
        if attachment.hangs():  # somebody has waited for it a moment ago
            self._keep()
            if not attachment.hangs():
                begun(attachment.flush, "gmem-flush")  # the store came back meanwhile, and nobody else may come by
            return self._told("the memory does not answer")
        try:
            over(begun(self._write, "gmem-store"), attachment.patience)
        except BaseException:  # somebody will not wait any longer
            if self._leave():
                self._keep()
            raise
        if self._leave():
            self._keep()
            if self._run.written:
                log.info("gmem: run %s is stored; learning from it goes on", self._run.id)
                return ""
            return self._told(f"the memory did not answer within {attachment.patience:g} s")
        if self._trouble is None:
            return ""
        attachment.rest()
        self._keep()
        return self._told(f"{type(self._trouble).__name__}: {self._trouble}")

    def _write(self) -> None:
        """Write the run; in a thread that nobody may be waiting for any more."""
        attachment = self._attachment
        try:
            task = self._run.close()
        except BaseException as error:
            log.debug("gmem: run %s could not be stored", self._run.id, exc_info=error)
            with self._lock:
                self._trouble, self._ended = error, True
                if self._left:
                    attachment.spool.keep(self._run.recording())  # it may be stored from there now
            return
        with self._lock:
            self._stored = self._ended = True
            try:
                attachment.spool.drop(self._run.id)
            except OSError as error:
                log.debug("gmem: run %s is stored, and stays in the spool", self._run.id, exc_info=error)
        attachment.settled(task)

    def _leave(self) -> bool:
        """Stop waiting for the write; False if it has ended."""
        with self._lock:
            self._left = not self._ended
            if self._left and not self._run.written:
                self._attachment.hung()
            return self._left

    def _keep(self) -> None:
        within(SPOOLING, self._kept, "gmem-spool")

    def _kept(self) -> None:
        with self._lock:
            if not self._stored:
                # What is stored already and still being learned from is for others only once this process is gone.
                learning = self._run.written and not self._ended
                self._attachment.spool.keep(self._run.recording(), unfinished=learning)

    def _told(self, why: str) -> str:
        return (
            f"the run could not be stored ({why}); it waits in {self._attachment.spool.folder} and is stored and "
            "learned from when the store is back"
        )
