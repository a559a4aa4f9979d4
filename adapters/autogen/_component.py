"""gmem as an AutoGen `Memory`, for those who prefer `AssistantAgent(..., memory=[GMemory(...)])`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autogen_core import CancellationToken, Component
from autogen_core.memory import Memory as AutoGenMemory
from autogen_core.memory import MemoryContent, MemoryMimeType, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import LLMMessage, SystemMessage, UserMessage
from pydantic import BaseModel

from gmem.adapters._patches import Patches
from gmem.adapters._texts import storable, text_of
from gmem.adapters._threads import awaited, begun
from gmem.adapters._watch import current
from gmem.memory import Memory

__all__ = ["GMemory", "GMemoryConfig"]

log = logging.getLogger("gmem")
SOURCE = "autogen-memory"
"""Where a task comes from that was put in by `GMemory.add`."""


class GMemoryConfig(BaseModel):
    """What a `GMemory` is made from again."""

    location: str
    team: str = "default"
    role: str = ""
    budget: int = 1500
    patience: float = 5.0


class GMemory(AutoGenMemory, Component[GMemoryConfig]):
    """What the memory of a team knows for one role, in the context of one agent.

    It only recalls; a team is recorded and learned from by `attach`.  What is recalled stands before the
    history that the model is shown and is not part of it: it does not grow with turns and tasks, it is
    not saved with the agent's state, and no `MemoryQueryEvent` is made of it.

    Args:
        memory: The memory, or where to open it.
        role: Role or agent to deliver to; '' for everybody.
        team: The namespace, if the memory is opened here.
        budget: Largest price of what is recalled, in tokens.
        patience: Seconds that the agent waits for a recall, before it goes on without.

    Raises:
        InvalidInput: An argument makes no sense.
        StoreError: The memory cannot be opened.
    """

    component_config_schema = GMemoryConfig
    component_provider_override = "gmem.adapters.autogen.GMemory"
    component_type = "memory"

    def __init__(
        self, memory: Memory | str | Path, *, role: str = "", team: str = "default", budget: int = 1500,
        patience: float = 5.0,
    ) -> None:  # fmt: skip
        self._own = not isinstance(memory, Memory)
        self._memory = memory if isinstance(memory, Memory) else Memory(memory, team=team)
        self._role = role
        self._budget = budget
        self._patience = patience
        self._query = ""
        self._known = ""
        self._note = ""
        self._patches = Patches()
        self._contexts: list[ChatCompletionContext] = []

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Have what is recalled for the task at hand stand before the history; called by the agent each turn."""
        try:
            await self._update(model_context)
        except Exception as error:
            log.warning("gmem: recall failed (%s: %s); the agent goes on without it", type(error).__name__, error)
            self._note = ""
        return UpdateContextResult(memories=MemoryQueryResult(results=[]))

    async def query(
        self, query: str | MemoryContent, cancellation_token: CancellationToken | None = None, **kwargs: Any
    ) -> MemoryQueryResult:
        """Recall for a query; one text, or none if nothing in memory is like it."""
        text = await self._recalled(_text(query))
        found = [MemoryContent(content=text, mime_type=MemoryMimeType.TEXT)] if text else []
        return MemoryQueryResult(results=found)

    async def add(self, content: MemoryContent, cancellation_token: CancellationToken | None = None) -> None:
        """Keep a text as a task of its own; nothing is learned from it unless its outcome is told.

        Args:
            content: The text; its metadata may name the `task` that it is about, and the `outcome` of it.
            cancellation_token: Not used.
        """
        facts = content.metadata or {}
        text = _text(content)
        async with self._memory.task(storable(facts.get("task", text), 4096), source=SOURCE) as run:
            run.say(self._role or "user", storable(text))
            outcome = facts.get("outcome")
            run.judge(outcome if outcome in ("resolved", "failed") else "unknown")

    async def clear(self) -> None:
        """Remove what was put in by `add`; what the team learned from its runs stays (see `Memory.forget`)."""
        await self._memory.aforget(source=SOURCE)
        self._query = self._known = self._note = ""

    async def close(self) -> None:
        """Put the agent's context back as it was, and close the memory if it was opened here."""
        self._patches.undo()
        self._contexts.clear()
        if self._own:
            await self._memory.aclose()

    async def _update(self, model_context: ChatCompletionContext) -> None:
        watch = current.get()
        if watch is not None and not watch.ended and watch.attachment.memory is self._memory:
            self._note = ""  # the team is attached, so its agents are told already
            return
        if not any(known is model_context for known in self._contexts):
            self._contexts.append(model_context)
            self._patches.set(model_context, "get_messages", self._shown(model_context.get_messages))
        self._note = ""  # so that the history is seen as it is
        query = _asked(await model_context.get_messages())
        if query != self._query:
            self._query = query
            self._known = await self._recalled(query) if query else ""
        self._note = self._known

    async def _recalled(self, query: str) -> str:
        # Wholly in a thread: the part of a recall between two questions to the store takes its time, too.
        ask, text = self._memory.recall, storable(query, 4096)
        found = begun(lambda: ask(text, self._role, budget=self._budget), "gmem-recall")
        return (await awaited(found, self._patience)).text

    def _shown(self, get_messages: Callable[[], Any]) -> Callable[[], Any]:
        async def noted() -> list[LLMMessage]:
            messages: list[LLMMessage] = await get_messages()
            return [SystemMessage(content=self._note), *messages] if self._note else messages

        return noted

    def _to_config(self) -> GMemoryConfig:
        return GMemoryConfig(
            location=self._memory.location, team=self._memory.team, role=self._role, budget=self._budget,
            patience=self._patience,
        )  # fmt: skip

    @classmethod
    def _from_config(cls, config: GMemoryConfig) -> GMemory:
        return cls(
            config.location, role=config.role, team=config.team, budget=config.budget, patience=config.patience
        )  # fmt: skip


def _asked(messages: list[LLMMessage]) -> str:
    """Find the task: what the user said last, or else what was said first."""
    said = [m for m in messages if isinstance(m, UserMessage)]
    chosen = next((m for m in reversed(said) if m.source == "user"), said[0] if said else None)
    return text_of(chosen.content) if chosen is not None else ""


def _text(content: str | MemoryContent) -> str:
    return content if isinstance(content, str) else text_of(content.content)
