"""`gmem demo`: play, show, and leave the memory behind."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gmem import Memory
from gmem.demo import schedule
from gmem.errors import MissingExtra

__all__ = ["run"]

FRAMEWORKS = {"langgraph": ("langgraph", "demo"), "autogen": ("autogen_agentchat", "demo-autogen")}
"""Package and extra of each framework that the team can play on."""


def run(as_json: bool, out: Path, quick: bool, framework: str, console: Console) -> int:
    """Play the demo.

    Args:
        as_json: Print the figures as JSON instead of tables.
        out: Folder for the memory, the picture and the figures; made if it is missing.
        quick: Play only a few types and variations.
        framework: What the team plays on, one of `FRAMEWORKS`.
        console: Where to print; progress goes to standard error.

    Returns:
        0.

    Raises:
        MissingExtra: A package of the extra is not installed, or no Java is to be found.
    """
    package, extra = FRAMEWORKS[framework]
    try:
        for needed in (package, "matplotlib", "scienceworld"):
            import_module(needed)
        on = import_module(f"gmem.demo.on_{framework}").play
        from gmem.demo.play import Course, play
        from gmem.demo.report import figures, picture, show
    except ImportError as error:
        raise MissingExtra(
            f"the demo on {framework} needs its extra: pip install 'gmem-engine[{extra},static]' ({error})"
        ) from error
    out.mkdir(parents=True, exist_ok=True)
    path = out / "demo.gmem"
    for old in (path, *out.glob("demo.gmem-*")):
        old.unlink(missing_ok=True)
    course = Course(types=schedule.QUICK_TYPES, experts=3, novices=2, tests=2) if quick else Course()
    started = time.monotonic()
    columns = (
        TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Memory(path) as memory:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("starting the world", total=course.games)
            results = play(memory, course, on, lambda what: progress.update(bar, advance=1, description=what))
        seconds = time.monotonic() - started
        drawn = out / "learning-curve.png"
        picture(results, drawn)
        found = figures(results, memory, seconds)
        (out / "demo.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if as_json:
            console.print_json(json.dumps(found))
        else:
            show(console, results, memory, drawn, seconds)
    return 0
