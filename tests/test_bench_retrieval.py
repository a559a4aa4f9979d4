"""The bench of recall: its tables say of a small made-up set what can be checked by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from bench import embedders, retrieval
from bench.report import Bench

from gmem.embed import resolve
from gmem.errors import MissingExtra


def rows() -> list[dict[str, Any]]:
    made = []
    for number in range(24):
        verb, kind = (("clean", "cleaning"), ("heat", "heating"))[number % 2]
        thing = ("mug", "plate", "apple", "egg", "cup", "pan")[number // 4]
        query = f"{verb} some {thing} and put it in the {('safe', 'sink')[number // 2 % 2]}"
        acts = [f"take {thing} 1 from desk 2", f"{verb} {thing} 1 with it", f"put {thing} 1 in safe 1"]
        made.append({
            "id": f"run-{number}", "task": query, "group": kind, "source": "made", "outcome": "success",
            "steps": [{"action": act, "observation": f"Done: {act}."} for act in acts],
        })  # fmt: skip
    return made


def test_tables_of_recall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_embedders", dict)
    (tmp_path / "traces").mkdir()
    with gzip.open(tmp_path / "traces" / "gmemory_alfworld.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows())
    tables = retrieval.measure(Bench(tmp_path, data=tmp_path))
    measured = [table for table in tables if table.rows]
    assert [t.title for t in measured] == ["ALFWorld, equal texts left out", "ALFWorld, equal texts kept"]
    assert sum("no traces/" in t.title for t in tables) == 4
    for table in measured:
        found = {row[0]: row[1:] for row in table.rows}
        assert found["gmem, words only"][0] == 1.0
        assert all(0 <= f <= 1 for row in found.values() for f in row if isinstance(f, float))
        assert {f"gmem, words only, few seeds, hop {hops}" for hops in (0, 1, 2)} < set(found)


def test_without_data_it_says_so(tmp_path: Path) -> None:
    (table,) = retrieval.measure(Bench(tmp_path))
    assert not table.rows and "GMEM_BENCH_DATA" in table.notes[0]


@pytest.mark.parametrize("acted", [True, False])
def test_what_was_learned_of_words_does_not_drown_vectors(tmp_path: Path, acted: bool) -> None:
    """Other words than the stored ones, or an object of other work, are found no worse than by cosine and words."""
    try:
        static = resolve("static")
    except MissingExtra:
        pytest.skip("wordllama is not installed")
    quality = embedders.quality(embedders.recall_rankings(static, tmp_path, acted=acted))
    assert quality.same_words == 1.0
    assert quality.other_words >= (0.8 if acted else 0.7)
    assert quality.misleading_object >= 0.9
