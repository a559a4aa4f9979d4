"""Learning from one task: what happens to the memory when a run ends, or is judged later."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gmem.errors import UnknownId
from gmem.flow import Flow, call
from gmem.graphs.base import Batch, Candidates, GraphStore, Standing
from gmem.ids import new_id
from gmem.learn.blame import blame
from gmem.learn.condense import condense
from gmem.learn.contrast import Contrast, Distiller, Lessons, Neighbour
from gmem.learn.deeds import deeds
from gmem.learn.gates import USUAL, Gates
from gmem.learn.lifecycle import state_of
from gmem.learn.link import LEAST, link
from gmem.learn.panel import Member, Panels, due
from gmem.learn.patterns import Profile, is_habit, profile
from gmem.learn.refine import SHIPPED, Judges, Weights
from gmem.learn.rules import evidence_of, mine_habits
from gmem.model import Evidence, Insight, InsightLink, InsightState, Interaction, Notice, RecallEvent, Task
from gmem.recall.rank import relevance, top
from gmem.text import terms
from gmem.voices import updated

__all__ = ["Scholar", "condensed"]

COMPARED = 12
"""Neighbours of each outcome that a run is compared with."""
REVIEWED = 24
"""Known insights that a run is held against."""
REMEMBERED_PROFILES = 4096


def condensed(task: Task, interaction: Interaction, weights: Weights = SHIPPED) -> Task:
    """Give a task its deeds, its key steps and, if it failed, its suspects; blame that a person gave is kept."""
    task = replace(task, deeds=deeds(task, interaction))
    steps = condense(interaction.utterances, task.outcome)
    suspects = task.blame or blame(task, interaction.utterances, weights)
    return replace(task, key_steps=steps, blame=suspects if task.outcome == "failed" else ())


class Scholar:
    """Compares runs of a store and turns them into batches; writes nothing itself.

    It keeps the profiles of the runs it has seen last, since neighbours are looked at often.
    """

    def __init__(self, store: GraphStore, distiller: Distiller, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self.distiller = distiller
        self.gates: Gates = getattr(distiller, "gates", USUAL)
        self._samples: bool = getattr(distiller, "samples", False)
        self._clock = clock
        self._profiles: OrderedDict[tuple[str, str], Profile] = OrderedDict()
        self._judges = Judges(store, self.gates.trust)
        self._panels = Panels(store, self._profile, lambda team, id: self._profiles.get((team, id)), self.gates)

    def condensed(self, task: Task, interaction: Interaction) -> Task:
        """Give a task its key steps and, if it failed, its suspects, by what the team's people have confirmed."""
        asks = task.outcome == "failed" and not task.blame
        return condensed(task, interaction, self._judges.weights(task.team) if asks else SHIPPED)

    def study(
        self,
        task: Task,
        interaction: Interaction,
        vector: NDArray[np.float32] | None,
        recalls: Sequence[RecallEvent],
        op_id: str,
        *,
        new: bool,
        distil: bool = True,
    ) -> Flow[tuple[Batch, tuple[Notice, ...]]]:
        """Work out everything that one task changes in the memory.

        Args:
            task: The task, condensed.
            interaction: Its interaction graph.
            vector: Embedding of its query, float32 array (d,), unit length, if there is a model.
            recalls: What the run was given.
            op_id: Name of the write.
            new: Whether the task, its trace and its links are to be written too.
            distil: Whether to look for lessons now.

        Returns:
            The batch, and notices for a person.
        """
        verified = task.outcome != "unknown" and task.trust > 0
        lessons = Lessons()
        known: list[tuple[Insight, Standing]] = []
        candidates, scores = yield from call(self._compared, task, vector)
        if verified and distil:
            contrast = yield from call(self._contrast, task, interaction, candidates, scores)
            known = list(contrast.known)
            lessons = yield from self.distiller.distil(contrast)
            met = yield from call(self._met, task.team, lessons.insights, known)
            known += met
            old = {insight.id for insight, _ in met}
            lessons = replace(lessons, insights=tuple(i for i in lessons.insights if i.id not in old))
        evidence = {(e.task_id, e.insight_id): e for e in lessons.evidence}
        before = yield from call(self._store.evidence, task.team, task_id=task.id)
        if not verified and before:  # its outcome was taken back, so it says nothing any more
            known = yield from call(self._about, task.team, before)
        if verified:
            for e in evidence_of(task.id, task.outcome == "resolved", self._profile(task, interaction),
                                 [i for i, _ in known]):  # fmt: skip
                evidence.setdefault((e.task_id, e.insight_id), e)
            for e in before:
                # A changed outcome turns what the task said before.
                evidence.setdefault(
                    (e.task_id, e.insight_id),
                    Evidence(e.task_id, e.insight_id, e.followed, task.outcome == "resolved"),
                )
        insights = yield from call(
            self._states, task.team, lessons.insights, known, list(evidence.values()), lessons.verdicts,
            task, () if verified else before,
        )  # fmt: skip
        batch = Batch(
            team=task.team,
            op_id=op_id,
            tasks=[replace(task, learned=distil)],
            interactions=[interaction] if new else [],
            vectors={task.id: vector} if new and vector is not None else {},
            similar=link(task.id, candidates.ids, scores) if new else [],
            insights=insights,
            evidence=sorted(evidence.values(), key=lambda e: (e.task_id, e.insight_id)),
            links=(yield from call(self._in_use, task, recalls, lessons.insights)),
            recalls=list(recalls) if new else [],
            forget_evidence=[task.id] if before and not verified else [],
        )
        return batch, lessons.notices

    def review(self, team: str) -> Batch | None:
        """Compare a team's habits now, and not only when the next run is due to.

        Returns:
            What changes; None if nothing does.
        """
        panel = self._panels.panel(team, None)
        states: tuple[InsightState, ...] = ("candidate", "active", "rebuild")
        mined = [i for i in self._store.insights(team, states=states) if i.pattern and is_habit(i.pattern)]
        taught, verdicts = mine_habits(team, panel, mined, self._clock(), self.gates)
        known = [(i, self._store.standing(team, i.id)) for i in mined]
        met = self._met(team, [t.insight for t in taught], known)
        old = {insight.id for insight, _ in met}
        new = [t.insight for t in taught if t.insight.id not in old]
        evidence = [e for t in taught for e in t.evidence]
        insights = self._states(team, new, known + met, evidence, verdicts)
        if not (insights or evidence):
            return None
        return Batch(team, "review " + new_id("o"), insights=insights, evidence=evidence)

    # --- reading what the memory knows ----------------------------------------------------------

    def _compared(self, task: Task, vector: NDArray[np.float32] | None) -> tuple[Candidates, NDArray[np.float32]]:
        """Give the tasks that may be like one, and how like it each is: float32 array (n,), 0 for itself."""
        candidates = self._store.candidates(task.team, terms(task.query), vector)
        scores = relevance(candidates)
        own = candidates.rows.get(task.id)
        if own is not None and own < len(scores):
            scores[own] = 0.0
        return candidates, scores

    def _contrast(
        self, task: Task, interaction: Interaction, candidates: Candidates, scores: NDArray[np.float32]
    ) -> Contrast:
        eligible = scores >= LEAST
        near = top(candidates.ids, scores, COMPARED, eligible & (candidates.outcomes > 0))
        near += top(candidates.ids, scores, COMPARED, eligible & (candidates.outcomes < 0))
        near.sort(key=lambda pair: (-pair[1], pair[0]))
        ids = [id for id, _ in near]
        alike = int(np.count_nonzero(eligible & (candidates.outcomes != 0)))
        others: list[Neighbour] = []
        rival = None
        run = Neighbour(task.id, task.outcome == "resolved", self._profile(task, interaction))
        panel: list[Member] = []
        with self._store.reading(task.team):
            # Where there are many such runs already, each new one would teach what the ones before it taught.
            if due(task.id, alike) or not self._samples:
                others, rival = self._neighbours(task, ids, candidates)
            known, mined = self._known(task, ids)
            if due(task.id, int(np.count_nonzero(candidates.outcomes))):
                panel = self._panels.panel(task.team, candidates, (task, interaction))
        return Contrast(task, interaction, run, others, rival, known, self._clock(), panel, mined)

    def _neighbours(
        self, task: Task, ids: Sequence[str], candidates: Candidates
    ) -> tuple[list[Neighbour], tuple[Task, Interaction] | None]:
        """Give the runs to compare with, and of those of the other outcome the nearest one whole, if it is asked for.

        The store is asked once for all of them; who was forgotten since the search is passed over.
        """
        shapes = {id: self._profiles.get((task.team, id)) for id in ids}
        resolved = {id: bool(candidates.outcomes[candidates.rows[id]] > 0) for id in ids}
        opposite = ""
        if not self._samples:
            opposite = next((id for id in ids if resolved[id] != (task.outcome == "resolved")), "")
        cases = self._store.cases(task.team, [id for id in ids if shapes[id] is None or id == opposite])
        others: list[Neighbour] = []
        for id in ids:
            shape = shapes[id]
            if id in cases:
                shape = shape or self._profile(*cases[id], whole=False)
            elif shape is None or id == opposite:
                continue
            others.append(Neighbour(id, resolved[id], shape))
        return others, cases.get(opposite)

    def _known(self, task: Task, neighbours: Sequence[str]) -> tuple[list[tuple[Insight, Standing]], list[Insight]]:
        """Give the insights that the neighbours have a say in, of many those with the nearest say, and all about
        habits, which every run has a say in; and the latter by themselves."""
        ids: dict[str, None] = {}
        for id in (task.id, *neighbours):
            ids.update(dict.fromkeys(e.insight_id for e in self._store.evidence(task.team, task_id=id)))
        states: tuple[InsightState, ...] = ("candidate", "active", "rebuild")
        there = {i.id: i for i in self._store.insights(task.team, states=states)}
        near = [there[id] for id in ids if id in there][:REVIEWED]  # one may be forgotten meanwhile
        mined = [i for i in there.values() if i.pattern and is_habit(i.pattern)]
        # Every run must have its say, or a habit's evidence would come from runs that look like its first ones.
        near += [i for i in mined[:REVIEWED] if i not in near]
        return [(i, self._store.standing(task.team, i.id)) for i in near], mined

    def _met(
        self, team: str, taught: Sequence[Insight], known: Sequence[tuple[Insight, Standing]]
    ) -> list[tuple[Insight, Standing]]:
        """Give the insights that were taught as new, but that runs far from this one had taught before."""
        near = {insight.id for insight, _ in known}
        met = []
        for insight in taught:
            if insight.version == 1 and insight.id not in near:
                try:
                    (stored,) = self._store.insights(team, [insight.id])
                except UnknownId:
                    continue
                met.append((stored, self._store.standing(team, insight.id)))
        return met

    def _about(self, team: str, evidence: Sequence[Evidence]) -> list[tuple[Insight, Standing]]:
        """Give the insights that evidence is about."""
        ids = {e.insight_id for e in evidence}
        return [(i, self._store.standing(team, i.id)) for i in self._store.insights(team) if i.id in ids]

    def _profile(self, task: Task, interaction: Interaction, *, whole: bool = True) -> Profile:
        key = (task.team, task.id)
        found = self._profiles.get(key)
        if found is None or (whole and not found.whole):
            found = self._profiles[key] = profile(task, interaction, whole=whole)
            while len(self._profiles) > REMEMBERED_PROFILES:
                self._profiles.popitem(last=False)
        return found

    def _in_use(self, task: Task, recalls: Sequence[RecallEvent], taught: Sequence[Insight]) -> list[InsightLink]:
        """Tie the insights that were in use during the run, and are still there, to those that it taught."""
        new = [insight.id for insight in taught if insight.version == 1]
        used = {id for event in recalls for id in event.shown if id.startswith("i_")}
        if not (new and used):
            return []
        there = used.intersection(insight.id for insight in self._store.insights(task.team))
        return [InsightLink(source, target, task.id) for source in sorted(there) for target in new if source != target]

    # --- working out what changes ---------------------------------------------------------------

    def _states(
        self,
        team: str,
        changed: Sequence[Insight],
        known: Sequence[tuple[Insight, Standing]],
        evidence: Sequence[Evidence],
        verdicts: Mapping[str, bool],
        own: Task | None = None,
        gone: Sequence[Evidence] = (),
    ) -> list[Insight]:
        """Put every insight in the state that the evidence puts it in, with this batch's and without what goes."""
        now = self._clock()
        standings = {i.id: s for i, s in known}
        said = {e.task_id: {} for e in evidence if e.insight_id in standings}  # type: dict[str, dict[str, Evidence]]
        with self._store.reading(team):
            for task_id, before in said.items():
                before.update({e.insight_id: e for e in self._store.evidence(team, task_id=task_id)})
        about: dict[str, list[tuple[Evidence | None, Evidence | None]]] = {}
        for e in gone:
            about.setdefault(e.insight_id, []).append((e, None))
        for e in evidence:
            about.setdefault(e.insight_id, []).append((said.get(e.task_id, {}).get(e.insight_id), e))
        told = {e.task_id for pairs in about.values() for pair in pairs for e in pair if e is not None}
        origins = self._store.origins(team, sorted(told))
        if own is not None:
            origins[own.id] = own.source, own.trust
        out: dict[str, Insight] = {i.id: i for i in changed}
        for insight in [*changed, *(i for i, _ in known if i.id not in out)]:
            standing = updated(standings.get(insight.id, Standing()), about.get(insight.id, ()), origins)
            state = state_of(insight, standing, verdicts.get(insight.id), self.gates)
            if insight.id in out:
                out[insight.id] = replace(insight, state=state)
            elif state != insight.state:
                out[insight.id] = replace(insight, state=state, updated=now, version=insight.version + 1)
        return [out[id] for id in sorted(out)]
