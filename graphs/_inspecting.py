"""Reads a whole memory on a server and says what is wrong with it: the store's own doctor."""

from __future__ import annotations

from gmem.errors import StoreBusy, StoreCorrupt
from gmem.graphs import _cypher
from gmem.graphs._committing import take_turn
from gmem.graphs._mirror import Mirror
from gmem.graphs._rows import Row, uid
from gmem.graphs._server import Run, Server

__all__ = ["inspect"]

PATIENCE = 900.0
"""Seconds that looking at everything may take."""
_LABELS = {"Task", "Utterance", "Insight", "InsightLink", "Recall"}


def inspect(server: Server) -> list[str]:
    """Verify every name, tie and value.

    A transaction sees what others commit while it goes on, so of what it finds, some may be the half of a
    write.  Then everything is read a second time, while all writers wait, and only that counts.

    Returns:
        One sentence for each thing found wrong.
    """
    at = server.address.location
    try:
        if not server.read(lambda run: _look(run, at), seconds=PATIENCE):
            return []
    except StoreBusy:
        pass  # they never stopped writing

    def alone(run: Run) -> list[str]:
        take_turn(run, "check", [])
        return _look(run, at)

    return server.write(alone, seconds=PATIENCE)


def _look(run: Run, location: str) -> list[str]:
    """Look once, within one transaction.

    Returns:
        One sentence for each thing found wrong.
    """
    problems: list[str] = []
    teams: set[str] = set()
    for row in run(_cypher.CHECK_NODES, {}):
        label = next((label for label in row["labels"] if label in _LABELS), None)  # people may add others
        if label is None:  # removed this moment
            continue
        team = row["team"]
        if team is None or row["uid"] != _named(label, team, row):
            problems.append(f"{location}: a node labelled {label} of team {team!r} does not bear the name it should")
        else:
            teams.add(team)
    for row in run(_cypher.CHECK_EDGES, {}):
        problems.append(
            f"{location}: a relationship {row['type']} joins teams {row['a']!r} and {row['b']!r}; delete it"
        )
    for row in run(_cypher.CHECK_TRACES, {}):
        problems.append(
            f"{location}: the utterances of task {row['task']!r} of team {row['team']!r} are not whole; forget the task"
        )
    for row in run(_cypher.CHECK_TIES, {}):
        problems.append(
            f"{location}: {row['what']} {row['id']!r} of team {row['team']!r} is not tied to all that it names"
        )
    for team in sorted(teams):
        try:
            Mirror(team).catch_up(lambda work: work(run))
        except StoreCorrupt as error:
            problems.append(f"{location}: {error}")
    return problems


def _named(label: str, team: str, row: Row) -> str:
    try:
        if label == "Utterance":
            return uid(team, "utterance", row["task"], str(row["seq"]))
        if label == "InsightLink":
            return uid(team, "link", row["source"], row["target"], row["via"])
        return uid(team, label.lower(), row["id"])
    except (AttributeError, TypeError):  # a property is missing, or is no text
        return ""
