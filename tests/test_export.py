"""Export: everything that was recorded comes back by an import."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traces import RAW, SMALL, TRACES, with_data, write

import gmem
from gmem import export
from gmem.errors import InvalidInput
from gmem.importers import import_files

# --- export ---------------------------------------------------------------------------------------


@pytest.fixture
def again(tmp_path: Path) -> Iterator[gmem.Memory]:
    """A second, empty memory."""
    with gmem.Memory(tmp_path / "again.gmem", team="blue", embedder="none") as memory:
        yield memory


def carried(words: gmem.Memory, again: gmem.Memory, path: Path) -> tuple[bytes, bytes]:
    """Export one memory, import it into the other, export that; give both exports."""
    export.export_file(words.store, words.team, path)
    report = import_files(again, [path])
    assert (report.refused, report.added) == ([], len(words.tasks()))
    second = path.with_name("second.jsonl")
    export.export_file(again.store, again.team, second)
    return path.read_bytes(), second.read_bytes()


def test_everything_recorded_survives_export_and_import(words: gmem.Memory, again: gmem.Memory, tmp_path: Path) -> None:
    with words.task("Wash the leek", agents={"ann": "planner", "eve": "idle"}) as run:
        run.say("ann", "Scrub the leek under cold running water for one minute.", to=["bob", "carl"])
        run.resolve(1)
    with words.task(
        "Wash the leek again",
        context="a kitchen",
        agents={"ann": "planner"},
        trust=0.5,
        source="live",
        metadata={"k": "v"},
    ) as run:
        help = run.recall()
        assert help.solved
        first = run.say("ann", "Scrub the leek under cold running water for one minute.")
        run.say("bob", "Who am I?", inspired_by=())
        run.say("bob", "The cook.", role="cook", inspired_by=[first, 1])
        run.act("bob", "scrub leek", "clean", reward=-0.1)
        run.tool("bob", "clock", "now", "")
        run.handoff("bob", "ann")
        run.think("ann", "done")
        run.spent(tokens=17, calls=2)
        run.fail("too slow", score=0.3, feedback="late", blame=("bob", 2, "dawdled"))
    with pytest.raises(RuntimeError, match="out of gas"), words.task("Boil the leek") as run:
        run.say("ann", "Light the stove.")
        raise RuntimeError("out of gas")
    first_export, second_export = carried(words, again, tmp_path / "t.jsonl")
    assert first_export == second_export
    for mine, theirs in zip(words.tasks(), again.tasks(), strict=True):
        assert mine == theirs
        assert words.interaction(mine.id) == again.interaction(theirs.id)
    assert [u.echo for u in again.interaction(words.tasks()[1].id).utterances][:2] == [True, False]


@with_data
def test_real_traces_survive_export_and_import(words: gmem.Memory, again: gmem.Memory, tmp_path: Path) -> None:
    import_files(words, [TRACES[2], RAW])
    first, second = carried(words, again, tmp_path / "t.jsonl.gz")
    assert gzip.decompress(first) == second


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30).filter(
    str.strip
)
figures = st.none() | st.floats(allow_nan=False, allow_infinity=False)
utterances = st.lists(
    st.tuples(texts, texts, st.lists(texts, max_size=2), figures, st.booleans(), st.floats(0, 2e9)), max_size=5
)


@settings(max_examples=40)
@given(
    query=texts, context=texts, said=utterances, score=figures, feedback=texts, metadata=st.dictionaries(texts, texts)
)
def test_any_run_survives_export_and_import(
    query: str, context: str, said: list[Any], score: float | None, feedback: str, metadata: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    with (
        gmem.Memory(folder / "a.gmem", embedder="none") as words,
        gmem.Memory(folder / "b.gmem", embedder="none") as again,
    ):
        with words.task(query, context=context, metadata=metadata) as run:
            for agent, text, to, reward, alone, at in said:
                run.say(agent, text, to=to, reward=reward, time=at, inspired_by=() if alone else None)
            run.fail(score=score, feedback=feedback)
        first, second = carried(words, again, folder / "t.jsonl")
        assert first == second
        assert words.get(run.id) == again.get(run.id)


def test_export_replaces_nothing_unless_told_and_leaves_nothing_behind(words: gmem.Memory, tmp_path: Path) -> None:
    import_files(words, [write(tmp_path / "t.jsonl", SMALL)])
    goal = tmp_path / "out.jsonl.gz"
    assert export.export_file(words.store, "blue", goal) == 1
    before = goal.read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        export.export_file(words.store, "blue", goal)
    time.sleep(0.01)
    export.export_file(words.store, "blue", goal, replace=True)
    assert goal.read_bytes() == before
    with pytest.raises(InvalidInput, match="cannot be written"):
        export.export_file(words.store, "blue", tmp_path / "nowhere" / "out.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == ["out.jsonl.gz"]
