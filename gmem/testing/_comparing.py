"""Conformance: tasks that are compared with a query, some of them as among all, and what their texts say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gmem.graphs.base import Batch, GraphStore
from gmem.model import Deeds
from gmem.testing._reading import household
from gmem.testing._suite import Suite, now_and_later
from gmem.testing.examples import EXAMPLE_MODEL, example_task, example_vector
from gmem.text import terms, words

__all__ = ["ComparingTests"]


class ComparingTests(Suite):
    """What is compared."""

    def test_some_tasks_are_compared_as_they_are_among_all(
        self, store: GraphStore, again: Callable[[], GraphStore]
    ) -> None:
        store.set_embedder(EXAMPLE_MODEL)
        said = [Deeds(said={"safe": 2}), Deeds(said={"umbrella": 1, "hot": 3}), Deeds()]
        tasks = [replace(household(number), trust=1 - number / 100) for number in range(36)]
        more = [example_task(id, query=id, deeds=deeds) for id, deeds in zip("xyz", said, strict=True)]
        vectors = {task.id: example_vector(number) for number, task in enumerate(tasks) if number % 3}
        store.write([Batch("team", "all", tasks=[*tasks, *more], vectors=vectors)])
        asked = "put a hot umbrella in safe"
        for opened in now_and_later(store, again):
            for vector in (None, example_vector(4)):
                whole, few = (
                    opened.candidates("team", terms(asked), vector, words=words(asked), among=among)
                    for among in (None, ["t7", "y", "nobody", "t4", "z", "t7", "t30", "x"])
                )
                assert sorted(few.ids) == ["t30", "t4", "t7", "x", "y", "z"]
                at = [whole.rows[id] for id in few.ids]
                assert [few.rows[id] for id in few.ids] == list(range(6))
                assert few.work is not None and whole.work is not None
                assert few.talk.any()
                for one, other in (
                    (few.dense, whole.dense), (few.lexical, whole.lexical), (few.talk, whole.talk),
                    (few.work.alike, whole.work.alike), (few.outcomes, whole.outcomes), (few.trust, whole.trust),
                ):  # fmt: skip
                    assert one.dtype == other.dtype
                    assert one == pytest.approx(other[at], abs=1e-6)
                assert few.work.share == whole.work.share and few.has_dense == whole.has_dense
            assert not opened.candidates("team", terms(asked), None, words=words(asked), among=[]).ids

    def test_the_words_of_tasks_are_given_in_order(self, store: GraphStore, again: Callable[[], GraphStore]) -> None:
        long = " ".join(f"word{number}" for number in range(200))
        store.write(
            [Batch("team", "op", tasks=[example_task("a", query="Boil the EGG, boil!"), example_task("b", query=long)])]
        )
        for opened in now_and_later(store, again):
            found = opened.wordings("team", ["b", "nobody", "a"])
            assert list(found) == ["b", "a"]
            assert found == GraphStore.wordings(opened, "team", ["b", "nobody", "a"])
            assert found["a"] == ["boil", "the", "egg", "boil"] and 10 < len(found["b"]) < 200
