"""Embedders: the real static model, LangChain objects, and what is refused with which words."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from gmem.embed import WORDS_ONLY, Embedder, Model, resolve
from gmem.errors import EmbedderMismatch, EmbeddingError, GmemError, InvalidInput, MissingExtra

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


@pytest.fixture(params=["sync", "async"])
def documents(request: pytest.FixtureRequest) -> Callable[[Embedder, Sequence[str]], Any]:
    """`Embedder.documents`, and the same through its async twin."""
    if request.param == "sync":
        return lambda embedder, texts: embedder.documents(texts)
    return lambda embedder, texts: asyncio.run(embedder.adocuments(texts))


# --- the static model ---------------------------------------------------------------------------


@with_static
@pytest.mark.parametrize(("spec", "dimension"), [("static", 256), ("static:128", 128), ("static:64", 64)])
def test_static_model_tells_meanings_apart(spec: str, dimension: int) -> None:
    embedder = resolve(spec)
    assert embedder is not None
    assert embedder.model == Model(f"static:{dimension}", dimension)
    rows = embedder.documents(["Boil some water", "Bring water to the boil", "Translate the letter into French"])
    assert rows.shape == (3, dimension)
    assert rows.dtype == np.float32
    query = embedder.query("Heat the water until it boils")
    assert query.shape == (dimension,)
    assert (rows @ query).argmin() == 2
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2


@with_static
def test_static_rows_equal_what_wordllama_itself_computes() -> None:
    texts = [
        "Boil some water",
        "x",
        "  spaces  around ",
        "naïve café 東京 😀",
        "line\nbreak\ttab",
        "z" * 3000,
    ]
    printed = python(
        f"""
from pathlib import Path
import numpy as np, wordllama
from gmem.embed import resolve
theirs = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
print(np.abs(theirs.embed({texts!r}, norm=True) - resolve("static").documents({texts!r})).max())
"""
    )
    assert float(printed) < 1e-6


@with_static
def test_zero_rows_and_no_rows() -> None:
    rows = static().documents(["", "water", " \n\t", "\x00"])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([0, 1, 0, 1])
    assert static().documents([]).shape == (0, 256)
    assert not static().query("").any()
    assert not asyncio.run(static().aquery("  ")).any()


@with_static
def test_a_long_text_is_embedded_whole() -> None:
    sentence = "Carry the red box from the workshop to the greenhouse. "
    tail = "Translate the letter into French. "
    whole = static().query(sentence * 9000)
    assert whole @ static().query(sentence) > 0.99
    mixed = static().query(sentence * 9000 + tail * 9000)  # about 800 KB; the second half counts too
    assert mixed @ static().query(tail) > whole @ static().query(tail) + 0.2


texts_of_all_kinds = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=6)


@with_static
@settings(max_examples=100, deadline=None)
@given(texts_of_all_kinds)
def test_a_batch_is_the_same_as_one_by_one(texts: list[str]) -> None:
    rows = static().documents(texts)
    assert rows.shape == (len(texts), 256)
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(row, static().query(text))
        length = float(np.linalg.norm(row))
        assert length == pytest.approx(1, abs=1e-5) if text.strip() else length == 0


@with_static
def test_threads_share_one_model() -> None:
    fresh = resolve("static")
    assert fresh is not None
    texts = [f"Move crate {number} to the loading bay" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:  # the first of them loads it
        answers = list(pool.map(fresh.documents, [texts] * 16))
    expected = static().documents(texts)
    assert all(np.array_equal(rows, expected) for rows in answers)


@with_static
def test_every_process_computes_the_same() -> None:
    code = """
import hashlib
from gmem.embed import resolve
rows = resolve("static").documents([f"Move crate {n} to the loading bay" for n in range(50)])
print(hashlib.sha256(rows.tobytes()).hexdigest())
"""
    assert python(code, env={"PYTHONHASHSEED": "1"}) == python(code, env={"PYTHONHASHSEED": "2"})


@with_static
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes can be forked")
def test_a_forked_process_goes_on_without_a_word() -> None:
    printed = python("""
import os
from gmem.embed import resolve
embedder = resolve("static")
before = embedder.documents(["Boil some water"] * 500)
child = os.fork()
if child == 0:
    os._exit(0 if (embedder.documents(["Boil some water"] * 500) == before).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert printed == "0\n"


@with_static
def test_no_network_and_no_touch_of_the_logging() -> None:
    printed = python("""
import logging
def watch(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(event)
sys.addaudithook(watch)
def state():
    root = logging.root
    return logging.basicConfig, list(root.handlers), root.level, logging.getLogger("gmem").handlers
before = state()
from gmem.embed import resolve
resolve("auto").documents(["Boil some water"])
print(before == state(), before[1])
""")
    assert printed == "True []\n"


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


FAKE = DeterministicFakeEmbedding(size=16)
FAKE_NAME = "langchain:DeterministicFakeEmbedding"


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


# --- LangChain objects --------------------------------------------------------------------------


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


@with_static
def test_damaged_weights_are_named(tmp_path: Path) -> None:
    """A wordllama whose files are not what they should be: here a package of that name that has none."""
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").write_text("")
    printed = python(f"""
sys.path.insert(0, {str(tmp_path)!r})
from gmem.embed import resolve
from gmem.errors import EmbeddingError
try:
    resolve("static").query("water")
except EmbeddingError as error:
    print(error)
""")
    assert "could not read its model from wordllama" in printed
    assert "pip install --force-reinstall --no-deps wordllama" in printed
