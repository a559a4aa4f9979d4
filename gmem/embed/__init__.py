"""Embedding models behind one small interface; nothing heavy is imported before the first vector.

`resolve` turns what a user wrote (``"auto"``, ``"static"``, ``"openai:..."``, a LangChain object) into
an `Embedder`, or into None where recall runs on words and the graph alone.
"""

from gmem.embed._embedder import WORDS_ONLY, Embedder, EmbeddingsLike
from gmem.embed._resolve import resolve
from gmem.model import Model

__all__ = ["WORDS_ONLY", "Embedder", "EmbeddingsLike", "Model", "resolve"]
