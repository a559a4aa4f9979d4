"""The static embedders side by side, as `embedders` measures them; its own command takes more models."""

from __future__ import annotations

from dataclasses import asdict

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
    return [Table(title, columns, rows, notes)]
