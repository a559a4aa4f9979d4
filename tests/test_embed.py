"""`Embedder`: LangChain objects as they are, and what they give that is no embedding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from embed_fixture import FAKE, FAKE_NAME, Scripted
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding

from gmem.embed import Embedder, Model, resolve
from gmem.errors import EmbeddingError, GmemError


def test_a_langchain_object_is_taken_as_it_is(documents: Callable[[Embedder, Sequence[str]], Any]) -> None:
    embedder = resolve(FAKE)
    assert embedder is not None
    assert embedder.known_dimension is None
    texts = ["one", "two", "", "three"]
    rows = documents(embedder, texts)
    assert embedder.model == Model(FAKE_NAME, 16)
    for row, text in zip(rows, texts, strict=True):
        raw = np.array(FAKE.embed_query(text)) if text else np.zeros(16)
        assert row == pytest.approx(raw / (np.linalg.norm(raw) or 1), abs=1e-6)
        assert np.array_equal(row, embedder.query(text))
        assert np.array_equal(row, asyncio.run(embedder.aquery(text)))


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_the_dimension_is_asked_for_once(documents: Callable[[Embedder, Sequence[str]], Any], texts: list[str]) -> None:
    model = Scripted(lambda texts: [[3.0, 4.0]] * len(texts))
    embedder = Embedder(model)
    assert documents(embedder, texts).shape == (len(texts), 2)
    assert embedder.dimension == 2
    assert model.calls == [1]


def test_names_of_objects() -> None:
    class Hosted(DeterministicFakeEmbedding):
        model: str = "embed-9"

    assert Embedder(FAKE).name == FAKE_NAME
    assert Embedder(Hosted(size=2)).name == "langchain:Hosted:embed-9"
    named = resolve(FAKE, name="house model")
    assert named is not None
    assert named.name == "house model"
    again = resolve(named, Model("house model", 16))
    assert again is not None
    assert again.query("water") == pytest.approx(named.query("water"))
    renamed = resolve(named, name="other")
    assert renamed is not None
    assert renamed.model == Model("other", 16)


def test_many_texts_go_to_the_model_in_parts(documents: Callable[[Embedder, Sequence[str]], Any]) -> None:
    model = Scripted(lambda texts: [[float(text), 1.0] for text in texts])
    rows = documents(Embedder(model), [str(number) if number % 5 else "" for number in range(3000)])
    assert model.calls == [1024, 1024, 352]
    assert not rows[::5].any()
    numbers = np.arange(3000)[np.arange(3000) % 5 > 0]
    assert rows[numbers, 0] / rows[numbers, 1] == pytest.approx(numbers, rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_rows_are_unit_or_zero_whatever_the_model_gives(vectors: list[list[float]]) -> None:
    rows = Embedder(Scripted(lambda texts: vectors)).documents(["x"] * len(vectors))
    for row, vector in zip(rows, vectors, strict=True):
        length = float(np.linalg.norm(row.astype(np.float64)))
        assert length == pytest.approx(1, abs=1e-6) if any(vector) else length == 0
        assert (np.sign(row) == np.sign(vector))[np.abs(row) > 0].all()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda texts: [[1.0, 2.0]], r"given 2 text\(s\) and answered .*shape \(1, 2\)"),
        (lambda texts: [[1.0, 2.0]] * 3, r"shape \(3, 2\)"),
        (lambda texts: [1.0, 2.0], r"shape \(2,\)"),
        (lambda texts: [[], []], r"shape \(2, 0\)"),
        (lambda texts: [], r"shape \(0,\)"),
        pytest.param(lambda texts: [[1.0, 2.0], [1.0]], "not 2 vector", id="ragged"),
        pytest.param(lambda texts: [["a", "b"], ["c", "d"]], "not 2 vector", id="strings"),
        pytest.param(lambda texts: {"data": [[1.0]]}, "not 2 vector", id="mapping"),
        (lambda texts: None, r"shape \(\)"),
        (lambda texts: [[1.0, 2.0], [3.0, float("nan")]], "gave nan in the vector of text 1 of 2"),
        (lambda texts: [[float("-inf"), 2.0], [3.0, 4.0]], "gave -inf in the vector of text 0 of 2"),
        (lambda texts: 1 / 0, "failed in a?embed_documents with 2 .*ZeroDivisionError; check its name"),
    ],
)
def test_what_is_not_an_embedding_is_refused_by_name(
    documents: Callable[[Embedder, Sequence[str]], Any], answer: Callable[[list[str]], Any], words: str
) -> None:
    with pytest.raises(EmbeddingError, match=words) as caught:
        documents(Embedder(Scripted(answer), "odd"), ["one", "two"])
    assert "embedding model odd" in str(caught.value)


def test_a_model_that_changes_its_dimension_is_refused(
    documents: Callable[[Embedder, Sequence[str]], Any],
) -> None:
    embedder = Embedder(Scripted(lambda texts: [[1.0] * len(texts[0])] * len(texts)), "odd")
    assert documents(embedder, ["abc"]).shape == (1, 3)
    with pytest.raises(EmbeddingError, match="odd gave vectors of 2 numbers after vectors of 3"):
        documents(embedder, ["ab"])
    assert documents(embedder, ["abc"]).shape == (1, 3)


def test_a_bad_answer_to_a_query_is_refused() -> None:
    embedder = Embedder(Scripted(lambda texts: [[float("nan")]]), "odd")
    with pytest.raises(EmbeddingError, match="odd gave nan"):
        embedder.query("one")
    with pytest.raises(EmbeddingError, match="odd gave nan"):
        asyncio.run(embedder.aquery("one"))
    with pytest.raises(GmemError, match="odd gave nan"):
        _ = embedder.dimension
