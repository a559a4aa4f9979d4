"""Which embedder is taken: by name, by what a memory was made with, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from embed_fixture import FAKE, FAKE_NAME, Scripted, python, with_static
from langchain_core.embeddings import DeterministicFakeEmbedding

from gmem.embed import WORDS_ONLY, Embedder, Model, resolve
from gmem.errors import EmbedderMismatch, InvalidInput

# --- what "auto" takes --------------------------------------------------------------------------

AUTO = """
import logging
records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append(f"{record.levelname} {record.getMessage()}")
logging.getLogger("gmem").addHandler(Keep())
logging.getLogger("gmem").setLevel(logging.INFO)
from gmem.embed import resolve
print(resolve("auto"), resolve("auto"))
print("|".join(records))
"""


@with_static
def test_auto_takes_static_and_says_so_once() -> None:
    taken, said = python(AUTO).splitlines()
    assert taken == "Embedder('static:256', dimension=256) Embedder('static:256', dimension=256)"
    assert said == "INFO embedder 'auto': static:256, 256 numbers each"


@pytest.mark.parametrize("missing", ["wordllama", "tokenizers", "safetensors"])
def test_auto_without_the_extra_is_words_only_and_says_so_once(missing: str) -> None:
    taken, said = python(AUTO, without=[missing]).splitlines()
    assert taken == "None None"
    assert said.startswith("INFO embedder 'auto': no dense model is installed; recall runs on words")
    assert "pip install 'gmem-engine[static]'" in said
    assert "|" not in said


def test_the_module_imports_nothing_heavy() -> None:
    heavy = ("wordllama", "tokenizers", "safetensors", "torch", "transformers", "langchain", "langchain_core")
    code = f"import gmem.embed\nprint([name for name in {heavy!r} if name in sys.modules])"
    assert python(code) == "[]\n"


@pytest.mark.parametrize(
    ("spec", "package", "mend"),
    [
        ("static", "wordllama", "pip install 'gmem-engine[static]'"),
        (
            "sentence-transformers/all-MiniLM-L6-v2",
            "sentence_transformers",
            "pip install 'gmem-engine[sentence-transformers]'",
        ),
        ("openai:text-embedding-3-small", "langchain", "pip install langchain langchain-openai"),
        ("google_genai:embed-1", "langchain", "pip install langchain langchain-google-genai"),
    ],
)
def test_a_missing_package_is_named_with_its_mend(spec: str, package: str, mend: str) -> None:
    """Asked for by name it is MissingExtra; recorded in a memory it is EmbedderMismatch; both tell."""
    printed = python(
        f"""
from gmem.embed import Model, resolve
from gmem.errors import EmbedderMismatch, MissingExtra
try:
    resolve({spec!r})
except MissingExtra as error:
    print(error)
try:
    resolve("auto", Model({spec!r}, 256))
except EmbedderMismatch as error:
    print(error)
""",
        without=[package],
    )
    explicit, recorded = printed.splitlines()
    assert mend in explicit
    assert mend in recorded
    assert "gmem reembed" in recorded


# --- strings and records ------------------------------------------------------------------------


def test_none_is_words_only() -> None:
    assert resolve(None) is None
    assert resolve("none") is None
    assert resolve("none", WORDS_ONLY) is None
    assert resolve("auto", WORDS_ONLY) is None


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "auto ",
        "Static",
        "static:",
        "static:100",
        "static:512",
        "sentence-transformers/",
        "gpt",
        "openai:",
        "langchain:X",
    ],
)
def test_an_unknown_string_is_refused_with_the_forms_that_work(spec: str) -> None:
    with pytest.raises(InvalidInput, match=r"Unknown embedder .*'static'.*'openai:text-embedding-3-small'"):
        resolve(spec)


@pytest.mark.parametrize("thing", [42, b"static", object(), DeterministicFakeEmbedding, lambda text: [0.0]])
def test_an_object_without_the_methods_is_refused(thing: Any) -> None:
    with pytest.raises(InvalidInput, match="methods of LangChain's Embeddings"):
        resolve(thing)


@with_static
def test_a_recorded_model_is_taken_again() -> None:
    for recorded in (Model("static:256", 256), Model("static", 256), Model("static:64", 64)):
        for spec in ("auto", recorded.name):
            embedder = resolve(spec, recorded)
            assert embedder is not None
            assert embedder.known_dimension == recorded.dimension


@pytest.mark.parametrize(
    ("spec", "recorded", "words"),
    [
        (FAKE, Model("static:256", 256), ["static:256 (256 numbers each)", FAKE_NAME]),
        (FAKE, WORDS_ONLY, ["words only", FAKE_NAME]),
        (Embedder(FAKE, "mine"), Model("yours", 16), ["yours (16 numbers each)", "mine"]),
        (Embedder(FAKE, "mine", 16), Model("mine", 8), ["mine (8 numbers each)", "mine (16 numbers each)"]),
        (None, Model("yours", 16), ["yours", "words only"]),
        ("none", Model("yours", 16), ["yours", "words only"]),
        ("auto", Model("yours", 16), ["yours (16 numbers each)", "given as an object"]),
        ("auto", Model(FAKE_NAME, 16), [FAKE_NAME, "given as an object"]),
        pytest.param("static", Model("static:64", 64), ["static:64", "static:256"], marks=with_static),
        pytest.param("static:64", Model("static", 256), ["static:256", "static:64"], marks=with_static),
        pytest.param("auto", Model("static:256", 64), ["(64 numbers each)", "(256 numbers"], marks=with_static),
    ],
)
def test_another_model_than_the_recorded_is_refused_with_the_mend(spec: Any, recorded: Model, words: list[str]) -> None:
    with pytest.raises(EmbedderMismatch) as caught:
        resolve(spec, recorded)
    for word in [*words, "gmem reembed"]:
        assert word in str(caught.value)


def test_a_recorded_dimension_is_believed_until_the_model_proves_another(
    documents: Callable[[Embedder, Sequence[str]], Any],
) -> None:
    model = Scripted(lambda texts: [[1.0, 2.0]] * len(texts))
    good = resolve(model, Model("langchain:Scripted", 2))
    assert good is not None
    assert good.dimension == 2
    assert model.calls == []  # opening a memory calls no model
    assert documents(good, ["a"]).shape == (1, 2)
    changed = resolve(model, Model("langchain:Scripted", 3))
    assert changed is not None
    with pytest.raises(EmbedderMismatch, match=r"langchain:Scripted with 3 numbers .* gives 2.*gmem reembed"):
        documents(changed, ["a"])
    assert good.dimension == 2
