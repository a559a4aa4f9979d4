"""Fixtures: every engine test runs blocking and awaited, with words only and with static embeddings."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from asked import asked
from cli_fixture import cli, place  # noqa: F401
from contrasts import first, lost, mined, seen, won  # noqa: F401

import gmem
from gmem.embed import Embedder

hypothesis.settings.register_profile("gmem", deadline=None)  # speed is measured in tests/bench, never here
hypothesis.settings.load_profile("gmem")

WORDS_ONLY = bool(asked("WORDS_ONLY"))

if WORDS_ONLY:
    # As if the package were not installed, for everything in this process.
    sys.modules["wordllama"] = None  # type: ignore[assignment]


@pytest.fixture(params=["none"] if WORDS_ONLY else ["none", "static"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[gmem.Memory]:
    """An empty memory of team `blue`."""
    with gmem.Memory(tmp_path / "team.gmem", team="blue", embedder=request.param) as opened:
        yield opened


@pytest.fixture
def words(tmp_path: Path) -> Iterator[gmem.Memory]:
    """An empty memory without embeddings, where they make no difference."""
    with gmem.Memory(tmp_path / "words.gmem", team="blue", embedder="none") as opened:
        yield opened


Do = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    """Call a method of an object: `do(memory, "recall", "...")` runs `recall` or awaits `arecall`."""

    def sync(target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(target, name)(*args, **kwargs)

    def awaited(target: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        async def go() -> Any:
            return await getattr(target, f"a{name}")(*args, **kwargs)

        return asyncio.run(go())

    return sync if request.param == "sync" else awaited


@pytest.fixture(params=["sync", "async"])
def documents(request: pytest.FixtureRequest) -> Callable[[Embedder, Sequence[str]], Any]:
    """`Embedder.documents`, and the same through its async twin."""
    if request.param == "sync":
        return lambda embedder, texts: embedder.documents(texts)
    return lambda embedder, texts: asyncio.run(embedder.adocuments(texts))
