"""Attaching a memory to an AgentChat team, or to an agent that works alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autogen_agentchat.agents import MessageFilterAgent
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.teams import BaseGroupChat

from gmem.adapters._attachment import Attachment, Inject
from gmem.adapters._said import Utterances
from gmem.adapters._verdict import Judge
from gmem.adapters._watch import Watch
from gmem.adapters.autogen._hold import Hold, hold, parts
from gmem.adapters.autogen._scribe import Scribe
from gmem.errors import InvalidInput
from gmem.memory import Memory

__all__ = ["TeamAttachment", "attach"]


class TeamAttachment(Attachment):
    """A team that is attached to a memory; made by `attach`.

    Attributes:
        team: The team, or the agent that works alone.
        agents: Names of the agents, those of inner teams included; to each its role, if it was given one.
        managers: Names of the managers, and who is in the team of each.
        scribes: The runs that are going on.
        asked: What the team was asked last.
        starting: Done as soon as the run that was begun last has started; None before the first.
    """

    def __init__(self, team: Team | ChatAgent, memory: Memory, options: Mapping[str, Any]) -> None:
        super().__init__(memory, source="autogen", **options)
        self.team = team
        self.options = dict(options)
        self.agents: dict[str, str] = {}
        self.managers: dict[str, frozenset[str]] = {}
        self.scribes: dict[Watch, Scribe] = {}
        self.asked = ""
        self.starting: asyncio.Future[None] | None = None
        self._holds: list[Hold] = []
        self._check_roles()
        for part in _all_of(team):
            self._holds.append(hold(part, self, root=part is team))
            if isinstance(part, ChatAgent) and not isinstance(part, MessageFilterAgent):
                self.agents[part.name] = self.roles.get(part.name, "")
            if isinstance(part, BaseGroupChat):
                name = part._group_chat_manager_name
                within = frozenset(p.name for p in _all_of(part) if isinstance(p, ChatAgent))
                self.managers[name] = self.managers.get(name, frozenset()) | within

    def told(self) -> list[str]:
        """Give the agents that can be told something."""
        return [h.target.name for h in self._holds if isinstance(h.target, ChatAgent) and h.target.name in self.agents
                and h.slot(self.inject) is not None]  # fmt: skip

    def detach(self) -> None:
        """Put the team back as it was; runs that wait are kept.  Doing it twice is harmless."""
        for held in reversed(self._holds):
            held.release(self)
        self._holds.clear()
        super().detach()

    def _check_roles(self) -> None:
        """Refuse a role of somebody who is not in the team; `utterances` may name whom it likes."""
        parts = list(_all_of(self.team))
        names = {p.name for p in parts if isinstance(p, ChatAgent)}
        names |= {p._group_chat_manager_name for p in parts if isinstance(p, BaseGroupChat)}
        strange = sorted(set(self.roles) - names)
        if strange and self.utterances is None:
            raise InvalidInput(
                f"roles names {', '.join(map(repr, strange))}, who is not in the team; "
                f"in it are {', '.join(sorted(names))}"
            )

    def __enter__(self) -> TeamAttachment:
        return self


def attach(
    team: Team | ChatAgent, memory: Memory, *, judge: Judge | None = None, roles: Mapping[str, str] | None = None,
    budget: int = 1500, inject: Inject = "system", errors_fail: bool = False, patience: float = 5.0,
    spool: Path | None = None, utterances: Utterances | None = None,
) -> TeamAttachment:  # fmt: skip
    """Attach a memory to a team of any kind, or to an agent that works alone; the program stays as it is.

    Each task that the team is given by `run` or `run_stream` becomes a task in the memory.  Attaching
    once more takes the place of what was attached before.

    Args:
        team: An AgentChat team or agent; inner teams and those that are used as tools belong to it.
        memory: What it is to remember with.
        judge: Says from the `TaskResult` what came of a run: True or False, a figure in [0, 1], or a
            `Verdict`; it may be awaitable, and is called in a thread if it is not.  Without one nobody knows
            until `memory.feedback` is called.
        roles: Role of each agent, by name; an agent's own name by default.
        budget: Largest price of what one role is given, in tokens.
        inject: "system" puts what is recalled at the end of the system message, "user" into a user
            message behind it.  An agent of your own that has neither a system message nor a chat model
            is given nothing, or with "user" a first message from "gmem".
        errors_fail: Whether a run that an exception ended counts as failed; else its outcome is unknown.
        patience: Seconds that a run waits for the memory, for the recalls of its agents and at its end to be
            stored, before it goes on without; a run that is not stored by then is stored later.
        spool: Folder in which runs wait while the store is away.
        utterances: Says what utterances a chat message is, each a `Said` or a plain tuple (agent, text,
            kind, reward, to); None for one message by who sent it.

    Returns:
        The attachment: a context manager, whose `detach()` puts everything back.

    Raises:
        InvalidInput: An option makes no sense, or `roles` names somebody who is not in the team;
            nothing was attached.
    """
    if not isinstance(team, (Team, ChatAgent)):
        raise InvalidInput(
            f"team must be a team or an agent of AutoGen AgentChat, not {type(team).__name__} ({team!r})"
        )
    options = {
        "judge": judge, "roles": roles, "budget": budget, "inject": inject, "errors_fail": errors_fail,
        "patience": patience, "spool": spool, "utterances": utterances,
    }  # fmt: skip
    before = attached_to(team)
    if before is not None and before.memory is memory and before.options == options:
        return before
    made = TeamAttachment(team, memory, options)
    if before is not None:
        before.detach()
    return made


def attached_to(team: Any) -> TeamAttachment | None:
    """Give the attachment that a team or a lone agent has of its own."""
    held = getattr(vars(team).get("run_stream"), "__gmem__", None)
    return held.root if isinstance(held, Hold) and held.target is team else None


def _all_of(target: Any) -> Iterator[Any]:
    """Go through a team and all that it is made of, each once."""
    seen: set[int] = set()
    left = [target]
    while left:
        one = left.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left.extend(parts(one))
