"""What one run is given of the memory: one text for each role, the same at each turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gmem.adapters._course import Course
from gmem.adapters._recalls import Recalls
from gmem.recall import Recall

if TYPE_CHECKING:
    from gmem.adapters._attachment import Attachment

__all__ = ["Helping"]


class Helping:
    """Gives the agents of one run what the memory knows; raises nothing, and waits no longer than is allowed.

    Args:
        attachment: What the team is attached by.
        course: The run.
    """

    def __init__(self, attachment: Attachment, course: Course) -> None:
        self._attachment = attachment
        self._course = course
        self._notes: dict[str, str] = {}
        self._recalls = Recalls(self._recall, attachment.patience)

    def help(self, agent: str) -> str:
        """Give what the memory knows for an agent's role, as one fenced text; '' if nothing.

        It is recalled once a run for each role, and the same text is given at each further turn.
        """
        role = self._attachment.role(agent)
        if self._wants(role):
            with self._course.guard("recall"):
                self._recalls.wait([role])
        return self._note(role)

    async def ahelp(self, agent: str) -> str:
        """Await `help`; agents that wait at the same time go on in the order in which they came."""
        role = self._attachment.role(agent)
        wanted = [role] if self._wants(role) else []
        if wanted or self._recalls.waiting():
            with self._course.guard("recall"):
                await self._recalls.arrive(wanted)
        return self._note(role)

    def prepare(self, agents: Iterable[str]) -> None:
        """Recall for agents before any of them works, so that none of their turns waits.

        What waits lets others pass, so this is what leaves the order of a team's work wholly alone.
        """
        if roles := self._unasked(agents):
            with self._course.guard("recall"):
                self._recalls.wait(roles)
            self._prepared(roles)

    async def aprepare(self, agents: Iterable[str]) -> None:
        """Await `prepare`."""
        if roles := self._unasked(agents):
            with self._course.guard("recall"):
                await self._recalls.arrive(roles)
            self._prepared(roles)

    def _unasked(self, agents: Iterable[str]) -> list[str]:
        return [r for r in dict.fromkeys(map(self._attachment.role, agents)) if self._wants(r)]

    def _prepared(self, roles: Iterable[str]) -> None:
        if any(self._recalls.answer(role) is None for role in roles):
            self._attachment.rest()

    def _wants(self, role: str) -> bool:
        """Tell whether the memory is still to be asked for a role, or has not answered."""
        if (
            self._attachment.budget == 0 or self._course.over or role in self._notes
        ):  # of no budget: the team is only watched
            return False
        return self._recalls.answer(role) is None and not self._attachment.resting()

    def _recall(self, roles: Sequence[str]) -> dict[str, Recall]:
        run, attachment = self._course.run, self._attachment
        assert run is not None
        return attachment.memory.recall_each(run.query, roles, run_id=run.id, budget=attachment.budget)

    def _note(self, role: str) -> str:
        """Give the text for a role; from then on it counts as delivered."""
        with self._course.lock:
            if role not in self._notes and self._recalls.asked(role) and not self._course.over:
                self._notes[role] = ""
                found = self._recalls.answer(role)
                if found is None:  # the recall failed: nobody waits for it again in this run
                    self._attachment.rest()
                elif self._course.run is not None:
                    with self._course.guard("recall"):
                        self._course.run.note_recall(found)
                        self._notes[role] = found.text
            return self._notes.get(role, "")
