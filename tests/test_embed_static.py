"""The static model, as it is installed: what it computes, in threads, in forks and without a network."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from embed_fixture import python, static, with_static
from hypothesis import given, settings
from hypothesis import strategies as st

from gmem.embed import Model, resolve


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
