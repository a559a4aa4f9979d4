"""Commands that keep a memory in order, and the demo."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from gmem.cli import base
from gmem.errors import MissingExtra, StoreCorrupt

__all__ = ["COMMANDS"]


@click.command(short_help="Remove tasks for good.")
@click.option("--task", default="", metavar="ID", help="One task.")
@click.option("--agent", default="", metavar="NAME", help="Every task in which this agent took part.")
@click.option("--source", default="", metavar="NAME", help="Every task from this source.")
@click.option("--everything", is_flag=True, help="The whole memory of the team.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@base.common()
def forget(task: str, agent: str, source: str, everything: bool, yes: bool) -> None:
    """Remove tasks for good, with every insight that nothing else supports.

    \b
    gmem forget --task t_9c1e
    gmem forget --source import:whowhen --yes
    """
    if sum(map(bool, (task, agent, source, everything))) != 1:
        raise click.UsageError("Say what to forget: exactly one of --task, --agent, --source or --everything.")
    if base.as_json() and not yes:
        raise click.UsageError("--json asks nothing, so it needs --yes.")
    from gmem.engine import Engine
    from gmem.flow import run
    from gmem.learn import RulesDistiller
    from gmem.recall import RecallSettings

    with base.store() as store:
        if task:
            task = base.find(store, task, "task")
        what = f"task {task}" if task else f"every task of agent {agent}" if agent else ""
        what = what or (f"every task from {source}" if source else f"all {store.stats(base.team()).tasks:,} tasks")
        if not yes:
            click.confirm(base.clean(f"Forget {what} of team {base.team()}? This cannot be undone."), abort=True)
        # Forgetting embeds nothing, so it works where the embedding model is not installed.
        engine = Engine(store, base.team(), None, RulesDistiller(), RecallSettings())
        receipt = run(engine.forget(task=task, agent=agent, source=source, everything=everything))
    if base.as_json():
        base.emit({"tasks": receipt.tasks, "insights": receipt.insights, "rebuild": receipt.rebuild,
                   "utterances": receipt.utterances})  # fmt: skip
        return
    base.say(f"Forgotten: {len(receipt.tasks):,} tasks with {receipt.utterances:,} utterances.")
    if receipt.insights:
        base.say(f"Insights that nothing supports any more, removed: {', '.join(receipt.insights)}.")
    if receipt.rebuild:
        base.say(
            f"Insights that lost support, recalled again once the rest carries them: {', '.join(receipt.rebuild)}."
        )


@click.command(short_help="Learn from tasks that are stored but not learned from.")
@base.common()
def learn() -> None:
    """Learn from tasks that were stored but not learned from, and tidy the insights.

    \b
    gmem learn
    """
    with base.memory() as memory:
        with base.bar("Learning") as tick:
            learned = memory.learn(lambda done, total: tick(done, total, ""))
            changed = memory.consolidate()
        notices, stats = [str(n) for n in memory.notices], memory.stats()
    if base.as_json():
        base.emit({"learned": learned, "changed": changed, "insights": stats.insights, "notices": notices})
        return
    base.say(f"Learned from {learned:,} tasks; {len(changed):,} insights changed; there are {stats.insights:,} now.")
    for notice in notices:
        base.say(notice)


@click.command(short_help="Move to another embedding model.")
@click.argument("embedder", default="auto")
@base.common()
def reembed(embedder: str) -> None:
    """Move the memory, every team of it, to another embedding model.

    EMBEDDER is static, none (words only), sentence-transformers/MODEL or PROVIDER:MODEL; auto takes
    static if it is installed.  Programs that have the memory open go on: what they store from then on
    is found by its words only until they open it again.

    \b
    gmem reembed static
    gmem reembed sentence-transformers/all-MiniLM-L6-v2
    """
    from gmem import reembed as moving
    from gmem.embed import resolve
    from gmem.flow import run

    chosen = resolve(embedder)
    with base.store() as store, base.bar("Embedding") as tick:
        before = store.embedder()
        # Not through Memory: it would want the old model, which need not be installed any more.
        vectors = run(moving.reembed(store, chosen, lambda done, total: tick(done, total, "")))
        after = store.embedder()
    names = [model.name if model else None for model in (before, after)]
    if base.as_json():
        base.emit({"from": names[0], "to": names[1], "vectors": vectors})
    else:
        base.say(f"Moved from {names[0] or 'no model'} to {names[1]}: {vectors:,} vectors.")


@click.command(short_help="Verify the memory, and say what mends it.")
@base.common()
def doctor() -> None:
    """Read the whole memory, verify it, and say what is wrong and what mends it.

    Exits with 3 if there is damage.

    \b
    gmem doctor
    gmem doctor --json
    """
    facts: dict[str, str] = _surroundings()
    problems: list[str] = []
    advice: list[str] = []
    try:
        with base.store() as store:
            model = store.embedder()
            sizes = [store.stats(t) for t in store.teams()]
            problems = store.check()
    except StoreCorrupt as error:
        problems = [str(error)]
    else:
        facts["embedder"] = f"{model.name} ({model.dimension} numbers)" if model else "none recorded yet"
        facts["teams"] = ", ".join(f"{s.team} ({s.tasks:,} tasks, {s.insights:,} insights)" for s in sizes) or "none"
        facts["bytes"] = f"{sizes[0].bytes:,}" if sizes else "0"
        advice = [
            f"{s.unlearned:,} tasks of team {s.team} were not learned from (those with an unknown outcome never are); "
            "`gmem learn` learns from the others"
            for s in sizes
            if s.unlearned > s.unknown
        ]
    if base.as_json():
        base.emit({"ok": not problems, "facts": facts, "problems": problems, "advice": advice})
    else:
        from gmem.cli import tables

        base.show(tables.facts(facts.items()))
        for line in problems or ["No damage found."]:
            base.say(line)
        for line in advice:
            base.say(line)
    if problems:
        click.get_current_context().exit(3)


def _surroundings() -> dict[str, str]:
    """Say what is installed, whatever state the memory is in."""
    import platform
    import sqlite3

    import gmem

    extras = {
        "static": ("wordllama",), "sentence-transformers": ("sentence_transformers",),
        "demo": ("scienceworld", "langgraph", "matplotlib"),
        "demo-autogen": ("scienceworld", "autogen_agentchat", "matplotlib"), "notebooks": ("nbclient", "nbformat"),
    }  # fmt: skip
    there = [name for name, packages in extras.items() if all(map(_installed, packages))]
    return {
        "memory": base.location(),
        "format": str(_format(base.location())),
        "gmem": gmem.__version__,
        "python": f"{platform.python_version()} on {platform.system()}",
        "sqlite": sqlite3.sqlite_version,
        "extras": ", ".join(there) or "none",
    }


def _format(location: str) -> int:
    """Give the newest format of what stands at such a place."""
    if "://" in location:
        from gmem.graphs import _formats

        return _formats.FORMAT
    from gmem.graphs import _sqlite

    return _sqlite.VERSION


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@click.command(short_help="Watch a real team play with and without memory.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-output"),
              show_default=True, help="Folder for the memory and the picture.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A few games only.")
@click.option("--framework", type=click.Choice(["langgraph", "autogen"]), default="langgraph", show_default=True,
              help="What the team is built on.")  # fmt: skip
@base.common()
def demo(out: Path, quick: bool, framework: str) -> None:
    """Watch a real team play ScienceWorld without and with memory (a few minutes).

    \b
    gmem demo
    gmem demo --quick --json
    gmem demo --framework autogen
    """
    try:
        from gmem.demo import command
    except ImportError as error:
        raise MissingExtra(f"the demo needs packages of its own ({error}): pip install 'gmem-engine[demo]'") from error
    code = command.run(base.as_json(), out, quick, framework, base.console())
    click.get_current_context().exit(code)


COMMANDS = (learn, forget, reembed, doctor, demo)
