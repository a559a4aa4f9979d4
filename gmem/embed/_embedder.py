"""`Embedder`: any LangChain embedding model, with its output checked and scaled to unit length."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gmem.errors import EmbedderMismatch, EmbeddingError, GmemError, InvalidInput
from gmem.model import Model

#: Texts handed to the model in one call.  LangChain answers with lists of Python floats, some 32 bytes
#: for each number, so that 100,000 texts at once would take most of a gigabyte.
_SLICE = 1024

_PROBE = "How long is a vector of this model?"


#: What a store records when it was made without a dense model on purpose.
WORDS_ONLY = Model("none", 0)


@runtime_checkable
class EmbeddingsLike(Protocol):
    """The four methods of LangChain's ``Embeddings``, named here so that LangChain need not be imported."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, in their order."""

    def embed_query(self, text: str) -> list[float]:
        """The vector of a search text."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, awaited."""

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, awaited."""


class Embedder:
    """Unit vectors from any LangChain ``Embeddings``.

    Every row has length 1, or is all zeros: for a text without any visible character, which is never
    sent to the model, and where the model itself gives zeros.  A zero row is similar to nothing.
    Safe to use from several threads as far as the model is.

    Args:
        source: The LangChain object.
        name: The name to record; by default ``langchain:<class>[:<model>]``.
        dimension: Length of the vectors where it is known; otherwise one short text is embedded the
            first time that somebody needs it.
        recorded: True if `dimension` comes from a store and the model has yet to prove it.
    """

    def __init__(
        self,
        source: EmbeddingsLike,
        name: str | None = None,
        dimension: int | None = None,
        *,
        recorded: bool = False,
    ) -> None:
        if not isinstance(source, EmbeddingsLike) or isinstance(source, type):
            raise InvalidInput(
                f"An embedder must have the methods of LangChain's Embeddings (embed_documents, embed_query "
                f"and their async forms); got {source!r}. Pass an object, not a class."
            )
        self.source = source
        self.name = name or name_of(source)
        self._dimension = dimension
        self._proved = not recorded
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Embedder({self.name!r}, dimension={self._dimension})"

    @property
    def known_dimension(self) -> int | None:
        """Length of the vectors, or None while nobody has asked the model."""
        return self._dimension

    @property
    def dimension(self) -> int:
        """Length of the vectors.

        Raises:
            EmbeddingError: The model had to be asked and failed.
        """
        return self._dimension or len(self.query(_PROBE))

    @property
    def model(self) -> Model:
        """Name and dimension, for the store to record."""
        return Model(self.name, self.dimension)

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts to be found later.

        Args:
            texts: Any number of texts; none is allowed, and so are empty ones.

        Returns:
            float32 array (n, d) in the order of `texts`; rows are unit length or zero.

        Raises:
            EmbeddingError: The model failed, or gave something else than n finite vectors of one length.
            EmbedderMismatch: The first vectors are not as long as those in the memory.
        """
        parts = []
        for part in _slices(texts):
            raw = self._call(self.source.embed_documents, part, "embed_documents", len(part))
            parts.append(self._checked(raw, len(part)))
        return _spread(texts, parts, self.dimension)

    async def adocuments(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Like `documents`, awaiting the model."""
        parts = []
        for part in _slices(texts):
            raw = await self._acall(self.source.aembed_documents, part, "aembed_documents", len(part))
            parts.append(self._checked(raw, len(part)))
        return _spread(texts, parts, await self._adimension())

    def query(self, text: str) -> NDArray[np.float32]:
        """Embed a text to search with.

        Args:
            text: The text; may be empty.

        Returns:
            float32 array (d,), unit length or zero.

        Raises:
            EmbeddingError: The model failed, or gave something else than one finite vector.
            EmbedderMismatch: The first vector is not as long as those in the memory.
        """
        if not text.strip():
            return np.zeros(self.dimension, np.float32)
        raw = self._call(self.source.embed_query, text, "embed_query", 1)
        return self._checked([raw], 1).reshape(-1)

    async def aquery(self, text: str) -> NDArray[np.float32]:
        """Like `query`, awaiting the model."""
        if not text.strip():
            return np.zeros(await self._adimension(), np.float32)
        raw = await self._acall(self.source.aembed_query, text, "aembed_query", 1)
        return self._checked([raw], 1).reshape(-1)

    async def _adimension(self) -> int:
        return self._dimension or len(await self.aquery(_PROBE))

    def _call(self, method: Any, argument: Any, what: str, count: int) -> Any:
        try:
            return method(argument)
        except Exception as error:
            raise self._failed(what, count, error) from error

    async def _acall(self, method: Any, argument: Any, what: str, count: int) -> Any:
        try:
            return await method(argument)
        except Exception as error:
            raise self._failed(what, count, error) from error

    def _failed(self, what: str, count: int, error: Exception) -> Exception:
        if isinstance(error, GmemError):  # from gmem's own models, and already told in full
            return error
        return EmbeddingError(
            # Without the words of the cause, which is chained: they may quote the texts, or a key.
            f"The embedding model {self.name} failed in {what} with {count} text(s): {type(error).__name__}; "
            "check its name, its key and the network, or move the memory to another model with `gmem reembed`"
        )

    def _checked(self, raw: Any, count: int) -> NDArray[np.float32]:
        """Rows of the model's answer as unit vectors (count, d), or the error that names what is wrong."""
        try:
            rows = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise EmbeddingError(
                f"The embedding model {self.name} gave something that is not {count} vector(s) of numbers of "
                f"one length: {error}"
            ) from error
        if rows.ndim != 2 or rows.shape[0] != count or rows.shape[1] == 0:
            raise EmbeddingError(
                f"The embedding model {self.name} was given {count} text(s) and answered with an array of "
                f"shape {rows.shape}; expected ({count}, dimension)."
            )
        finite = np.isfinite(rows)
        if not finite.all():
            row = int(np.flatnonzero(~finite.all(axis=1))[0])
            value = rows[row][~finite[row]][0]
            raise EmbeddingError(
                f"The embedding model {self.name} gave {value} in the vector of text {row} of {count}; "
                "only finite numbers can be compared."
            )
        self._agree(int(rows.shape[1]))
        return _unit(rows)

    def _agree(self, width: int) -> None:
        with self._lock:
            if self._dimension is None:
                self._dimension = width
            elif self._dimension != width and not self._proved:
                raise EmbedderMismatch(
                    f"The memory holds vectors of {self.name} with {self._dimension} numbers each, and the "
                    f"model now gives {width}. Open it with the model as it was, or move the memory with "
                    "`gmem reembed`."
                )
            elif self._dimension != width:
                raise EmbeddingError(
                    f"The embedding model {self.name} gave vectors of {width} numbers after vectors of "
                    f"{self._dimension}."
                )
            self._proved = True


def name_of(source: object) -> str:
    """Name of a LangChain object: its class, and its model where it tells one.

    Args:
        source: The object.

    Returns:
        ``langchain:<class>`` or ``langchain:<class>:<model>``.
    """
    name = f"langchain:{type(source).__name__}"
    for attribute in ("model", "model_name", "model_id"):
        value = getattr(source, attribute, None)
        if isinstance(value, str) and value:
            return f"{name}:{value}"
    return name


def _slices(texts: Sequence[str]) -> list[list[str]]:
    """The texts that have something to embed, in lists of at most `_SLICE`."""
    visible = [text for text in texts if text.strip()]
    return [visible[start : start + _SLICE] for start in range(0, len(visible), _SLICE)]


def _spread(texts: Sequence[str], parts: list[NDArray[np.float32]], dimension: int) -> NDArray[np.float32]:
    """Put the rows of the visible texts back among zero rows for the blank ones."""
    out = np.zeros((len(texts), dimension), np.float32)
    if parts:
        out[[bool(text.strip()) for text in texts]] = np.concatenate(parts)
    return out


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale rows (n, d) to length 1; zero rows stay zero.

    Each row is first divided by its largest number, or the squares of huge ones would overflow and
    those of tiny ones vanish.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit.astype(np.float32)
