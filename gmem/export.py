"""Writing a memory's traces as JSONL: the format that `gmem.importers.jsonl` reads back unchanged."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from gmem.errors import GmemError, InvalidInput
from gmem.graphs.base import GraphStore
from gmem.importers.jsonl import VERSION
from gmem.model import Interaction, Task, Utterance

__all__ = ["export_file", "line", "lines", "record"]

_OUTCOMES = {"resolved": "success", "failed": "failure", "unknown": None}


def record(task: Task, interaction: Interaction) -> dict[str, Any]:
    """Give one task as an object of the trace format; whatever is empty is left out."""
    cost = {k: v for k, v in (("tokens", task.cost.tokens), ("calls", task.cost.calls)) if v}
    blame = [{"agent": s.agent, "step": s.seq, "reason": s.reason, "score": s.score} for s in task.blame]
    full: dict[str, Any] = {
        "gmem": VERSION, "id": task.id, "task": task.query, "description": task.context, "source": task.source,
        "outcome": _OUTCOMES[task.outcome], "score": task.score, "reason": task.reason, "feedback": task.feedback,
        "error": task.error, "roles": _roles(task, interaction), "blame": blame, "cost": cost,
        "trust": None if task.trust == 1.0 else task.trust, "started": task.started or None,
        "ended": task.ended or None, "metadata": dict(sorted(task.metadata.items())),
        "messages": [_message(u) for u in interaction.utterances],
    }  # fmt: skip
    always = ("outcome", "messages")
    return {k: v for k, v in full.items() if k in always or v not in (None, "", [], {})}


def _roles(task: Task, interaction: Interaction) -> dict[str, str]:
    """Give the roles that were known when the run began; later ones stand at the messages."""
    first: dict[str, str] = {}
    for u in interaction.utterances:
        first.setdefault(u.agent, u.role)
    known = {agent: first.get(agent, role) for agent, role in task.agents.items()}
    return {agent: role for agent, role in sorted(known.items()) if role}


def _message(u: Utterance) -> dict[str, Any]:
    full = {
        "agent": u.agent, "to": list(u.to), "role": u.role, "kind": u.kind, "content": u.content,
        "upstream": list(u.inspired_by), "reward": u.reward, "ts": u.time or None, "echo": u.echo or None,
    }  # fmt: skip
    return {k: v for k, v in full.items() if k == "upstream" or v not in (None, "", [])}


def line(found: dict[str, Any], *, ascii_only: bool = False) -> str:
    """Write an object as one line."""
    return json.dumps(found, ensure_ascii=ascii_only, separators=(",", ":")) + "\n"


def lines(store: GraphStore, team: str) -> Iterator[dict[str, Any]]:
    """Give every task of a team in the order in which it was first written."""
    for id in store.task_ids(team):
        (task,) = store.tasks(team, [id])
        yield record(task, store.interaction(team, id))


def export_file(
    store: GraphStore,
    team: str,
    path: Path,
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write every task of a team to a file, gzipped if its name ends in `.gz`.

    The file appears whole or not at all.

    Returns:
        How many tasks were written.

    Raises:
        InvalidInput: The file exists and is not to be replaced, or cannot be written.
    """
    if path.exists() and not replace:
        raise InvalidInput(f"{path} exists; choose another name, or replace it with --replace")
    total = len(store.task_ids(team))
    written = 0
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            part = Path(folder) / path.name
            with _writing(part) as out:
                for found in lines(store, team):
                    out.write(line(found).encode())
                    written += 1
                    if progress is not None:
                        progress(written, total)
            part.replace(path)
    except GmemError:
        raise  # some of them are an OSError as well
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
    return written


@contextmanager
def _writing(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if path.name.endswith(".gz"):
            # No name and no time in the head, so that the same memory always gives the same bytes.
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as out:
                yield cast(IO[bytes], out)
        else:
            yield raw
