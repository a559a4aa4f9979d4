"""Where in a graph the code at hand runs."""

from __future__ import annotations

from langchain_core.runnables.config import var_child_runnable_config

__all__ = ["place"]


def place() -> str:
    """Give LangGraph's name for the turn that the code at hand belongs to; '' outside of any."""
    config = var_child_runnable_config.get()
    return str((config or {}).get("metadata", {}).get("langgraph_checkpoint_ns", ""))
