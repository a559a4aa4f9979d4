"""How a graph is called: with which settings, in which thread, and whether to begin or to go on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.pregel import Pregel
from langgraph.types import Command

__all__ = ["full", "goes_on", "thread_of"]


def full(app: Pregel[Any, Any, Any, Any], config: RunnableConfig | None) -> RunnableConfig:
    """Give the settings of a call together with those of the graph."""
    return merge_configs(app.config, config)


def thread_of(config: RunnableConfig) -> Hashable | None:
    """Give the thread (LangGraph's word for a conversation) of a call; None if it has none."""
    found = (config.get("configurable") or {}).get("thread_id")
    return found if isinstance(found, Hashable) else None


def goes_on(given: Any) -> bool:
    """Tell whether a graph is asked to go on, rather than to begin."""
    return given is None or (isinstance(given, Command) and given.resume is not None)
