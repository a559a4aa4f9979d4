"""Commands that bring traces in, and take them or the whole memory out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmem.cli import base

if TYPE_CHECKING:
    from gmem.importers import ImportReport

__all__ = ["COMMANDS"]

SHOWN_REFUSALS = 50
"""Refusals that are printed one by one."""


@click.command("import", short_help="Learn from traces that were recorded elsewhere.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, path_type=Path))
@click.option("--format", type=click.Choice(["auto", "jsonl", "whowhen", "ag2"]), default="auto", show_default=True,
              help="What the files hold; auto looks into them.")  # fmt: skip
@click.option("--source", default="", metavar="NAME", help="Store as this source, not the one in the file.")
@click.option("--embedder", default="auto", show_default=True, help="For a new memory: static, none, ...")
@base.common()
def import_(files: tuple[Path, ...], format: str, source: str, embedder: str) -> None:
    """Bring in traces that were recorded elsewhere, and learn from them.

    A file is gmem JSONL, Who&When JSON, AG2 or AutoGen chat JSON; plain, gzipped or in a tar archive.
    A folder stands for the files in it.  Doing it again changes nothing, and completes what was cut off.

    \b
    gmem import traces.jsonl.gz
    gmem import chats/ --format ag2 --source helpdesk
    """
    from gmem.importers import import_files

    try:
        with base.memory(create=True, embedder=embedder) as memory, base.bar("Importing") as tick:
            report = import_files(
                memory,
                files,
                lambda done, total, seen: tick(done, total, f"{seen:,} tasks"),
                format=format,
                source=source,
            )
    except KeyboardInterrupt:
        click.echo("Stopped. What was imported is kept, and the same command goes on from there.", err=True)
        raise
    _tell(report)
    if not report.added + report.present:
        click.get_current_context().exit(1)


def _tell(report: ImportReport) -> None:
    if base.as_json():
        base.emit(report.to_dict())
        return
    from gmem.cli import tables

    base.show(tables.import_table(report))
    for f in report.files:
        if f.left_out:
            base.say(f"Left out of {f.path}: {tables.counted(f.left_out)}.")
    refused = report.refused
    for r in refused[:SHOWN_REFUSALS]:
        base.say(f"Refused {r.where}{f' ({r.original})' if r.original else ''}: {r.reason}")
    if len(refused) > SHOWN_REFUSALS:
        base.say(f"... and {len(refused) - SHOWN_REFUSALS:,} more; --json lists all.")
    outcomes = ", ".join(f"{sum(f.added[o] for f in report.files):,} {o}" for o in ("resolved", "failed", "unknown"))
    base.say(f"{report.added:,} tasks added ({outcomes}), {report.present:,} there already, {len(refused):,} refused.")


@click.command(short_help="Write the tasks as JSONL.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--replace", is_flag=True, help="Replace FILE if it exists.")
@base.common()
def export(file: Path | None, replace: bool) -> None:
    """Write every task of the team as JSONL, which `gmem import` reads back unchanged.

    Without FILE, or with -, it goes to standard output.  Insights are not written: they are learned anew.

    \b
    gmem export team.jsonl.gz
    gmem export | head -1
    """
    from gmem.export import export_file, line, lines

    with base.store() as store:
        if file is None or str(file) == "-":
            screen = sys.stdout.isatty()
            with click.open_file("-", "wb") as out:
                for found in lines(store, base.team()):
                    out.write(line(found, ascii_only=screen).encode())
            return
        with base.bar("Exporting") as tick:
            written = export_file(
                store, base.team(), file, replace=replace, progress=lambda done, total: tick(done, total, "")
            )
    if base.as_json():
        base.emit({"file": str(file), "tasks": written, "bytes": file.stat().st_size})
    else:
        base.say(f"{written:,} tasks written to {file}.")


@click.command(short_help="Copy a whole memory to another file.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@base.common()
def migrate(source: str, target: str) -> None:
    """Copy a whole memory, every team of it, bit for bit to a place that is free.

    \b
    gmem migrate memory.gmem backup/memory.gmem
    """
    from gmem.migrate import migrate as copy

    with base.bar("Copying") as tick:
        sizes = copy(source, target, lambda done, total: tick(done, total, ""))
    if base.as_json():
        base.emit({"from": source, "to": target, "teams": {t: s.tasks for t, s in sizes.items()}})
    else:
        found = ", ".join(f"{t} ({s.tasks:,} tasks, {s.insights:,} insights)" for t, s in sizes.items()) or "none"
        base.say(f"Copied to {target} and verified. Teams: {found}.")


COMMANDS = (import_, export, migrate)
