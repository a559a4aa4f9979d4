"""The static embedders side by side, as `embedders` measures them, and what a recall makes of them.

The command `python tests/bench/embedders.py` takes more models.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from gmem.embed import resolve
from gmem.errors import MissingExtra

from . import embedders
from .report import Bench, Table

__all__ = ["measure"]

SPECS = ("static:64", "static:128", "static:256")


def measure(bench: Bench) -> list[Table]:
    """Score and time the static embedders, if they are installed."""
    title = "Embedders: best match of the query's kind, by cosine alone"
    rows = []
    columns: tuple[str, ...] = ("embedder",)
    for spec in SPECS:
        try:
            embedder, speed = embedders.measure(spec, texts=5 * bench.recalls)
        except MissingExtra as error:
            return [Table(title, ("embedder",), (), (f"not measured: {error}",))]
        found = {**asdict(embedders.quality(embedders.dense_rankings(embedder))), **asdict(speed)}
        columns = ("embedder", *found)
        rows.append((embedder.name, *found.values()))
    notes = (f"{len(embedders.stored())} stored tasks, {len(embedders.queries())} queries",)
    return [Table(title, columns, rows, notes), _recalled(bench)]


def _recalled(bench: Bench) -> Table:
    """Ask the same queries of a memory whose runs only talk, and of one whose runs act."""
    rows = []
    columns: tuple[str, ...] = ()
    for spec in ("none", SPECS[-1]):
        for acted in (False, True):
            with TemporaryDirectory(dir=bench.folder) as folder:
                found = embedders.recall_rankings(resolve(spec), Path(folder), acted=acted)
            scored = asdict(embedders.quality(found))
            columns = ("recall", "the stored runs", *scored)
            rows.append((spec, "act" if acted else "talk", *scored.values()))
    return Table("The same queries through a recall: best match of the query's kind", columns, rows)
