"""Recalls and explanations as text, HTML and Markdown; everything stored is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gmem.recall.items import Case, Lesson, Row
from gmem.recall.lines import case_line, clean, lesson_line, step_lines

__all__ = ["explanation_html", "explanation_text", "recall_html", "recall_markdown"]

_HEAD = ("verdict", "item", "score", "tokens", "found by", "why")


def _cells(found: Sequence[Row]) -> list[tuple[str, ...]]:
    return [
        (r.verdict, f"{r.kind} {clean(r.id)}", f"{r.score:.3f}", str(r.tokens), clean(r.path), _why(r.why, r.parts))
        for r in found
    ]


def _why(why: str, parts: object) -> str:
    figures = ", ".join(f"{k} {v:.2f}".rstrip("0").rstrip(".") for k, v in dict(parts).items() if v)  # type: ignore[call-overload]
    return f"{clean(why)} ({figures})" if figures else clean(why)


def explanation_text(query: str, role: str, found: Sequence[Row], notes: Sequence[str]) -> str:
    """Lay an explanation out as a table of plain text."""
    who = f" for {clean(role)}" if role else ""
    lines = [f"Recall{who}: {clean(query)}", *(clean(n) for n in notes)]
    rows = [_HEAD, *_cells(found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD) - 1)]
    for row in rows:
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
    return "\n".join(lines)


def explanation_html(query: str, role: str, found: Sequence[Row], notes: Sequence[str]) -> str:
    """Lay an explanation out as an HTML table."""
    head = "".join(f"<th>{h}</th>" for h in _HEAD)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _cells(found))
    remarks = "".join(f"<p><em>{escape(clean(n))}</em></p>" for n in notes)
    who = f" for {escape(clean(role))}" if role else ""
    return f"<p><b>Recall{who}</b> {escape(clean(query))}</p>{remarks}<table><tr>{head}</tr>{body}</table>"


def recall_html(query: str, tokens: int, lessons: Sequence[Lesson], cases: Sequence[Case]) -> str:
    """Show a recall in a notebook: lessons as a list, each case as a fold-out."""
    if not (lessons or cases):
        return f"<p>Nothing in memory helps with <em>{escape(clean(query))}</em>.</p>"
    out = [f"<p><b>Recall</b> {escape(clean(query))} ({tokens} tokens)</p>"]
    if lessons:
        items = "".join(f"<li>{escape(lesson_line(x)[2:])}</li>" for x in lessons)
        out.append(f"<ul>{items}</ul>")
    for case in cases:
        steps = "\n".join(line for _, line in step_lines(case.steps))
        title = escape(case_line(case.task, bool(case.doubt))[4:])
        out.append(f"<details><summary>{title}</summary><pre>{escape(steps)}</pre></details>")
    return "".join(out)


def recall_markdown(query: str, tokens: int, text: str) -> str:
    """Show a recall as Markdown: the text for the prompt, in a code block."""
    if not text:
        return f"Nothing in memory helps with *{escape(clean(query))}*."
    return f"**Recall** ({tokens} tokens)\n\n```text\n{text.replace('```', '` ` `')}\n```"
