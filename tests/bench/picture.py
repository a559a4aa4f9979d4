"""One picture of a table: bars side by side, or lines where the rows are sizes of a memory."""

from __future__ import annotations

import math
from pathlib import Path

from .report import Table

__all__ = ["draw"]

WIDEST = 30
"""Rows that still can be told apart in one picture; further ones are only in the table."""


def draw(table: Table, path: Path) -> bool:
    """Draw the figures of a table.

    Args:
        table: What was measured.
        path: Where to write the PNG.

    Returns:
        Whether there was anything to draw.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    rows = [row for row in table.rows if any(_number(v) for v in row[1:])][:WIDEST]
    columns = [i for i in range(1, len(table.columns)) if any(_number(row[i]) for row in rows)]
    if table.drawn:
        columns = [i for i in columns if table.columns[i] in table.drawn]
    if not rows or not columns:
        return False
    sizes = len(rows) > 1 and all(_number(row[0]) for row in rows) and not any(_text_in(row) for row in rows)
    height = 4.5 if sizes else 1.6 + 0.18 * len(rows) * (len(columns) + 1)
    figure, axes = plt.subplots(figsize=(9, min(height, 20)), layout="constrained")
    for place, i in enumerate(columns):
        values = [row[i] if _number(row[i]) else float("nan") for row in rows]
        if sizes:
            axes.plot([row[0] for row in rows], values, marker="o", label=table.columns[i])
        else:
            at = [n - place * 0.8 / len(columns) for n in range(len(rows), 0, -1)]
            axes.barh(at, values, height=0.8 / len(columns), label=table.columns[i])
    if sizes:
        axes.set_xscale("log")
        axes.set_xlabel(table.columns[0])
        axes.set_ylim(bottom=0)
    else:
        axes.set_yticks(range(len(rows), 0, -1), [" ".join(str(v) for v in row if _is_text(v))[:60] for row in rows])
    axes.set_title(table.title, fontsize=10, wrap=True)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _text_in(row: object) -> bool:
    return any(isinstance(v, str) for v in row)  # type: ignore[attr-defined]
