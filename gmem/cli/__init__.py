"""The command `gmem`: look into a memory, bring traces in, and keep it in order."""

from __future__ import annotations

import sys

import click

from gmem import __version__
from gmem.cli import carry, keep, look
from gmem.cli.base import Group, common

__all__ = ["main"]

_SESSION = """\b
A first session:
  gmem import traces.jsonl.gz       learn from runs that were recorded before
  gmem tasks                        what the team did, newest first
  gmem insights                     what it learned, and on what evidence
  gmem recall "clean a mug"         what would help with such a task
  gmem explain "clean a mug"        why just that, and what was left out

\b
Every command takes --memory (or GMEM_MEMORY), --team (or GMEM_TEAM) and --json.
Ids may be cut short, as long as they stay unique.
Exit codes: 0 done, 1 it could not be done, 2 wrong usage, 3 gmem doctor found damage.
"""


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_SESSION,
)
@common(top=True)
@click.version_option(__version__, prog_name="gmem")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A graph memory for teams of LLM agents: what they did, what they learned, and the evidence for it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character shows its code instead
            stream.reconfigure(errors="backslashreplace")
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (*look.COMMANDS, *carry.COMMANDS, *keep.COMMANDS):
    main.add_command(_command)
