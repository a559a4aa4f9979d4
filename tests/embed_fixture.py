"""What the tests of embedders share: the static model where it is installed, scripted models, a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from gmem.embed import Embedder, resolve
from gmem.errors import MissingExtra

__all__ = ["FAKE", "FAKE_NAME", "Scripted", "python", "static", "with_static"]

ROOT = Path(__file__).parent.parent

try:
    STATIC = resolve("static")
except MissingExtra:  # a platform without wordllama's wheels, or the words-only run of the suite
    STATIC = None

with_static = pytest.mark.skipif(STATIC is None, reason="wordllama is not installed: pip install '.[static]'")

# Makes named packages impossible to import in a process of its own, as if they were not installed.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


FAKE = DeterministicFakeEmbedding(size=16)
FAKE_NAME = "langchain:DeterministicFakeEmbedding"


def python(code: str, *, without: Sequence[str] = (), env: dict[str, str] | None = None) -> str:
    """Run code in a fresh interpreter and give back what it printed; its stderr must stay empty."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK.format(names=tuple(without)) + code],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def static() -> Embedder:
    """Give the static model, in tests that have it."""
    assert STATIC is not None
    return STATIC


class Scripted(Embeddings):
    """An embedding model that answers with what a function makes of the texts."""

    def __init__(self, answer: Callable[[list[str]], Any]) -> None:
        self.answer = answer
        self.calls: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        return self.answer(texts)  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
