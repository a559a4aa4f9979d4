"""Is the right step blamed?  Hold what blame says of failed runs against what people said of them.

The data folder must hold `raw/whowhen.tar.gz` (Who&When: failed runs of two teams, in which people
marked the decisive mistake).  The weights are fitted anew for each of ten folds, without the runs of that
fold and without any run of the same questions; the folds are drawn three times.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from gmem.learn.blame import SUSPECTS, ordered
from gmem.learn.clues import accused, clues
from gmem.model import Utterance

from .fit_blame import Judged, read, weights
from .report import Bench, Figure, Table

__all__ = ["measure"]

FILE = "raw/whowhen.tar.gz"
FOLDS = 10
DRAWS = 3
NEAR = 3
"""Steps by which a blamed step may be off and still count as near."""
TITLE = "Blame of failed runs, against what people marked"
HEAD = ("how", "team", "runs", "agent", "± agent", "step", "± step", f"step ± {NEAR}", "in top 3", "± top 3")

Hits = tuple[float, float, float, float]
"""Of one run, 0 to 1: the right agent, the very step, one near it, and whether it is among the first three."""
Seen = Sequence[tuple[Utterance, Mapping[str, float]]]


def measure(bench: Bench) -> list[Table]:
    """Fit on nine folds, blame in the tenth."""
    path = bench.data / FILE if bench.data else None
    if path is None or not path.exists():
        note = f"not measured: no {FILE}: give the folder of real traces with --data or GMEM_BENCH_DATA"
        return [Table(TITLE, ("how",), (), (note,))]
    runs = read(path)
    led = [any("orchestrator" in u.agent.casefold() for u in run.said) for run in runs]
    groups = {
        "both": list(range(len(runs))),
        "CaptainAgent": [i for i, magentic in enumerate(led) if not magentic],
        "Magentic-One": [i for i, magentic in enumerate(led) if magentic],
    }
    draws = 1 if bench.quick else DRAWS
    every: dict[str, list[list[Hits]]] = {
        "blame, with the reason": _drawn(runs, True, draws),
        "blame, from the trace alone": _drawn(runs, False, draws),
        "most talkative agent": [[_hits(run, _talkative(run)) for run in runs]],
        "first step": [[_hits(run, _acted(run)) for run in runs]],
        "last step": [[_hits(run, _acted(run)[::-1]) for run in runs]],
        "any step": [[_chance(run) for run in runs]],
    }
    rows: list[Sequence[Figure]] = []
    for how, drawn in every.items():
        for group, places in groups.items():
            means = [[statistics.mean(hits[i][at] for i in places) for hits in drawn] for at in range(4)]
            agent, step, near, top = (statistics.mean(found) for found in means)
            off = [statistics.stdev(found) if len(found) > 1 else None for found in means]
            rows.append((how, group, len(places), agent, off[0], step, off[1], near, top, off[3]))
    notes = (
        f"shares of the runs; {FOLDS} folds by question, weights fitted anew without each; mean of {draws} draws of "
        "the folds, and their standard deviation",
        "agent: the first suspect is the one who was marked; step: at the very step; top 3: the step is one of "
        f"the {SUSPECTS} suspects",
        "most talkative agent, first and last: among those who acted, the task itself and environments left out; "
        "any step: the mean over all of them",
        "the clues were chosen by people who had seen these runs; only their weights are fitted apart",
    )
    return [Table(TITLE, HEAD, rows, notes, drawn=("agent", "step", "in top 3"))]


def _drawn(runs: Sequence[Judged], told: bool, draws: int) -> list[list[Hits]]:
    seen = [clues(run.task, run.said, run.reason if told else "") for run in runs]
    return [_crossed(runs, seen, told, _folds(runs, seed)) for seed in range(draws)]


def _folds(runs: Sequence[Judged], seed: int) -> list[int]:
    """Deal the runs to folds; those of one question stay together."""
    questions = sorted({_question(run) for run in runs})
    random.Random(seed).shuffle(questions)
    fold = {question: place % FOLDS for place, question in enumerate(questions)}
    return [fold[_question(run)] for run in runs]


def _question(run: Judged) -> str:
    """Give what two teams that played a question have in common; one was told more behind it."""
    return " ".join(run.task.query.split())[:80]


def _crossed(runs: Sequence[Judged], seen: Sequence[Seen], told: bool, folds: Sequence[int]) -> list[Hits]:
    found: dict[int, Hits] = {}
    for fold in range(FOLDS):
        plain, more = weights([run for run, its in zip(runs, folds, strict=True) if its != fold])
        for i, run in enumerate(runs):
            if folds[i] == fold:
                best = [seen[i][place][0] for place, _ in ordered(seen[i], more if told else plain)]
                found[i] = _hits(run, best)
    return [found[i] for i in range(len(runs))]


def _hits(run: Judged, blamed: Sequence[Utterance]) -> Hits:
    if not blamed:
        return 0.0, 0.0, 0.0, 0.0
    first = blamed[0]
    return (
        float(first.agent == run.agent),
        float(first.seq == run.step),
        float(abs(first.seq - run.step) <= NEAR),
        float(any(u.seq == run.step for u in blamed[:SUSPECTS])),
    )


def _acted(run: Judged) -> list[Utterance]:
    return [run.said[place] for place in accused(run.task, run.said)]


def _talkative(run: Judged) -> list[Utterance]:
    """Give the messages of the agent that spoke most often, in order; of two, the one that spoke first."""
    acted = _acted(run)
    often = Counter(u.agent for u in acted)
    return [u for u in acted if u.agent == often.most_common(1)[0][0]]


def _chance(run: Judged) -> Hits:
    """Give what a blind draw of three different steps hits on average."""
    acted = _acted(run)
    if not acted:
        return 0.0, 0.0, 0.0, 0.0
    each = [_hits(run, [u]) for u in acted]
    agent, step, near, _ = (sum(hits[at] for hits in each) / len(each) for at in range(4))
    return agent, step, near, min(1.0, step * min(SUSPECTS, len(acted)))
