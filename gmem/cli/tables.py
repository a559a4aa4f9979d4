"""What the commands print: tables of what is stored.

Everything stored goes through `clean`, which takes out control characters, and into `Text`, which
reads no markup: a trace can neither steer a terminal nor dress up as gmem's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gmem.graphs.base import Standing, Tally
from gmem.learn.lifecycle import why
from gmem.model import Insight, Interaction, Task, Utterance
from gmem.recall.lines import clean, with_evidence
from gmem.text import clip

if TYPE_CHECKING:
    from gmem.importers import ImportReport

__all__ = [
    "facts", "import_table", "insight_facts", "insight_table", "plain", "proof_table", "size", "step_table",
    "task_facts", "task_table",
]  # fmt: skip

WIDTH = 100
"""Characters of a text in a table."""
_COLOURS = {
    "resolved": "green", "failed": "red", "active": "green", "quarantined": "red", "rebuild": "yellow",
}  # fmt: skip


def plain(text: str, limit: int = 0) -> Text:
    """Make stored text safe to print, cut to `limit` characters unless that is 0."""
    safe = clean(text)
    return Text(clip(safe, limit) if limit else safe)


def _state(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


def _table(*columns: str, text: str, right: Sequence[str] = (), wrap: Sequence[str] = (), cut: bool = True) -> Table:
    """Make a table whose column `text` takes what the others leave, cut to one line unless `cut` is False."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for column in columns:
        if column == text:
            table.add_column(column, ratio=1, min_width=24, no_wrap=cut, overflow="ellipsis" if cut else "fold")
        else:
            table.add_column(
                column,
                justify="right" if column in right else "left",
                no_wrap=column not in wrap,
                overflow="fold",
            )
    return table


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Lay out what is known of one thing, a line a fact; empty facts are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        shown = value if isinstance(value, Text) else plain(value)
        if shown.plain.strip():
            table.add_row(plain(name), shown)
    return table


def size(n: int) -> str:
    """Write a number of bytes.

    >>> size(2_500_000)
    '2.5 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n} bytes"


def when(at: float) -> str:
    """Write a time; '' if it is not known."""
    if not at:
        return ""
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{at:g} s"


# --- tasks ----------------------------------------------------------------------------------------


def task_table(tasks: Sequence[Task]) -> Table:
    """List tasks."""
    table = _table("task", "outcome", "score", "steps", "source", "query", text="query",
                   right=("score", "steps"), wrap=("source",))  # fmt: skip
    for t in tasks:
        score = "" if t.score is None else f"{t.score:g}"
        table.add_row(
            plain(t.id), _state(t.outcome), score, str(t.length), plain(t.source, 24), plain(t.query, 2 * WIDTH)
        )  # fmt: skip
    return table


def task_facts(task: Task) -> Table:
    """Say what is known of one task."""
    blame = [f"{s.agent} at step {s.seq} ({s.score:.0%}): {s.reason}" for s in task.blame]
    cost = [f"{task.cost.tokens:,} tokens" if task.cost.tokens else "", _plural(task.cost.calls, "model call")]
    cost += [f"{task.cost.seconds:g} s" if task.cost.seconds else ""]
    outcome = _state(task.outcome)
    if task.score is not None:
        outcome.append(f", score {task.score:g}")
    return facts(
        [
            ("task", task.id),
            ("query", task.query),
            ("context", plain(task.context, 600)),
            ("outcome", outcome),
            ("reason", task.reason),
            ("feedback", task.feedback),
            ("error", task.error),
            *(("blame" if not i else "", line) for i, line in enumerate(blame)),
            ("agents", ", ".join(a if r in ("", a) else f"{a} ({r})" for a, r in sorted(task.agents.items()))),
            ("cost", ", ".join(filter(None, cost))),
            ("source", task.source + ("" if task.trust == 1 else f", trusted {task.trust:g}")),
            ("started", when(task.started)),
            ("learned", "yes" if task.learned else "no"),
            *((k, plain(v, 300)) for k, v in sorted(task.metadata.items())),
        ]
    )


def step_table(task: Task, interaction: Interaction, limit: int) -> Table:
    """Show the interaction graph of a task, an utterance a line; `*` marks the key steps."""
    rewarded = ("reward",) if any(u.reward is not None for u in interaction.utterances) else ()
    columns = ("step", "agent", "kind", *rewarded, "builds on", "text")
    table = _table(*columns, text="text", right=("step", "reward"), wrap=("agent",), cut=limit > 0)
    key, blamed = set(task.key_steps), {s.seq for s in task.blame}
    for u in interaction.utterances:
        reward = ["" if u.reward is None else f"{u.reward:g}"] if rewarded else []
        table.add_row(
            f"{u.seq}{'*' if u.seq in key else ' '}",
            plain(u.agent + (f" > {', '.join(u.to)}" if u.to else "")),
            u.kind + (" (echo)" if u.echo else ""),
            *reward,
            _upstream(u),
            plain(u.content, limit),
            style="red" if u.seq in blamed else "" if u.seq in key else "dim",
        )
    return table


def _upstream(u: Utterance) -> str:
    return ", ".join(map(str, u.inspired_by)) or "-"


# --- insights -------------------------------------------------------------------------------------


def insight_table(insights: Sequence[tuple[Insight, Standing]]) -> Table:
    """List insights with their evidence."""
    table = _table("insight", "state", "for", "against", "lesson", text="lesson",
                   right=("for", "against"), cut=False)  # fmt: skip
    for insight, standing in insights:
        table.add_row(
            insight.id, _state(insight.state), str(standing.supports), str(standing.contradicts),
            plain(_advice(insight, standing), 3 * WIDTH),
        )  # fmt: skip
    return table


def _advice(insight: Insight, s: Standing) -> str:
    return with_evidence(insight, (s.successes_followed, s.successes), (s.failures_followed, s.failures))


def insight_facts(insight: Insight, standing: Standing, tally: Tally, lift: tuple[float, float, float] | None) -> Table:
    """Say what is known of one insight, and why it is believed."""
    s = standing
    pairs = [" against ".join(id for id in pair if id) for pair in insight.taught_by]
    measured = f"not measured yet; shown to {tally.shown:,} runs, withheld from {tally.withheld:,}"
    if lift is not None:
        measured = (
            f"{lift[0]:+.2f} [{lift[1]:+.2f}, {lift[2]:+.2f}]; shown to {tally.shown:,} runs, "
            f"withheld from {tally.withheld:,}"
        )
    return facts(
        [
            ("insight", insight.id),
            ("lesson", insight.text),
            ("advice", "to do" if insight.polarity == "do" else "to avoid"),
            ("for", ", ".join(insight.audience) or "everybody"),
            ("state", _state(insight.state)),
            ("why", why(insight, standing)),
            ("evidence", f"{s.supports} for, {s.contradicts} against"),
            ("resolved runs", f"{s.successes_followed} of {s.successes} followed it"),
            ("failed runs", f"{s.failures_followed} of {s.failures} followed it"),
            ("lift", measured),
            *(("taught by" if not i else "", pair) for i, pair in enumerate(pairs)),
            ("pattern", insight.pattern),
            ("origin", insight.origin),
            ("learned", when(insight.created)),
        ]
    )


def proof_table(proofs: Sequence[tuple[str, bool, Task]]) -> Table:
    """List the runs that say something about an insight: (SUPPORTS or CONTRADICTS, followed it, task)."""
    table = _table("task", "says", "followed it", "outcome", "query", text="query")
    for type_, followed, task in proofs:
        shown = "yes" if followed else "no"
        table.add_row(plain(task.id), type_.lower(), shown, _state(task.outcome), plain(task.query, 2 * WIDTH))
    return table


# --- keeping --------------------------------------------------------------------------------------


def import_table(report: ImportReport) -> Table:
    """Say what an import did, a line a file."""
    counts = ("added", "there already", "refused", "utterances")
    table = _table("file", "format", *counts, text="file", right=counts, cut=False)
    for f in report.files:
        numbers = (f.added.total(), f.present, len(f.refused), f.utterances)
        table.add_row(plain(f.path), f.format or "?", *(f"{n:,}" for n in numbers))
    return table


def counted(what: Mapping[str, int]) -> str:
    """Write counts of several things as one phrase."""
    return ", ".join(f"{n:,} {name}" for name, n in sorted(what.items()))


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}" if n else ""
