"""From what a user wrote to an `Embedder`, held against what the memory was made with."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from gmem.embed._embedder import WORDS_ONLY, Embedder, EmbeddingsLike
from gmem.embed._models import (
    STATIC_DEFAULT,
    STATIC_DIMENSIONS,
    ProviderEmbeddings,
    SentenceTransformerEmbeddings,
    StaticEmbeddings,
    static_installed,
)
from gmem.errors import EmbedderMismatch, InvalidInput, MissingExtra
from gmem.model import Model

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

_SENTENCE_TRANSFORMERS = "sentence-transformers/"
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]+:\S+")
_log = logging.getLogger("gmem")
_said = False
_said_lock = Lock()


def resolve(
    spec: str | Embeddings | EmbeddingsLike | Embedder | None,
    recorded: Model | None = None,
    *,
    name: str | None = None,
) -> Embedder | None:
    """Find the embedder that a user asked for.

    No model is loaded, and none is called, before its first vector is needed.  So where only the
    model itself can tell its dimension, a difference to `recorded` shows at the first vector, as the
    same error.

    Args:
        spec: ``"auto"``: the recorded model, else static if it is installed, else words only.
            ``"none"`` or None: words only.  ``"static"`` (the same as ``"static:256"``),
            ``"static:128"`` or ``"static:64"``: wordllama.  ``"sentence-transformers/<model or folder>"``.
            ``"<provider>:<model>"``: LangChain's ``init_embeddings``.  Or a LangChain ``Embeddings``
            object, or an `Embedder`.
        recorded: The model that the memory was made with; `WORDS_ONLY` if it was made without one on
            purpose; None if nothing is recorded yet.
        name: The name to record for an object instead of its class and model.

    Returns:
        The embedder, or None for recall by words and graph only.

    Raises:
        EmbedderMismatch: `recorded` is another model, or cannot be had here.
        MissingExtra: A package that `spec` needs is not installed.
        InvalidInput: `spec` is none of the above.
    """
    if recorded is not None and recorded.name == "static":
        recorded = Model(f"static:{recorded.dimension}", recorded.dimension)
    if spec == "auto":
        return _default() if recorded is None else _as_recorded(recorded)
    embedder = _explicit(spec, name)
    if recorded is None:
        return embedder
    return _held_against(embedder, recorded)


def _explicit(spec: str | Embeddings | EmbeddingsLike | Embedder | None, name: str | None) -> Embedder | None:
    if spec is None or spec == "none":
        return None
    if isinstance(spec, str):
        return _named(spec)
    if isinstance(spec, Embedder):
        return spec if name is None else Embedder(spec.source, name, spec.known_dimension)
    return Embedder(spec, name)


def _named(spec: str) -> Embedder:
    head, _, tail = spec.partition(":")
    if head == "static" and (spec == "static" or tail in map(str, STATIC_DIMENSIONS)):
        dimension = int(tail or STATIC_DEFAULT)
        return Embedder(StaticEmbeddings(dimension), f"static:{dimension}", dimension)
    if spec.startswith(_SENTENCE_TRANSFORMERS) and spec != _SENTENCE_TRANSFORMERS:
        model = spec[len(_SENTENCE_TRANSFORMERS) :]
        if Path(model).is_dir():  # recorded in full, so that it is found from any working folder
            model = Path(model).resolve().as_posix()
        return Embedder(SentenceTransformerEmbeddings(model), _SENTENCE_TRANSFORMERS + model)
    if head not in ("langchain", "static") and _PROVIDER.fullmatch(spec):
        return Embedder(ProviderEmbeddings(spec), spec)
    raise InvalidInput(
        f"Unknown embedder {spec!r}. Use 'auto', 'none', 'static' (or 'static:64', 'static:128'), "
        "'sentence-transformers/<model or folder>', '<provider>:<model>' such as "
        "'openai:text-embedding-3-small', or pass a LangChain Embeddings object."
    )


def _default() -> Embedder | None:
    embedder = _named("static") if static_installed() else None
    if embedder is None:
        _say_once(
            "embedder 'auto': no dense model is installed; recall runs on words and the graph. "
            "For static embeddings (no torch, no download): pip install 'gmem-engine[static]'"
        )
    else:
        _say_once(f"embedder 'auto': {embedder.name}, {embedder.known_dimension} numbers each")
    return embedder


def _say_once(message: str) -> None:
    global _said
    with _said_lock:
        said, _said = _said, True
    if not said:
        _log.info(message)


def _as_recorded(recorded: Model) -> Embedder | None:
    if recorded == WORDS_ONLY:
        return None
    try:
        embedder = _named(recorded.name)
    except MissingExtra as error:
        raise EmbedderMismatch(
            f"This memory holds vectors of {_told(recorded)}, and that model is not installed here. {error}. "
            "Or move the memory to another model with `gmem reembed`."
        ) from error
    except InvalidInput as error:
        raise EmbedderMismatch(
            f"This memory holds vectors of {_told(recorded)}, which was given as an object and cannot be "
            "found by its name. Open the memory with that object as its embedder, or move it to another "
            "model with `gmem reembed`."
        ) from error
    return _held_against(embedder, recorded)


def _held_against(embedder: Embedder | None, recorded: Model) -> Embedder | None:
    if embedder is None and recorded == WORDS_ONLY:
        return None
    known = embedder.known_dimension if embedder else None
    if embedder is None or embedder.name != recorded.name or known not in (None, recorded.dimension):
        held = "no vectors (words only)" if recorded == WORDS_ONLY else f"vectors of {_told(recorded)}"
        asked = "words only" if embedder is None else embedder.name
        if known is not None:
            asked += f" ({known} numbers each)"
        raise EmbedderMismatch(
            f"This memory holds {held}, but the embedder asked for is {asked}. "
            "Open it with embedder='auto' to use the recorded one, or move the memory to the other with "
            "`gmem reembed`."
        )
    if known is None:
        return Embedder(embedder.source, embedder.name, recorded.dimension, recorded=True)
    return embedder


def _told(model: Model) -> str:
    return f"{model.name} ({model.dimension} numbers each)"
