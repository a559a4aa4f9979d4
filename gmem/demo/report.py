"""What the demo shows at its end: a table, a picture, three lessons, one recall explained, and where to look."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmem import Lesson, Memory, Recall
from gmem.demo.games import CONDITIONS, GMEM, Game
from gmem.demo.play import Results
from gmem.recall.lines import clean, lesson_line
from gmem.stats import fisher
from gmem.text import clip

__all__ = ["TEAM", "figures", "learning_curve", "lessons", "picture", "show"]

TEAM = (
    "The agents know the words and commands of the game and can read notes, but have no language model behind them: "
    "by themselves they only try commands that sound like the task, and every plan that they follow is an earlier "
    "run that gmem recalled, put in the words of the new task."
)
READING = (
    "Scores go to 100; a game that was lost for good counts 0. The middle row is given what gmem recalls for another "
    "kind of task: any memory will not do."
)
TERMS = (
    "seed: one of the tasks most like this one. hop: similar to a seed. up from: a lesson that these tasks support. "
    "tokens: what it costs in the prompt."
)
MOST_CUT = 3
"""Rows of an explanation shown of what was found and not delivered."""
QUERY_WIDTH = 200


def lessons(memory: Memory, count: int = 3) -> list[Lesson]:
    """Give the lessons that chance explains least, with the proofs nearest to one of the latest tasks."""
    found: dict[str, Lesson] = {}
    for task in memory.tasks(limit=40):
        for lesson in memory.recall(task.query, insights=20).lessons:
            known = found.setdefault(lesson.insight.id, lesson)
            if lesson.weight > known.weight:
                found[lesson.insight.id] = lesson
    return sorted(found.values(), key=lambda x: (_chance(x), x.insight.id))[:count]


def _chance(lesson: Lesson) -> float:
    (good, successes), (bad, failures) = lesson.successes, lesson.failures
    return fisher(good, successes - good, bad, failures - bad)


def learning_curve(results: Results) -> dict[str, list[float]]:
    """Give the mean score after each test game, by condition."""
    curves = {}
    for condition in CONDITIONS:
        total, curve = 0, []
        for n, game in enumerate(results.of(condition), 1):
            total += game.score
            curve.append(round(total / n, 2))
        curves[condition] = curve
    return curves


def figures(results: Results, memory: Memory, seconds: float) -> dict[str, Any]:
    """Give everything that the demo measured as plain data."""
    return {
        "team": TEAM,
        "experience": {
            "expert_runs": len(results.experts),
            "expert_score": _mean(results.experts),
            "novice_runs": len(results.novices),
            "novice_score": _mean([max(0, s) for s in results.novices]),
        },
        "conditions": {c: _row(results.of(c)) for c in CONDITIONS},
        "by_type": {
            t: {c: _mean([g.score for g in results.of(c) if g.task_type == t]) for c in CONDITIONS}
            for t in dict.fromkeys(g.task_type for g in results.games)
        },
        "learning_curve": learning_curve(results),
        "lessons": [
            {"id": x.insight.id, "text": lesson_line(x)[2:], "proofs": list(x.proofs), "taught_by": x.insight.taught_by}
            for x in lessons(memory)
        ],
        "memory": memory.location,
        "commands": commands(results, memory),
        "seconds": round(seconds, 1),
    }


def _row(games: Sequence[Game]) -> dict[str, float]:
    return {
        "games": len(games),
        "score": _mean([g.score for g in games]),
        "best": _mean([g.best for g in games]),
        "solved": sum(g.score >= 100 for g in games),
        "moves": _mean([g.moves for g in games]),
        "memory_tokens": _mean([g.tokens for g in games]),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1) if values else 0.0


def picture(results: Results, path: Path) -> None:
    """Draw the learning curves to a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=120)
    for (condition, curve), colour in zip(
        learning_curve(results).items(), ("0.6", "tab:orange", "tab:blue"), strict=True
    ):
        end = f": {curve[-1]:.0f}" if curve else ""
        axes.plot(
            range(1, len(curve) + 1), curve, label=condition + end, color=colour, linewidth=2, marker="o", markersize=3
        )
    axes.set(xlabel="test tasks played", ylabel="mean score so far", ylim=(0, 105))
    axes.set_title("The same team on ScienceWorld tasks that nobody has played")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def show(console: Console, results: Results, memory: Memory, drawn: Path, seconds: float) -> None:
    """Print the end of the demo."""
    found = figures(results, memory, seconds)
    made = found["experience"]
    say = partial(console.print, markup=False, highlight=False)
    say(
        f"\nExperience: {made['expert_runs']} expert runs (mean score {made['expert_score']}), "
        f"{made['novice_runs']} novice runs ({made['novice_score']})."
    )
    table = Table(title="The same team on tasks that nobody has played")
    for title in ("", "mean score", "best on the way", "solved", "moves", "tokens of memory a task"):
        table.add_column(title, justify="left" if not title else "right")
    for condition, row in found["conditions"].items():
        table.add_row(
            condition, f"{row['score']:.1f}", f"{row['best']:.1f}", f"{row['solved']:.0f} of {row['games']:.0f}",
            f"{row['moves']:.0f}", f"{row['memory_tokens']:,.0f}", style="bold" if condition == GMEM else "",
        )  # fmt: skip
    console.print(table)
    say(f"{READING} {TEAM}", style="dim")
    say("\nWhat it learned (* stands for any thing), and runs that prove it", style="bold")
    for lesson in found["lessons"]:
        say(f"  {lesson['text']}")
        for proof in lesson["proofs"]:
            task = memory.get(proof)
            say(f"      {task.outcome} {proof}: {clip(clean(task.query), 80)}", style="dim")
    if not found["lessons"]:
        say("  Nothing yet: so few runs prove no lesson.")
    if results.recall is not None:
        _explain(console, results.recall)
    say(f"\nLearning curve: {drawn}\nMemory: {memory.location}; look into it with")
    for command in found["commands"]:
        say(f"  {_quoted(command)}", soft_wrap=True)
    say(f"{seconds:.0f} seconds.", style="dim")


def commands(results: Results, memory: Memory) -> list[list[str]]:
    """Give the commands with which to look into the memory, as lists of words."""
    asked = [] if results.recall is None else [["explain", results.recall.query, "--role", results.recall.role]]
    return [["gmem", *words, "--memory", memory.location] for words in (["tasks"], ["insights"], *asked)]


def _quoted(command: Sequence[str]) -> str:
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def _explain(console: Console, recall: Recall) -> None:
    """Print what a recall delivered and why, and the best of what it left out."""
    rows = recall.explain().rows
    shown = [r for r in rows if r.verdict == "shown"]
    others = [r for r in rows if r.verdict != "shown"]
    say = partial(console.print, markup=False, highlight=False)
    say(f"\nOne recall, explained: what the {recall.role} was given in a game that it won", style="bold")
    say(f"  {clip(clean(recall.query), QUERY_WIDTH)}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("", "item", "score", "tokens", "found by", "why"):
        table.add_column(title, justify="right" if title in ("score", "tokens") else "left", overflow="fold")
    for row in (*shown, *others[:MOST_CUT]):
        path, _, more = row.path.partition(", ")
        cells = (
            row.verdict, f"{row.kind} {row.id}", f"{row.score:.2f}", str(row.tokens or ""),
            path + (" ..." if more else ""), row.why,
        )  # fmt: skip
        table.add_row(*(Text(clean(cell)) for cell in cells), style="" if row.verdict == "shown" else "dim")
    console.print(table)
    if len(others) > MOST_CUT:
        say(f"  {len(others) - MOST_CUT} more were found and not delivered; `gmem explain` lists them all.")
    say(TERMS, style="dim")
