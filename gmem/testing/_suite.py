"""What the parts of the conformance suite share."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

import pytest

from gmem.graphs.base import Batch, GraphStore
from gmem.testing.examples import EXAMPLE_MODEL, example_batch

__all__ = ["HOSTILE_NAMES", "Suite", "now_and_later", "teach"]

HOSTILE_NAMES = (
    "a", "ab", "A", "a ", " a", "a b", "a.b", "a/b", "a:b", "a|b", "a,b", "%", "_", "a%", "a_", "*", "?", "[a]",
    "'a'", '"a"', "a';--", "a\\", "a\n", "a\tb", "a\x1fb", "1", "12", "01", "1.0", "null", "true",
    unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "e", "ß", "ss", "İ", "i",
    "\U0001d482", "\uff41", "\u200ba", "\u202ea", "😀", "名前", "{}", "$a", "`a`", "x" * 200,
)  # fmt: skip
"""Names that a careless store takes for one another, or for something else than a name."""


class Suite:
    """A backend's author gives these two."""

    @pytest.fixture
    def store(self) -> Iterator[GraphStore]:
        """Give a fresh empty store, and close it afterwards."""
        raise NotImplementedError("a conformance class needs a `store` fixture that yields a fresh empty store")

    def reopen(self, store: GraphStore) -> GraphStore:
        """Close a store and open the same one again, as another process would."""
        raise NotImplementedError("a conformance class needs `reopen(self, store)`")

    @pytest.fixture
    def again(self, store: GraphStore) -> Iterator[Callable[[], GraphStore]]:
        """Open the store again, as often as a test wants, and close what was opened."""
        opened = [store]

        def reopen() -> GraphStore:
            opened.append(self.reopen(opened[-1]))
            return opened[-1]

        yield reopen
        opened[-1].close()


def now_and_later(store: GraphStore, again: Callable[[], GraphStore]) -> Iterator[GraphStore]:
    """Give a store as it is, and then as it is after closing and opening it again."""
    yield store
    yield again()


def teach(store: GraphStore, ids: Sequence[str], team: str = "team", *, vectors: bool = False) -> None:
    """Write one example task a name, each with its own write."""
    if vectors:
        store.set_embedder(EXAMPLE_MODEL)
    batches: list[Batch] = [
        example_batch(id, team, vector=number if vectors else None) for number, id in enumerate(ids)
    ]
    assert store.write(batches) == [True] * len(ids)
