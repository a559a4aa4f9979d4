"""What a bench module gives back: tables, for people and as JSON."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from gmem.graphs import EmbeddedStore

from . import made

__all__ = ["Bench", "Figure", "Table"]

Figure = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Figures of one topic.

    Attributes:
        title: What was measured.
        columns: Heads, with units.
        rows: Figures, a row for each thing measured; None where there is none.
        notes: What a reader must know to judge them.
        drawn: Columns that go into the picture; all that hold figures by default.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Figure]]
    notes: Sequence[str] = ()
    drawn: Sequence[str] = ()

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left", caption_justify="left")
        for place, column in enumerate(self.columns):
            table.add_column(column, justify="left" if place == 0 else "right")
        for row in self.rows:
            table.add_row(*(_text(value) for value in row))
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", style="dim")

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data, for JSON."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


def _text(value: Figure) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


@dataclass
class Bench:
    """How much to measure, and the memories to measure on.

    Attributes:
        folder: A folder that is removed afterwards.
        sizes: Numbers of tasks.
        recalls: Recalls timed at each size.
        writes: Runs recorded for each figure.
        repeats: Fresh processes for each figure that needs them.
        data: Folder of real traces for the topics that measure quality; without it they say so.
        quick: Whether to measure less, for a first look.
    """

    folder: Path
    sizes: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    recalls: int = 300
    writes: int = 400
    repeats: int = 5
    data: Path | None = None
    quick: bool = False
    _made: dict[int, Path] = field(default_factory=dict)

    def memory(self, count: int) -> Path:
        """Give a closed memory of so many tasks; made once.  It is not to be written to."""
        if count not in self._made:
            path = self.folder / f"{count}.gmem"
            store = EmbeddedStore(path)
            try:
                made.fill(store, count)
            finally:
                store.close()
            self._made[count] = path
        return self._made[count]

    def fresh(self) -> Path:
        """Give a path in the folder where nothing is."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / "new.gmem"
