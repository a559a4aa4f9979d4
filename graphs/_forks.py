"""Tells open files of a fork, so that none of their connections or locks is torn in two by it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["ForkAware", "watch"]


class ForkAware(Protocol):
    """Something that must let go before the process is copied."""

    def before_fork(self) -> None: ...

    def after_fork_in_parent(self) -> None: ...

    def after_fork_in_child(self) -> None: ...


_watched: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_held: list[ForkAware] = []
"""Those that let go for the fork that is under way."""
_one_fork = threading.Lock()
"""Held while a fork is under way: two threads may fork at once."""


def watch(thing: ForkAware) -> None:
    """Tell it of every fork from now on, for as long as it lives."""
    _watched.add(thing)


def _before() -> None:
    _one_fork.acquire()
    for thing in list(_watched):
        _held.append(thing)
        thing.before_fork()


def _in_parent() -> None:
    while _held:
        _held.pop().after_fork_in_parent()
    _one_fork.release()


def _in_child() -> None:
    global _one_fork
    _one_fork = threading.Lock()
    while _held:
        _held.pop().after_fork_in_child()


if hasattr(os, "register_at_fork"):  # where there is no fork there is nothing to prepare for
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
