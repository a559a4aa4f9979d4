"""The bench runs, at tiny sizes, and gives figures that can be; how fast anything is, is not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench import stores

from gmem.graphs import EmbeddedStore

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_bench_measures_and_writes_json(tmp_path: Path) -> None:
    out, folder = tmp_path / "figures.json", tmp_path / "out"
    topics = ["recall", "writes", "size", "opening", "importing"]
    subprocess.run(
        [sys.executable, "-m", "tests.bench", *topics, "--tasks", "60", "--runs", "16", "--json", str(out),
         "--out", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=200,
    )  # fmt: skip
    found = json.loads(out.read_text(encoding="utf-8"))
    tables = {table["title"]: table["rows"] for topic in found["topics"] for table in topic["tables"]}
    assert [topic["topic"] for topic in found["topics"]] == topics
    assert {p.stem.partition("-")[0] for p in folder.glob("*.json")} == set(topics)
    assert {p.stem.partition("-")[0] for p in folder.glob("*.png")} >= {"recall", "writes", "size"}
    (recall,) = tables["Recall, without embedding the query"]
    assert recall["tasks"] == 60 and 0 < recall["recall p50 ms"] <= recall["p95 ms"]
    assert [row["tasks before"] for row in tables["Whole runs through Memory.task, learned from"]] == [0, 60]
    assert all(0 < row["KiB a task"] < 12 for row in tables["Bytes on disk"])
    assert {row["package"] for row in tables["Import of the package"]} == {"gmem", "numpy", "networkx"}


@pytest.mark.slow
def test_bench_measures_lessons_cost_and_growth(tmp_path: Path) -> None:
    """Without the real traces, so the lessons say that they are missing, and the rest is made up."""
    out = tmp_path / "figures.json"
    environment = {name: value for name, value in os.environ.items() if name != "GMEM_BENCH_DATA"}
    subprocess.run(
        [
            sys.executable, "-m", "tests.bench", "lessons", "blame", "cost", "growth", "outcomes", "drift",
            "--tasks", "60", "--runs", "16", "--json", str(out),
        ],
        cwd=ROOT, check=True, capture_output=True, timeout=300, env=environment,
    )  # fmt: skip
    found = json.loads(out.read_text(encoding="utf-8"))
    tables = {table["title"]: table for topic in found["topics"] for table in topic["tables"]}
    assert all("--data" in t["notes"][0] for title, t in tables.items() if title.startswith("Lessons on unseen"))
    assert "not measured" in tables["Blame of failed runs, against what people marked"]["notes"][0]
    calls = {row["what"]: row["calls"] for row in tables["Calls of the chat model"]["rows"]}
    assert calls["gmem with a model, a learned task"] == 1 and calls["gmem with a model, a recall"] == 0
    (row,) = tables["Learning as the memory grows"]["rows"]
    assert row["tasks before"] == 60 and row["cpu ms a run"] > 0
    plain, doubted, clean, alarmed = tables["Wrong outcomes that recalls pass on"]["rows"]
    assert plain["unsaid of failed"] == plain["wrong as failed"] >= 0
    assert doubted["unsaid of failed"] <= doubted["wrong as failed"] <= 1
    assert clean["wrong as solved"] == alarmed["wrong as failed"] == plain["alarms"] == 0
    plain, fading, *_ = tables["A world that stays, and one that changes"]["rows"]
    assert plain["ranking"] == "gmem" and fading["ranking"].startswith("half-life of")
    assert all(0 <= row["second half, changed world"] <= 1 for row in (plain, fading))
    on, off = tables["Share of recalls that carry junk, by sort"]["rows"]
    assert on["talkative source"] <= off["talkative source"] and on["copied recall"] <= off["copied recall"]


@pytest.mark.slow
def test_bench_measures_a_store(tmp_path: Path) -> None:
    found = stores.figures(lambda: EmbeddedStore(tmp_path / "team.gmem"), [60])
    assert found["recall p50 ms at 60"] <= found["recall p95 ms at 60"] and all(value > 0 for value in found.values())


def test_bench_names_its_topics() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "weather"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "'weather'" in done.stderr and "recall" in done.stderr
