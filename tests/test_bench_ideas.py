"""The bench of ideas: its rows say of a small made-up set what can be checked by hand."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench import helped, ideas
from bench.helped import ALONE, HELPS, LEARNED, TWICE, Asked
from bench.report import Bench
from test_bench_retrieval import rows


def test_tables_of_ideas(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    with gzip.open(tmp_path / "traces" / "gmemory_alfworld.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows())
    refined, used = ideas.measure(Bench(tmp_path, data=tmp_path, quick=True))
    assert {row[0] for row in refined.rows} == {"ALFWorld, equal texts left out", "ALFWorld, equal texts kept"}
    by_form = {row[1]: row[2:] for row in refined.rows[:6]}
    assert list(by_form)[:2] == [ALONE, TWICE]
    assert by_form[ALONE][0] == 1.0 and by_form[ALONE][3:] == [None, None, None]
    assert by_form[TWICE][3] == "+0.000 (+0.000 to +0.000)"
    assert len(used.rows) == 2 * (1 + len(LEARNED) * len(HELPS))
    assert all(0 <= figure <= 1 for table in (refined, used) for row in table.rows for figure in row[2:5])  # type: ignore[operator]


def asked(text: str, scores: list[float], right: int) -> Asked:
    """Make a question among three runs, none of which is like another."""
    of = np.array(scores)
    seen = np.stack([of, of, of, np.zeros(3)], axis=1)
    return Asked(text, np.arange(3), np.arange(3) == right, {ALONE: of, TWICE: of}, np.eye(3), seen)


@pytest.mark.parametrize("form", LEARNED[1:])
def test_what_always_helped_moves_up_and_not_by_its_own_text(form: str) -> None:
    past = [asked(f"past {number}", [0.5, 0.49, 0.1], right=1) for number in range(20)]
    uses = [helped._Use(q, at, np.arange(3), q.right.astype(float)) for at, q in enumerate(past)]
    new, alike = asked("new", [0.5, 0.49, 0.1], right=1), np.ones(20)
    assert helped.precision(new, helped._ranked(new, form, [], alike)) == [0.0, 1 / 3, 1 / 5]
    assert helped.precision(new, helped._ranked(new, form, uses, alike))[0] == 1.0
    own = [replace(use, asked=replace(use.asked, text="new")) for use in uses]
    assert helped.precision(new, helped._ranked(new, form, own, alike))[0] == 0.0


def test_weights_go_to_what_helped_and_stay_where_they_were_without_cause() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((400, 4)) - 0.5
    talk = (seen[:, 3] > 0).astype(float)
    weights = helped._weights(seen, talk)
    assert weights[3] > 2 * abs(weights[1:3]).max() > 0
    assert helped._weights(seen[:1], talk[:1])[0] == pytest.approx(helped.SURE, abs=0.1)


def test_without_data_it_says_so(tmp_path: Path) -> None:
    for table in ideas.measure(Bench(tmp_path)):
        assert not table.rows and "GMEM_BENCH_DATA" in table.notes[0]
