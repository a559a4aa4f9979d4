"""Recalls and explanations as text, HTML and Markdown; everything stored is escaped."""

from __future__ import annotations

from html import escape

from gmem.recall.lines import case_line, clean, lesson_line, step_lines
from gmem.recall.result import Explanation, Recall

__all__ = ["explanation_html", "explanation_text", "recall_html", "recall_markdown"]

_HEAD = ("verdict", "item", "score", "tokens", "found by", "why")


def _cells(explanation: Explanation) -> list[tuple[str, ...]]:
    return [
        (r.verdict, f"{r.kind} {clean(r.id)}", f"{r.score:.3f}", str(r.tokens), clean(r.path), _why(r.why, r.parts))
        for r in explanation.rows
    ]


def _why(why: str, parts: object) -> str:
    figures = ", ".join(f"{k} {v:.2f}".rstrip("0").rstrip(".") for k, v in dict(parts).items() if v)  # type: ignore[call-overload]
    return f"{clean(why)} ({figures})" if figures else clean(why)


def explanation_text(explanation: Explanation) -> str:
    """Lay an explanation out as a table of plain text."""
    who = f" for {clean(explanation.role)}" if explanation.role else ""
    lines = [f"Recall{who}: {clean(explanation.query)}", *(clean(n) for n in explanation.notes)]
    rows = [_HEAD, *_cells(explanation)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD) - 1)]
    for row in rows:
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
    return "\n".join(lines)


def explanation_html(explanation: Explanation) -> str:
    """Lay an explanation out as an HTML table."""
    head = "".join(f"<th>{h}</th>" for h in _HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _cells(explanation)
    )
    notes = "".join(f"<p><em>{escape(clean(n))}</em></p>" for n in explanation.notes)
    return f"<p><b>Recall</b> {escape(clean(explanation.query))}</p>{notes}<table><tr>{head}</tr>{body}</table>"


def recall_html(recall: Recall) -> str:
    """Show a recall in a notebook: lessons as a list, each case as a fold-out."""
    if not recall:
        return f"<p>Nothing in memory helps with <em>{escape(clean(recall.query))}</em>.</p>"
    out = [f"<p><b>Recall</b> {escape(clean(recall.query))} ({recall.tokens} tokens)</p>"]
    if recall.lessons:
        items = "".join(f"<li>{escape(lesson_line(x)[2:])}</li>" for x in recall.lessons)
        out.append(f"<ul>{items}</ul>")
    for case in (*recall.solved, *recall.failed):
        steps = "\n".join(line for _, line in step_lines(case.steps))
        title = escape(case_line(case.task)[4:])
        out.append(f"<details><summary>{title}</summary><pre>{escape(steps)}</pre></details>")
    return "".join(out)


def recall_markdown(recall: Recall) -> str:
    """Show a recall as Markdown: the text for the prompt, in a code block."""
    if not recall:
        return f"Nothing in memory helps with *{escape(clean(recall.query))}*."
    return f"**Recall** ({recall.tokens} tokens)\n\n```text\n{recall.text.replace('```', '` ` `')}\n```"
