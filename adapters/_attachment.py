"""What holds a team and a memory together: the options, the runs that are open, and the way back."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from gmem import checks
from gmem.adapters._patches import Patches
from gmem.adapters._said import Utterances
from gmem.adapters._texts import named, storable
from gmem.adapters._threads import begun, over
from gmem.adapters._verdict import Judge
from gmem.adapters._watch import Watch, current
from gmem.errors import InvalidInput
from gmem.memory import Memory
from gmem.model import Task
from gmem.spool import Spool

__all__ = ["Attachment", "Inject"]

log = logging.getLogger("gmem")
Inject = Literal["system", "user"]
"""Where recalled text goes: to the end of the system message, or into a user message of its own."""
REST = 30.0
"""Seconds for which a memory that failed is not asked again."""
MOST_PAUSED = 1000
"""Interrupted runs held open for a later resume; beyond that the oldest are stored as they are."""


class Attachment:
    """A team that is attached to a memory; a context manager that ends with `detach`.

    Args:
        memory: What the team is to remember with.
        source: Written to each task as where it comes from, such as "autogen".
        judge: Says what came of a run, from what the team gave back; without one nobody knows, until
            somebody calls `memory.feedback`.  It may be awaitable where the framework is; one that is not is
            called in a thread there.  The team's result waits for it.
        roles: Role of each agent, by name; an agent's own name by default.
        budget: Largest price of what one role is given, in tokens; 0 to watch the team without helping it.
        inject: Where recalled text goes.
        errors_fail: Whether a run that an exception ended counts as failed; else its outcome is unknown.
        patience: Seconds that a team waits for the memory, for a recall and at its end to be stored, before
            it goes on without; a run that is not stored by then waits in the spool.
        spool: Folder in which runs wait while the store is away.
        utterances: Says what utterances a message of the team is, one building on the other, each a
            `Said` or a plain tuple (agent, text, kind, reward, to); None for what the adapter makes of it.

    Raises:
        InvalidInput: An option makes no sense; nothing was attached.
    """

    def __init__(
        self, memory: Memory, *, source: str, judge: Judge | None = None, roles: Mapping[str, str] | None = None,
        budget: int = 1500, inject: Inject = "system", errors_fail: bool = False, patience: float = 5.0,
        spool: Path | None = None, utterances: Utterances | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(memory, Memory):
            raise InvalidInput(f"memory must be a gmem.Memory, not {type(memory).__name__} ({memory!r})")
        if judge is not None and not callable(judge):
            raise InvalidInput(f"judge must be a function of what the team gives back, not {judge!r}")
        if utterances is not None and not callable(utterances):
            raise InvalidInput(f"utterances must be a function of one message, not {utterances!r}")
        if inject not in get_args(Inject):
            raise InvalidInput(f"inject must be one of {', '.join(get_args(Inject))}, not {inject!r}")
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise InvalidInput(f"budget must be a whole number of tokens, 0 or more, not {budget!r}")
        self.memory = memory
        self.source = checks.name(source, "source")
        self.judge = judge
        self.utterances = utterances
        self.roles = checks.mapping(roles, "roles")
        self.budget = budget
        self.inject: Inject = inject
        self.errors_fail = bool(errors_fail)
        self.patience = checks.number(patience, "patience")
        self.spool = Spool(memory, spool)
        self.patches = Patches()
        self.attached = True
        self._paused: OrderedDict[Hashable, Watch] = OrderedDict()
        self._last: Task | None = None
        self._rest_until = 0.0
        self._hangs_until = 0.0
        self._lock = threading.Lock()
        self._flush_aside()

    def __repr__(self) -> str:
        return f"<{self.source} team attached to {self.memory!r}{'' if self.attached else ', detached'}>"

    def role(self, agent: str) -> str:
        """Give the role of an agent: its own name by default."""
        return named(self.roles.get(agent) or agent)

    # --- runs -----------------------------------------------------------------------------------

    def begin(
        self, query: object, agents: Mapping[str, str] | None = None, metadata: Mapping[str, str] | None = None
    ) -> Watch:
        """Begin to watch a run; never raises.  The caller sets `current` and ends the watch.

        Args:
            query: What the team is asked.
            agents: Agents that are known, with their roles if they are.
            metadata: Further facts.
        """
        try:
            known = {name: self.roles.get(name) or role or name for name, role in (agents or {}).items()}
            run = self.memory.task(
                storable(query, checks.MAX_QUERY), agents=known, source=self.source, metadata=metadata
            )  # fmt: skip
        except Exception as error:
            log.warning("gmem: a run cannot be recorded (%s: %s); the team goes on", type(error).__name__, error)
            return Watch(self, None)
        return Watch(self, run)

    @property
    def watch(self) -> Watch | None:
        """The open run of this attachment that the code at hand belongs to, if there is one."""
        found = current.get()
        return found if found is not None and found.attachment is self and not found.ended else None

    @property
    def last(self) -> Task | None:
        """The last run that was stored, with the id that `memory.feedback` wants; None before the first."""
        return self._last

    def settled(self, stored: Task) -> None:
        """Note that a run was stored, and store those that waited."""
        self._last = stored
        self._rest_until = self._hangs_until = 0.0
        self.flush()

    def flush(self) -> int:
        """Store the runs that wait for the store, and learn from them; gives their number, and never raises.

        It happens by itself when a team is attached and whenever a run could be stored.
        """
        try:
            return self.spool.flush()
        except Exception as error:
            log.warning("gmem: %d runs still wait in %s (%s: %s)", len(self.spool), self.spool.folder,
                        type(error).__name__, error)  # fmt: skip
            return 0

    def _flush_aside(self) -> None:
        """Store the runs that wait; nobody waits for it long, and an event loop not at all."""
        work = begun(self.flush, "gmem-flush")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            over(work, self.patience)

    # --- a memory that is away ------------------------------------------------------------------

    def rest(self) -> None:
        """Leave the memory alone for a while, as it failed."""
        self._rest_until = time.monotonic() + REST

    def resting(self) -> bool:
        """Tell whether the memory is left alone for now."""
        return time.monotonic() < self._rest_until

    def hung(self) -> None:
        """Leave the memory alone for a while, as it does not even say that it fails: nobody else is to wait."""
        self.rest()
        self._hangs_until = self._rest_until

    def hangs(self) -> bool:
        """Tell whether a run is not even to be tried to be stored for now."""
        return time.monotonic() < self._hangs_until

    # --- interrupted runs -----------------------------------------------------------------------

    def pause(self, key: Hashable, watch: Watch) -> None:
        """Hold an interrupted run open, to be resumed under a key."""
        watch.pause()
        with self._lock:
            if not self._paused:  # only now: what is registered is never freed, and a server may attach many teams
                atexit.register(self._leave_paused)
            self._paused[key] = watch
            oldest = self._paused.popitem(last=False)[1] if len(self._paused) > MOST_PAUSED else None
        if oldest is not None:
            oldest.finish("interrupted")

    def resume(self, key: Hashable) -> Watch | None:
        """Give the run that was interrupted under a key; None if there is none."""
        with self._lock:
            found = self._paused.pop(key, None)
            if not self._paused:
                atexit.unregister(self._leave_paused)
            return found

    def _leave_paused(self) -> None:
        """Store interrupted runs as they are: nobody resumes them any more."""
        with self._lock:
            left = list(self._paused.values())
            self._paused.clear()
            atexit.unregister(self._leave_paused)
        for watch in left:
            watch.finish("interrupted")

    # --- the way back ---------------------------------------------------------------------------

    def detach(self) -> None:
        """Put everything back as it was; runs that wait are kept.  Doing it twice is harmless."""
        if not self.attached:
            return
        self.attached = False
        self.patches.undo()
        self._leave_paused()
        self.spool.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
