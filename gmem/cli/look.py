"""Commands that look into a memory and change nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from gmem.cli import base
from gmem.errors import InvalidInput
from gmem.model import Evidence

__all__ = ["COMMANDS"]

_INSIGHT = re.compile(r"i_[0-9a-f]{1,12}")
PROOFS = 20
"""Runs of each sort that are shown with an insight."""


@click.command(short_help="What would help with a task.")
@click.argument("query")
@click.option("--role", default="", help="Deliver what this role or agent can use.")
@click.option("--budget", type=click.IntRange(min=0), help="Most tokens to deliver.  [2000]")
@base.common()
def recall(query: str, role: str, budget: int | None) -> None:
    """Print what would help with a task, as an agent would be given it.

    \b
    gmem recall "put a clean mug in the cabinet"
    gmem recall "refund order 17" --role checker --budget 800
    """
    with base.memory() as memory:
        found = memory.recall(query, role, **_within(budget))
        base.say_if_strange(memory.store)
    if base.as_json():
        base.emit(found.to_dict())
    elif found:
        click.echo(found.text)
    else:
        base.say("Nothing in memory is like this query.")


def _within(budget: int | None) -> dict[str, Any]:
    return {} if budget is None else {"budget": budget}


@click.command(short_help="Why a recall delivers just that, or why an insight is believed.")
@click.argument("query")
@click.option("--role", default="", help="As for `gmem recall`.")
@click.option("--budget", type=click.IntRange(min=0), help="Most tokens to deliver.  [2000]")
@base.common()
def explain(query: str, role: str, budget: int | None) -> None:
    """Say why a recall delivers what it does, or why an insight is believed.

    \b
    gmem explain "put a clean mug in the cabinet" --role planner
    gmem explain i_3f2a
    """
    if _INSIGHT.fullmatch(query):
        with base.store() as store:
            _show_insight(store, base.find(store, query, "insight"))
        return
    with base.memory() as memory:
        found = memory.recall(query, role, **_within(budget)).explain()
        base.say_if_strange(memory.store)
    if base.as_json():
        base.emit(found.to_dict())
    elif found.rows:
        click.echo(str(found))
    else:
        base.say("Nothing in memory is like this query.")


@click.command(short_help="What the team was asked, newest first.")
@click.option("--outcome", type=click.Choice(["resolved", "failed", "unknown"]), help="Only tasks that ended so.")
@click.option("--source", default="", help="Only tasks from this source.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many; 0 for all.")
@base.common()
def tasks(outcome: Any, source: str, limit: int) -> None:
    """List the tasks that the team was given, newest first.

    \b
    gmem tasks
    gmem tasks --outcome failed --limit 0
    """
    with base.store() as store:
        ids = store.task_ids(base.team(), outcome=outcome)[::-1]
        found = store.tasks(base.team(), ids if source else ids[: limit or None])
        found = [t for t in found if not source or t.source == source]
        total, found = len(found) if source else len(ids), found[: limit or None]
        base.say_if_strange(store)
    if base.as_json():
        base.emit([{**asdict(t), "agents": dict(t.agents), "metadata": dict(t.metadata)} for t in found])
        return
    from gmem.cli import tables

    if found:
        base.show(tables.task_table(found))
    if len(found) < total:
        base.say(f"{len(found)} of {total:,} tasks; --limit 0 shows all.")
    elif not found:
        base.say("No tasks.")


@click.command(short_help="What the team learned, best supported first.")
@click.option("--state", type=click.Choice(["candidate", "active", "quarantined", "rebuild", "retired"]),
              help="Only insights in this state.")  # fmt: skip
@base.common()
def insights(state: Any) -> None:
    """List what the team learned, best supported first.

    \b
    gmem insights
    gmem insights --state active --json
    """
    with base.store() as store:
        found = [
            (i, store.standing(base.team(), i.id))
            for i in store.insights(base.team(), states=(state,) if state else ())
        ]
        base.say_if_strange(store)
    found.sort(key=lambda pair: (pair[1].contradicts - pair[1].supports, pair[0].id))
    if base.as_json():
        base.emit([{**asdict(i), "supports": s.supports, "contradicts": s.contradicts} for i, s in found])
    elif found:
        from gmem.cli import tables

        base.show(tables.insight_table(found))
    else:
        base.say("No insights.")


@click.command(short_help="One task with its interaction graph, or one insight.")
@click.argument("id")
@click.option("--full", is_flag=True, help="Do not cut long texts.")
@base.common()
def show(id: str, full: bool) -> None:
    """Show one task with its interaction graph, or one insight with its evidence.

    Key steps are marked with *; `builds on` names the steps that a step was inspired by.

    \b
    gmem show t_9c1e
    gmem show i_3f2a --json
    """
    with base.store() as store:
        found = base.find(store, id)
        if found.startswith("i_") and found in {i.id for i in store.insights(base.team())}:
            _show_insight(store, found)
            return
        (task,) = store.tasks(base.team(), [found])
        interaction = store.interaction(base.team(), found)
        near = store.neighbours(base.team(), found)
    if base.as_json():
        similar = [{"id": s.b if s.a == found else s.a, "score": s.score} for s in near]
        base.emit(
            {
                **asdict(task), "agents": dict(task.agents), "metadata": dict(task.metadata), "similar": similar,
                "utterances": [asdict(u) for u in interaction.utterances],
            }
        )  # fmt: skip
        return
    from gmem.cli import tables

    steps = tables.step_table(task, interaction, 0 if full else 2 * tables.WIDTH)
    base.show(tables.task_facts(task), "", steps)


def _show_insight(store: Any, id: str) -> None:
    from gmem.learn import lifecycle
    from gmem.recall.rank import lift

    team = base.team()
    (insight,) = store.insights(team, [id])
    standing, tally = store.standing(team, id), store.tally(team, id)
    evidence = store.evidence(team, insight_id=id)
    measured = lift(tally)
    if base.as_json():
        base.emit(
            {
                **asdict(insight), "supports": standing.supports, "contradicts": standing.contradicts,
                "standing": asdict(standing), "tally": asdict(tally), "lift": measured,
                "why": lifecycle.why(insight, standing),
                "evidence": [{**asdict(e), "type": e.type} for e in evidence],
            }
        )  # fmt: skip
        return
    from gmem.cli import tables

    chosen = _some_of_each(evidence)
    proofs = [(e.type, e.followed, t) for e in chosen for t in store.tasks(team, [e.task_id])]
    base.show(tables.insight_facts(insight, standing, tally, measured), "", tables.proof_table(proofs))
    if len(chosen) < len(evidence):
        base.say(f"{len(chosen)} of {len(evidence):,} runs; --json gives all.")


def _some_of_each(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Choose runs to show that support an insight, then runs that contradict it, of each so many at most."""
    found: list[Evidence] = []
    for type_ in ("SUPPORTS", "CONTRADICTS"):
        found += sorted((e for e in evidence if e.type == type_), key=lambda e: e.task_id)[:PROOFS]
    return found


@click.command(short_help="What the memory holds, counted.")
@click.option("--all-teams", is_flag=True, help="Every team of the memory.")
@base.common()
def stats(all_teams: bool) -> None:
    """Count what the memory holds.

    \b
    gmem stats
    gmem stats --json
    """
    with base.store() as store:
        teams = store.teams() if all_teams else [base.team()]
        found = [store.stats(name) for name in teams]
        model, known, place = store.embedder(), store.teams(), store.location
    shown = [{**asdict(s), "memory": place, "embedder": model.name if model else None} for s in found]
    if base.as_json():
        base.emit(shown if all_teams else {**shown[0], "teams": known})
        return
    from gmem.cli import tables

    for s in found:
        base.show(
            tables.facts(
                [
                    ("memory", f"{place} ({tables.size(s.bytes)})"),
                    ("team", s.team + ("" if s.team in known else " (nothing stored)")),
                    ("tasks", f"{s.tasks:,}: {s.resolved:,} resolved, {s.failed:,} failed, {s.unknown:,} unknown"),
                    ("not learned from", f"{s.unlearned:,}"),
                    ("utterances", f"{s.utterances:,}"),
                    ("insights", f"{s.insights:,}, of which {s.active_insights:,} active; {s.evidence:,} pieces of "
                                 f"evidence, {s.links:,} links"),
                    ("similar tasks", f"{s.similar:,} edges"),
                    ("recalls", f"{s.recalls:,} in the ledger"),
                    ("embedder", f"{model.name if model else 'none recorded'}, {s.vectors:,} vectors"),
                    ("other teams", ", ".join(t for t in known if t != s.team)),
                ]
            )
        )  # fmt: skip
    if not found:
        raise InvalidInput(f"{place} holds no team yet; `gmem import FILE...` brings traces in")


COMMANDS = (recall, explain, tasks, insights, show, stats)
