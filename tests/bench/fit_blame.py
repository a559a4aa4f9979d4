"""`python -m tests.bench.fit_blame DATA`: fit the weights of blame, and write `gmem/learn/weights.py`.

DATA is anything that the importer of Who&When reads.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gmem.importers import whowhen
from gmem.importers.trace import Trace
from gmem.learn.clues import clues
from gmem.learn.ranking import fit
from gmem.learn.refine import aim
from gmem.model import Task, Utterance

STRENGTH = 20.0
PUNISHED = 1.5
"""Given, not fitted: annotated runs of chats have no rewards."""


class Judged(NamedTuple):
    """One run that people judged."""

    task: Task
    said: tuple[Utterance, ...]
    agent: str
    step: int
    reason: str


Example = tuple[Sequence[Mapping[str, float]], Sequence[float]]
"""The clues of each candidate of a run, and how much of the blame it should have."""


def read(path: Path) -> list[Judged]:
    """Read the annotated runs of a file or archive."""
    found = []
    for trace in whowhen.parse(path):
        if isinstance(trace, Trace) and trace.blame:
            said = tuple(
                Utterance(i, s.agent, s.role, s.kind, s.text, s.to, s.upstream) for i, s in enumerate(trace.said)
            )
            task = Task("t", "bench", trace.query, outcome="failed", agents=trace.agents)
            found.append(Judged(task, said, trace.blame[0].agent, trace.blame[0].seq, trace.reason))
    return found


def example(run: Judged, told: bool) -> Example:
    """Give the clues of a run, and the blame that each candidate should have."""
    seen = clues(run.task, run.said, run.reason if told else "")
    return [row for _, row in seen], aim([u.agent for u, _ in seen], [u.seq for u, _ in seen], run.agent, run.step)


def weights(runs: Sequence[Judged], strength: float = STRENGTH) -> tuple[dict[str, float], dict[str, float]]:
    """Fit the weights without a reason, and with one."""
    return fitted([example(run, False) for run in runs], [example(run, True) for run in runs], strength)


def fitted(
    plain: Sequence[Example], told: Sequence[Example], strength: float = STRENGTH
) -> tuple[dict[str, float], dict[str, float]]:
    """Fit the weights to what `example` gave, without a reason and with one."""
    names = sorted({name for rows, _ in plain for row in rows for name in row})
    more = sorted({name for rows, _ in told for row in rows for name in row})
    given = {"punished": PUNISHED}
    return fit(plain, names, given, strength), fit(told, more, {**given, "told_step": 1.5}, strength)


def main() -> None:
    """Fit, and write the module."""
    plain, told = weights(read(Path(sys.argv[1])))
    lines = [
        '"""Weights of the clues of blame; written by `python -m tests.bench.fit_blame DATA`, not by hand."""', "",
        "from __future__ import annotations", "", '__all__ = ["PLAIN", "TOLD"]', "",
    ]  # fmt: skip
    for name, about, found in (
        ("PLAIN", "Weight of each clue.", plain), ("TOLD", "The same where somebody said why the run failed.", told),
    ):  # fmt: skip
        lines += [f"{name}: dict[str, float] = {{", *(f'    "{k}": {v:.4f},' for k, v in sorted(found.items())), "}"]
        lines += [f'"""{about}"""']
    target = Path(__file__).parents[2] / "gmem" / "learn" / "weights.py"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
