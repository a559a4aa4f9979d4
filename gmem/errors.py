"""Every error that gmem raises on purpose.

    GmemError
    |-- InvalidInput (ValueError)        a value given to a call cannot be stored or used
    |   `-- UnknownId (KeyError)         no task, insight or utterance of this team has that id
    |-- RunClosed (RuntimeError)         a run was written to after it ended
    |-- WriteConflict (RuntimeError)     somebody else changed the same insight or task in between
    |-- BudgetExceeded (RuntimeError)    a hard cap on model calls or tokens was reached
    |-- ModelError (RuntimeError)        the chat model failed, or never answered in the agreed form
    |-- EmbeddingError (RuntimeError)    the embedding model gave something that is not an embedding
    |-- EmbedderMismatch (ValueError)    the memory has another embedding model, or was moved to one
    |-- MissingExtra (ImportError)       an optional package is not installed
    `-- StoreError (RuntimeError)
        |-- StoreNotFound (FileNotFoundError)   there is no memory at that place
        |-- NotAMemory (ValueError)             the file or database belongs to another program
        |-- StoreVersionError (ValueError)      a newer gmem wrote the memory, or the server is too old
        |-- StoreCorrupt                        the file is damaged
        |-- StoreFull (OSError)                 the disk or quota is full
        |-- StoreBusy (TimeoutError)            another process held the memory for too long
        |-- StoreRefused (PermissionError)      the server does not accept the user and password
        |-- StoreUnreachable (ConnectionError)  no server answers at that address
        `-- StoreClosed                         the memory was used after close()

A message says what was wrong, with which value, and what to do about it.  Nothing is changed by a
call that raises one of these, save that nobody knows of a write that a server did not answer: the same
run or batch may be written again, and is stored once.
"""

from __future__ import annotations

__all__ = [
    "BudgetExceeded",
    "EmbedderMismatch",
    "EmbeddingError",
    "GmemError",
    "InvalidInput",
    "MissingExtra",
    "ModelError",
    "NotAMemory",
    "RunClosed",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreNotFound",
    "StoreRefused",
    "StoreUnreachable",
    "StoreVersionError",
    "UnknownId",
    "WriteConflict",
]


class GmemError(Exception):
    """Base class of every error that gmem raises on purpose."""


class InvalidInput(GmemError, ValueError):
    """A value given to a call cannot be stored or used."""


class UnknownId(InvalidInput, KeyError):
    """No task, insight or utterance of this team has that id."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


class RunClosed(GmemError, RuntimeError):
    """A run was written to, or closed again, after it had ended."""


class WriteConflict(GmemError, RuntimeError):
    """Somebody else changed the same insight, what is said about it, or the same task since it was read."""


class BudgetExceeded(GmemError, RuntimeError):
    """A hard cap on model calls or tokens was reached."""


class ModelError(GmemError, RuntimeError):
    """The chat model failed, or never answered in the agreed form."""


class EmbeddingError(GmemError, RuntimeError):
    """The embedding model gave something that is not an embedding."""


class EmbedderMismatch(GmemError, ValueError):
    """The memory was made with, or was moved to, another embedding model than the one given."""


class MissingExtra(GmemError, ImportError):
    """An optional package is needed for this and is not installed."""


class StoreError(GmemError, RuntimeError):
    """The store could not be opened, read or written."""


class StoreNotFound(StoreError, FileNotFoundError):
    """There is no memory at that place, and it was not to be created."""


class NotAMemory(StoreError, ValueError):
    """The file or database exists and belongs to another program."""


class StoreVersionError(StoreError, ValueError):
    """The memory was written by a newer version of gmem, or the server is too old for it."""


class StoreCorrupt(StoreError):
    """The memory is damaged, or only a part of it is there; nothing was read from the damaged part."""


class StoreFull(StoreError, OSError):
    """The disk, or the space allowed to this process, is full."""


class StoreBusy(StoreError, TimeoutError):
    """Another process held the memory for longer than the time-out."""


class StoreRefused(StoreError, PermissionError):
    """The server does not accept the user and password, or does not let that user do this."""


class StoreUnreachable(StoreError, ConnectionError):
    """No server answers at that address, or not for the moment."""


class StoreClosed(StoreError):
    """The memory was used after close()."""
