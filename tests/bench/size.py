"""Bytes on disk of a task with ten messages, the memory closed."""

from __future__ import annotations

from gmem.graphs import EmbeddedStore

from .made import DIMENSION, Experience, fill
from .report import Bench, Table

__all__ = ["measure"]

GOAL = 12.0
SHAPES = {
    "game: plan, 4 actions and answers, verdict": Experience(),
    "chat: ten messages of one sentence": Experience(sentences=1, chat=True),
    "chat: ten messages of eight sentences": Experience(sentences=8, chat=True),
}


def measure(bench: Bench) -> list[Table]:
    """Weigh memories of tasks of different length."""
    count = min(2_000, max(bench.sizes))
    rows = []
    for shape, experience in SHAPES.items():
        path = bench.fresh()
        store = EmbeddedStore(path)
        try:
            fill(store, count, experience=experience)
        finally:
            store.close()
        left = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
        size = sum(file.stat().st_size for file in left) / count / 1024
        said = [run.characters for run in experience.tasks(200)]
        rows.append((shape, sum(said) / len(said), size, GOAL))
    notes = (
        f"{count:,} tasks each; {DIMENSION * 4 / 1024:.3g} KiB of it is the vector; four SIMILAR edges and two of "
        "evidence a task included; words drawn at random compress worse than real text",
    )
    return [Table("Bytes on disk", ("tasks of ten utterances", "characters a task", "KiB a task", "goal"), rows, notes)]
