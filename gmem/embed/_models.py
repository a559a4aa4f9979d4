"""The models that gmem opens itself, each loaded at its first vector and shaped like LangChain's."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmem.errors import EmbeddingError, MissingExtra

#: wordllama's wheel carries one matrix, of 256 numbers a token, trained so that its first 64 or 128
#: are a smaller model of their own.
STATIC_DIMENSIONS = (64, 128, 256)
STATIC_DEFAULT = 256
_STATIC_PACKAGES = ("wordllama", "tokenizers", "safetensors")
_STATIC_WEIGHTS = Path("weights", f"l2_supercat_{STATIC_DEFAULT}.safetensors")
_STATIC_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")

#: The tokenizer looks at a text as one word; in pieces of this many characters its time stays
#: proportional to the length of the text.
_PIECE = 8192


def installed(*packages: str) -> bool:
    """Whether top-level packages can be imported, without importing any."""
    try:
        return all(find_spec(package) is not None for package in packages)
    except (ImportError, ValueError):  # how import blockers and half-removed packages show themselves
        return False


def static_installed() -> bool:
    """Whether everything that ``"static"`` needs is there."""
    return installed(*_STATIC_PACKAGES)


class _Local(ABC):
    """A model in this process: the four LangChain methods over one `_vectors`."""

    @abstractmethod
    def _vectors(self, texts: list[str], *, query: bool) -> NDArray[np.float32]:
        """Vectors (n, d) of `texts`, in their order, of any length."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts, in their order; not yet unit length."""
        vectors: list[list[float]] = self._vectors(texts, query=False).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Vector of a search text; not yet unit length."""
        vector: list[float] = self._vectors([text], query=True)[0].tolist()
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, in a thread."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, in a thread."""
        return await asyncio.to_thread(self.embed_query, text)


class StaticEmbeddings(_Local):
    """Mean of fixed token vectors, from the files in wordllama's wheel.

    Only the files are used: importing wordllama would call ``logging.basicConfig`` for the whole
    program, and its own pooling pads a batch to the longest text in it, which a text of some megabytes
    turns into gigabytes.  Texts are tokenized one at a time, in the calling thread: that is fast enough,
    and starts no thread pool that a later fork would inherit.

    Args:
        dimension: One of `STATIC_DIMENSIONS`.

    Raises:
        MissingExtra: A package of the extra is not installed.
    """

    def __init__(self, dimension: int = STATIC_DEFAULT) -> None:
        if not static_installed():
            raise MissingExtra(
                "The static embedder needs wordllama, which is not installed: "
                "pip install 'gmem-engine[static]'. (Its wheels exist for Linux x86_64, macOS and Windows; "
                "elsewhere use another embedder, or embedder='none' for recall by words and graph.)"
            )
        self._dimension = dimension
        self._loaded: tuple[Any, NDArray[np.float32]] | None = None
        self._lock = Lock()

    def _load(self) -> tuple[Any, NDArray[np.float32]]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _read_static(self._dimension)
            return self._loaded

    def _vectors(self, texts: list[str], *, query: bool) -> NDArray[np.float32]:
        tokenizer, matrix = self._load()
        out = np.zeros((len(texts), matrix.shape[1]), np.float32)
        for row, text in enumerate(texts):
            for start in range(0, len(text), _PIECE):
                ids = tokenizer.encode(text[start : start + _PIECE], add_special_tokens=False).ids
                # The mean differs from the sum only in length, and the length is set to 1 afterwards.
                out[row] += matrix[ids].sum(axis=0, dtype=np.float32)
        return out


def _read_static(dimension: int) -> tuple[Any, NDArray[np.float32]]:
    """Tokenizer and token matrix (tokens, dimension), as contiguous float32."""
    spec = find_spec("wordllama")
    folders = list(spec.submodule_search_locations or []) if spec else []
    try:
        root = Path(folders[0])
        tokenizer = import_module("tokenizers").Tokenizer.from_file(str(root / _STATIC_TOKENIZER))
        with import_module("safetensors").safe_open(str(root / _STATIC_WEIGHTS), framework="np") as weights:
            matrix = weights.get_tensor("embedding.weight")
        if matrix.ndim != 2 or matrix.shape[1] < dimension or matrix.shape[0] < tokenizer.get_vocab_size():
            raise ValueError(f"token matrix of shape {matrix.shape}, {tokenizer.get_vocab_size()} tokens")
    except Exception as error:  # the tokenizer's and safetensors' errors have no common base class
        raise EmbeddingError(
            f"The static embedder could not read its model from wordllama in {folders}: {error}. Install it "
            "again with: pip install --force-reinstall --no-deps wordllama"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, np.ascontiguousarray(matrix[:, :dimension], dtype=np.float32)


class SentenceTransformerEmbeddings(_Local):
    """Any model of sentence-transformers.

    One call at a time: the tokenizers behind it refuse to be used by two threads at once.

    Args:
        model: Its name on the Hugging Face hub, or a folder.

    Raises:
        MissingExtra: sentence-transformers is not installed.
    """

    def __init__(self, model: str) -> None:
        if not installed("sentence_transformers"):
            raise MissingExtra(
                f"The embedder sentence-transformers/{model} needs a package that is not installed: "
                "pip install 'gmem-engine[sentence-transformers]'"
            )
        self._name = model
        self._loaded: Any = None
        self._lock = Lock()

    def _vectors(self, texts: list[str], *, query: bool) -> NDArray[np.float32]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            # Since version 5 a model may have one prompt for queries and another for documents.
            side = "encode_query" if query else "encode_document"
            encode = getattr(self._loaded, side, self._loaded.encode)
            vectors: NDArray[np.float32] = encode(texts, show_progress_bar=False, convert_to_numpy=True)
            return vectors

    def _load(self) -> Any:
        try:
            package = import_module("sentence_transformers")
            with _no_loading_bar():
                return package.SentenceTransformer(self._name)
        except Exception as error:  # the hub, torch and transformers each raise what they like
            raise EmbeddingError(
                f"sentence-transformers could not load {self._name!r}: {type(error).__name__}: {error}. "
                "Check the name or path; without a network the model must be a folder or already in Hugging "
                "Face's cache."
            ) from error


@contextmanager
def _no_loading_bar() -> Iterator[None]:
    """Keep transformers from drawing its progress bar for weights that come from the disk."""
    log = import_module("transformers.utils.logging")
    shown = bool(log.is_progress_bar_enabled())
    if shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()


class ProviderEmbeddings:
    """A model of an integration package of LangChain, made by its ``init_embeddings``.

    Args:
        spec: ``<provider>:<model>``, for instance ``"openai:text-embedding-3-small"``.

    Raises:
        MissingExtra: LangChain is not installed.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        if not installed("langchain"):
            raise MissingExtra(self._missing())
        self._loaded: Any = None
        self._lock = Lock()

    def _missing(self) -> str:
        package = f"langchain-{self._spec.partition(':')[0].replace('_', '-')}"
        return (
            f"The embedder {self._spec} needs LangChain and its integration package: "
            f"pip install langchain {package}. You can also pass an Embeddings object of that package."
        )

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                try:
                    self._loaded = import_module("langchain.embeddings").init_embeddings(self._spec)
                except ImportError as error:
                    raise MissingExtra(f"{self._missing()} ({error})") from error
            return self._loaded

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts, in their order."""
        vectors: list[list[float]] = self._model().embed_documents(texts)
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Vector of a search text."""
        vector: list[float] = self._model().embed_query(text)
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, awaited."""
        model = await asyncio.to_thread(self._model)
        vectors: list[list[float]] = await model.aembed_documents(texts)
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, awaited."""
        model = await asyncio.to_thread(self._model)
        vector: list[float] = await model.aembed_query(text)
        return vector
