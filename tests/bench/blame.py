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
from dataclasses import replace

from gmem.learn.blame import SUSPECTS, ordered
from gmem.learn.clues import accused, clues
from gmem.learn.refine import Judged as Confirmed
from gmem.learn.refine import Weights, refine
from gmem.learn.refine import judged as looked_at
from gmem.model import Interaction, Suspect, Utterance

from .fit_blame import Example, Judged, example, fitted, read
from .report import Bench, Figure, Table

__all__ = ["measure"]

FILE = "raw/whowhen.tar.gz"
FOLDS = 10
DRAWS = 3
PARTS = 3
CONFIRMED = (5, 10, 20, 40)
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
    return [Table(TITLE, HEAD, rows, notes, drawn=("agent", "step", "in top 3")), *_refined(runs, groups, draws)]


def _refined(runs: Sequence[Judged], groups: Mapping[str, Sequence[int]], draws: int) -> list[Table]:
    """Let people confirm ever more failures of a team, and blame in those of its other questions."""
    rows: list[Sequence[Figure]] = []
    for told in (False, True):
        seen = [clues(run.task, run.said, run.reason if told else "") for run in runs]
        judged = [_as_judged(run) for run in runs]
        for team in ("CaptainAgent", "Magentic-One"):
            for known in (False, True):
                hits: dict[int, list[Hits]] = {}
                for draw in range(draws):
                    for fold in range(PARTS):
                        _confirm(runs, seen, judged, told, groups[team], known, (draw, fold), hits)
                for count, found in sorted(hits.items()):
                    agent, step, _, top = (statistics.mean(hit[at] for hit in found) for at in range(4))
                    better = statistics.mean(h[1] for h in found) - statistics.mean(h[1] for h in hits[0])
                    how = "with the reason" if told else "from the trace alone"
                    rows.append(
                        (team, how, "both teams" if known else "the other team", count, agent, step, better, top)
                    )
    head = ("team", "how", "shipped weights fitted to", "confirmed", "agent", "step", "step, gained", "in top 3")
    notes = (
        "both teams: the other team, and half of this team's other questions, which are then not confirmed; "
        "confirmed: failures of other questions of this team, for which people blamed somebody with memory.feedback",
        f"a third of the team's questions is blamed in, in turn; mean of {draws} draws; 0 confirmed: as shipped",
    )
    return [Table("Blame refined by what a team's people confirm", head, rows, notes, drawn=("step",))]


def _confirm(
    runs: Sequence[Judged], seen: Sequence[Seen], judged: Sequence[Confirmed], told: bool, team: Sequence[int],
    known: bool, draw: tuple[int, int], hits: dict[int, list[Hits]],
) -> None:  # fmt: skip
    rng = random.Random(f"confirm {draw[0]}")
    questions = sorted({_question(runs[i]) for i in team})
    rng.shuffle(questions)
    asked = set(questions[draw[1] :: PARTS])
    test = [i for i in team if _question(runs[i]) in asked]
    pool = [i for i in team if _question(runs[i]) not in asked]
    rng.shuffle(pool)
    cut = len(pool) // 2 if known else 0
    shown = [i for i in range(len(runs)) if i not in team and _question(runs[i]) not in asked] + pool[:cut]
    shipped = Weights(*fitted(
        [(judged[i].plain, judged[i].blame) for i in shown], [(judged[i].rows, judged[i].blame) for i in shown]
    ))  # fmt: skip
    confirmed = [judged[i] for i in pool[cut:]]
    for count in (0, *CONFIRMED):
        if count <= len(confirmed):
            found = refine(confirmed[:count], shipped)
            for i in test:
                best = [seen[i][place][0] for place, _ in ordered(seen[i], found.told if told else found.plain)]
                hits.setdefault(count, []).append(_hits(runs[i], best))


def _as_judged(run: Judged) -> Confirmed:
    suspect = Suspect(run.agent, run.step, "", 1.0)
    task = replace(run.task, reason=run.reason, blame=(suspect,))
    return looked_at(task, Interaction(task.id, run.said))


def _drawn(runs: Sequence[Judged], told: bool, draws: int) -> list[list[Hits]]:
    seen = [clues(run.task, run.said, run.reason if told else "") for run in runs]
    shown = [example(run, told) for run in runs]
    return [_crossed(runs, seen, shown, told, _folds(runs, seed)) for seed in range(draws)]


def _folds(runs: Sequence[Judged], seed: int) -> list[int]:
    """Deal the runs to folds; those of one question stay together."""
    questions = sorted({_question(run) for run in runs})
    random.Random(seed).shuffle(questions)
    fold = {question: place % FOLDS for place, question in enumerate(questions)}
    return [fold[_question(run)] for run in runs]


def _question(run: Judged) -> str:
    """Give what two teams that played a question have in common; one was told more behind it."""
    return " ".join(run.task.query.split())[:80]


def _crossed(
    runs: Sequence[Judged], seen: Sequence[Seen], shown: Sequence[Example], told: bool, folds: Sequence[int]
) -> list[Hits]:
    found: dict[int, Hits] = {}
    for fold in range(FOLDS):
        part = [it for it, its in zip(shown, folds, strict=True) if its != fold]
        plain, more = fitted([] if told else part, part if told else [])
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
