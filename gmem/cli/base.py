"""What all commands share: where the memory is, how results are shown, and how errors end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gmem import checks
from gmem.errors import GmemError, InvalidInput, StoreNotFound, UnknownId

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gmem.graphs import GraphStore
    from gmem.memory import Memory

__all__ = [
    "Group", "as_json", "bar", "clean", "common", "console", "emit", "find", "location", "memory", "say",
    "say_if_strange", "show", "store", "team",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])
_KEY = "gmem.cli."
WIDE = 500
"""Columns where nobody's screen limits them."""


class Group(click.Group):
    """Commands in the order in which they are learned; an error of gmem ends as one line and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GmemError as error:
            message = clean(str(error))
            if ctx.meta.get(_KEY + "json"):
                emit({"error": {"type": type(error).__name__, "message": message}})
            else:
                click.echo(f"gmem: {message}", err=True)
            ctx.exit(1)


# --- options --------------------------------------------------------------------------------------


def common(*, top: bool = False) -> Callable[[F], F]:
    """Give a command the options that all have; said after the command, they win over those before it."""

    def keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value not in (None, False):
            ctx.meta[_KEY + str(param.name)] = value

    def decorate(f: F) -> F:
        options = (
            click.option(
                "--memory", metavar="PATH", expose_value=False, callback=keep,
                default="memory.gmem" if top else None, envvar="GMEM_MEMORY" if top else None,
                help="The memory.  [GMEM_MEMORY, else memory.gmem]",
            ),
            click.option(
                "--team", metavar="NAME", expose_value=False, callback=keep,
                default="default" if top else None, envvar="GMEM_TEAM" if top else None,
                help="The team in it.  [GMEM_TEAM, else default]",
            ),
            click.option("--json", is_flag=True, expose_value=False, callback=keep, help="Print JSON."),
        )  # fmt: skip
        for option in reversed(options):
            f = option(f)
        return f

    return decorate


def location() -> str:
    """Give the path or URI of the memory."""
    return str(click.get_current_context().meta[_KEY + "memory"])


def team() -> str:
    """Give the name of the team."""
    return checks.name(click.get_current_context().meta[_KEY + "team"], "team")


def as_json() -> bool:
    """Whether to print JSON."""
    return bool(click.get_current_context().meta.get(_KEY + "json"))


# --- the memory -----------------------------------------------------------------------------------


@contextmanager
def store() -> Iterator[GraphStore]:
    """Open the store of a memory that exists; no embedding model is needed for it."""
    from gmem.memory import open_store

    team()
    with _missing_said():
        opened = open_store(location(), create=False)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def memory(*, create: bool = False, embedder: str = "auto") -> Iterator[Memory]:
    """Open a memory with its embedding model; only commands that write may make a missing one."""
    from gmem.memory import Memory

    with _missing_said():
        opened = Memory(location(), team=team(), embedder=embedder, create=create)
    with opened:
        yield opened


@contextmanager
def _missing_said() -> Iterator[None]:
    try:
        yield
    except StoreNotFound as error:
        if "there is no memory" not in str(error):
            raise
        raise StoreNotFound(
            f"there is no memory at {location()}; name one with --memory or GMEM_MEMORY, or make it with "
            "`gmem import FILE...`"
        ) from None


def find(opened: GraphStore, id: str, kind: str = "task or insight") -> str:
    """Complete an id that was cut short.

    Raises:
        UnknownId: Nothing of the team has an id that begins so.
        InvalidInput: Several have.
    """
    known = [] if kind == "insight" else opened.task_ids(team())
    known = known + ([] if kind == "task" else [i.id for i in opened.insights(team())])
    if id in known:
        return id
    found = sorted(i for i in known if id and i.startswith(id))
    if not found:
        raise UnknownId(
            f"team {team()!r} has no {kind} {id!r}; `gmem tasks` and `gmem insights` list what there is"
            if known
            else _strange(opened.teams())
        )
    if len(found) > 1:
        raise InvalidInput(
            f"{id!r} begins {len(found)} ids ({', '.join(found[:4])}{', ...' if len(found) > 4 else ''}); "
            "write more of it"
        )
    return found[0]


def _strange(teams: list[str]) -> str:
    return f"team {team()!r} has nothing stored in {location()}; the teams in it: {', '.join(teams) or 'none'}"


def say_if_strange(opened: GraphStore) -> None:
    """Warn, beside what a command prints, if the team has nothing stored and others have: its name may be wrong."""
    teams = opened.teams()
    if teams and team() not in teams:
        click.echo(f"gmem: {clean(_strange(teams))}", err=True)


# --- output ---------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Make stored text safe to print on one line; loads the engine only when there is something to print."""
    from gmem.recall import lines

    return lines.clean(text)


def emit(data: object) -> None:
    """Print JSON; in ASCII, so that no stored character can steer a terminal."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=True))


def say(text: str = "") -> None:
    """Print one line in which nothing stored can steer the terminal."""
    click.echo(clean(text))


def console(*, err: bool = False) -> Console:
    """Give a console: plain and wide where the output is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    screen = stream.isatty()
    return Console(
        file=stream,
        width=None if screen or "COLUMNS" in os.environ else WIDE,
        no_color=None if screen else True,
        highlight=False,
        markup=False,
        emoji=False,
    )


def show(*parts: RenderableType) -> None:
    """Print tables and texts; in a pipe without lines, and without blanks at the ends."""
    from rich.table import Table

    out = console()
    if out.is_terminal:
        out.print(*parts, sep="\n")
        return
    for part in parts:
        if isinstance(part, Table):
            part.box, part.expand = None, False
    with out.capture() as caught:
        out.print(*parts, sep="\n")
    click.echo("\n".join(line.rstrip() for line in caught.get().splitlines()))


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar on the terminal, and nothing where there is none.

    Returns:
        Called with how much is done, of how much, and a word on it.
    """
    if as_json() or not sys.stderr.isatty():
        yield lambda done, total, note: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        shown = progress.add_task(what, total=None, note="")
        yield lambda done, total, note: progress.update(shown, completed=done, total=total, note=note)
