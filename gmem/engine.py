"""The engine: each operation of a memory, written once as a flow (see `gmem.flow`)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from gmem import checks, ids
from gmem.embed import WORDS_ONLY, Embedder
from gmem.errors import EmbedderMismatch, EmbeddingError, GmemError, InvalidInput, UnknownId, WriteConflict
from gmem.flow import Flow, call, either
from gmem.graphs.base import GraphStore
from gmem.learn import Distiller, Scholar, upkeep
from gmem.model import Interaction, Model, Notice, Outcome, Suspect, Task
from gmem.recall import Recall, RecallSettings
from gmem.recall.deliver import deliver
from gmem.recall.traverse import traverse
from gmem.reembed import Progress, reembed
from gmem.trace import Recording

__all__ = ["Engine", "Progress"]

log = logging.getLogger("gmem")
ATTEMPTS = 4
CONSOLIDATE_EVERY = 50
"""Learned tasks between two automatic consolidations."""


class _Vector(NamedTuple):
    """A vector, float32 array (d,), or None; and the model that it is of, where the store has to check that."""

    of: NDArray[np.float32] | None
    model: Model | None = None


class Engine:
    """The operations of one team's memory as flows."""

    def __init__(
        self,
        store: GraphStore,
        team: str,
        embedder: Embedder | None,
        distiller: Distiller,
        settings: RecallSettings,
    ) -> None:
        self.store = store
        self.team = team
        self.embedder = embedder
        self._next = embedder
        self.settings = settings
        self.notices: deque[Notice] = deque(maxlen=100)
        self._scholar = Scholar(store, distiller)
        self._since_consolidation = 0

    # --- recall ---------------------------------------------------------------------------------

    def recall(self, query: str, role: str = "", *, run_id: str = "", **changes: Any) -> Flow[Recall]:
        """Find what helps with a query, for a role."""
        found = yield from self.recall_each(query, [role], run_id=run_id, **changes)
        return found[role]

    def recall_each(
        self, query: str, roles: Iterable[str], *, run_id: str = "", **changes: Any
    ) -> Flow[dict[str, Recall]]:  # fmt: skip
        """Find what helps with a query, for several roles; the graphs are walked once for all of them."""
        checks.text(query, "the query", checks.MAX_QUERY)
        if isinstance(roles, str):
            raise InvalidInput(f"roles must be a list of names, such as [{roles!r}]; `recall` takes a single one")
        roles = dict.fromkeys(roles)
        for role in roles:
            if role != "":
                checks.name(role, "role")
        settings = _changed(self.settings, changes)
        own = frozenset({run_id} - {""})
        vector = yield from self._asked(query)
        try:
            found = yield from call(traverse, self.store, self.team, query, vector, settings, own)
        except InvalidInput:
            old, vector = vector, (yield from self._asked(query))
            if not _moved(old, vector):
                raise
            found = yield from call(traverse, self.store, self.team, query, vector, settings, own)
        return {role: deliver(found, role, settings, ids.new_id("r"), group=run_id) for role in roles}

    def _asked(self, query: str) -> Flow[NDArray[np.float32] | None]:
        """Embed a query, if there is a model."""
        if self.embedder is None and self._next is None:
            return None
        return (yield from self._embed(query, (yield from call(self.store.embedder)))).of

    def _embed(self, text: str, recorded: Model | None) -> Flow[_Vector]:
        """Embed a text by the recorded model, which is this memory's, or the one that it is being moved to."""
        if recorded is not None and _gives(self._next, recorded):
            self.embedder = self._next
        embedder = self.embedder
        if embedder is not None and recorded is not None and recorded.name != embedder.name:
            raise EmbedderMismatch(
                f"{self.store.location} was moved from {embedder.name} to {recorded.name} after this Memory was "
                "opened; open it again"
            )
        if embedder is None:
            return _Vector(None, WORDS_ONLY)
        vector = yield from either(lambda: embedder.query(text), lambda: embedder.aquery(text))
        if recorded is not None and len(vector) != recorded.dimension:
            raise EmbedderMismatch(
                f"{embedder.name} gives vectors of length {len(vector)}, and {self.store.location} was made by another "
                f"program meanwhile, with vectors of length {recorded.dimension}; open it again"
            )
        return _Vector(vector if vector.any() else None, Model(embedder.name, len(vector)))

    # --- learning -------------------------------------------------------------------------------

    def finish(self, recording: Recording, written: Callable[[], None] = lambda: None) -> Flow[Task]:
        """Store a run that has ended, and learn from it if its outcome is verified.

        Args:
            recording: The run.
            written: Called as soon as the store has the run, before a model writes lessons from it.
        """
        interaction = Interaction(recording.task.id, recording.utterances)
        task = yield from call(self._scholar.condensed, recording.task, interaction)
        verified = task.outcome != "unknown"
        at_once = verified and not self._scholar.distiller.external
        new = yield from self._study_and_write(
            task, interaction, lambda: self._vector(task), f"task {task.id}", recording=recording, distil=at_once
        )
        written()
        if not new:
            stored: Task = yield from call(self._same, recording)
            return stored
        if verified and not at_once:
            try:
                yield from self._study_and_write(
                    task, interaction, lambda: self._stored_vector(task.id), f"learn {task.id}",
                    before=replace(task, learned=False), distil=True,
                )  # fmt: skip
            except UnknownId:
                return task  # forgotten while the model was asked
            except WriteConflict:
                log.info("gmem: task %s was judged or learned by somebody else meanwhile", task.id)
        if verified:
            self._since_consolidation += 1
            if self._since_consolidation >= CONSOLIDATE_EVERY:
                yield from self.consolidate(review=False)  # that has its own time, see `due`
        (stored,) = yield from call(self.store.tasks, self.team, [task.id])
        return stored

    def _study_and_write(
        self, task: Task, interaction: Interaction, embed: Callable[[], Flow[_Vector]], op_id: str,
        *, recording: Recording | None = None, before: Task | None = None, distil: bool,
    ) -> Flow[bool]:  # fmt: skip
        """Work out a batch and write it; what another writer changed meanwhile is taken into account.

        A task that is stored already must still be as it was read, `before`: it may have been forgotten,
        or judged by somebody else, while a model was asked.
        """
        vector = yield from embed()
        for attempt in range(ATTEMPTS):
            try:
                batch, notices = yield from self._scholar.study(
                    task, interaction, vector.of, recording.recalls if recording else (), op_id,
                    new=recording is not None, distil=distil and attempt < ATTEMPTS - 1,
                )  # fmt: skip
            except UnknownId:
                raise
            except InvalidInput:
                old, vector = vector, (yield from embed())
                if not _moved(old.of, vector.of):
                    raise
                continue
            except GmemError:
                raise
            except Exception as error:  # a flaw in learning must not cost the team its trace
                if not distil:
                    raise
                log.exception("gmem: learning from %s failed; its trace is stored all the same", task.id)
                self._notice(Notice(
                    "learning-failed",
                    f"learning from {task.id} failed ({type(error).__name__}); `gmem learn` tries again",
                ))  # fmt: skip
                distil = False
                continue
            if before is not None and before != (yield from call(self.store.tasks, self.team, [task.id]))[0]:
                raise WriteConflict(f"task {task.id} was changed by somebody else meanwhile; try again")
            try:
                (done,) = yield from call(self.store.write, [replace(batch, embedder=vector.model)])
            except WriteConflict:
                continue
            except EmbedderMismatch:
                vector = yield from embed()  # the memory was moved to another model meanwhile
                continue
            except InvalidInput:
                if attempt == ATTEMPTS - 1:
                    raise
                continue  # it may name what was forgotten since it was worked out
            for notice in notices:
                self._notice(notice)
            return done
        raise WriteConflict(f"task {task.id} met other writers {ATTEMPTS} times; nothing of it was stored, try again")

    def _notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        log.warning("gmem: %s", notice)

    def _vector(self, task: Task) -> Flow[_Vector]:
        """Embed a task that is to be stored; a model that fails must not cost the team its trace."""
        try:
            recorded = yield from call(self._record_embedder)
            vector = yield from self._embed(task.query, recorded)
            if recorded == vector.model:
                return vector
            reason = EmbedderMismatch.__name__  # without a model of its own, in a memory that has one by now
        except (EmbeddingError, EmbedderMismatch) as error:
            reason = type(error).__name__
        self._notice(Notice(
            "not-embedded",
            f"task {task.id} is stored without a vector and found by its words only ({reason}); `gmem reembed` "
            "gives it one",
        ))  # fmt: skip
        return _Vector(None)

    def _record_embedder(self) -> Model:
        """Write down the embedding model with the first task, or words only on purpose; gives what is recorded."""
        recorded = self.store.embedder()
        if recorded is None:
            chosen = self.embedder.model if self.embedder is not None else WORDS_ONLY
            self.store.set_embedder(chosen, first=True)
            recorded = self.store.embedder() or chosen
        return recorded

    def _stored_vector(self, task_id: str) -> Flow[_Vector]:
        return _Vector((yield from call(self.store.vectors, self.team, [task_id])).get(task_id))

    def _same(self, recording: Recording) -> Task:
        """Give the stored task of that id, if it is this very run; times do not count."""
        id = recording.task.id
        try:
            (stored,) = self.store.tasks(self.team, [id])
        except UnknownId:
            raise InvalidInput(
                f"task {id} was forgotten, and does not come back under the same id; choose another run_id"
            ) from None
        trace = self.store.interaction(self.team, id).utterances
        same = stored.query == recording.task.query and [(u.agent, u.content) for u in trace] == [
            (u.agent, u.content) for u in recording.utterances
        ]
        if not same:
            raise InvalidInput(f"there is another task {id} in team {self.team!r}; choose another run_id")
        return stored

    def feedback(
        self, run_id: str, *, outcome: Outcome | None = None, score: float | None = None, text: str = "",
        reason: str = "", blame: tuple[str, int, str] | None = None,
    ) -> Flow[Task]:  # fmt: skip
        """Add a later judgement to a task, and learn from it anew."""
        if outcome is not None:
            checks.choice(outcome, "outcome", get_args(Outcome))
        figure = None if score is None else checks.number(score, "score")
        checks.text(text, "feedback", empty=True)
        checks.text(reason, "reason", empty=True)
        for attempt in range(ATTEMPTS):
            try:
                judged = yield from self._judge(run_id, outcome, figure, text, reason, blame)
            except WriteConflict:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        return judged

    def _judge(
        self, run_id: str, outcome: Outcome | None, figure: float | None, text: str, reason: str,
        blame: tuple[str, int, str] | None,
    ) -> Flow[Task]:  # fmt: skip
        (task,) = yield from call(self.store.tasks, self.team, [run_id])
        interaction = yield from call(self.store.interaction, self.team, run_id)
        suspects = task.blame if outcome in (None, task.outcome) else ()
        if (text or reason) and not task.confirmed:
            suspects = ()  # found without what is told now
        if blame is not None:
            suspects = (self._suspect(interaction, *checks.blame(blame)),)
        told = task.feedback if text in task.feedback.split("\n") else "\n".join(filter(None, (task.feedback, text)))
        judged = replace(
            task, outcome=outcome or task.outcome, score=task.score if figure is None else figure,
            reason=reason or task.reason, feedback=told, blame=suspects, learned=False,
        )  # fmt: skip
        judged = yield from call(self._scholar.condensed, judged, interaction)
        if judged == replace(task, learned=False):
            return task
        op = f"feedback {ids.new_id('o')}"  # the same judgement may come again after another one
        yield from self._study_and_write(
            judged, interaction, lambda: self._stored_vector(run_id), op,
            before=task, distil=judged.outcome != "unknown",
        )  # fmt: skip
        (stored,) = yield from call(self.store.tasks, self.team, [run_id])
        return stored

    def _suspect(self, interaction: Interaction, agent: str, seq: int, reason: str) -> Suspect:
        if not 0 <= seq < len(interaction.utterances):
            raise InvalidInput(
                f"blame names step {seq}, but task {interaction.task_id} has 0 to {len(interaction.utterances) - 1}"
            )
        return Suspect(checks.name(agent, "agent"), seq, checks.text(reason, "reason", empty=True), 1.0)

    def learn(self, progress: Progress | None = None) -> Flow[int]:
        """Learn from every verified task that was stored but not learned from."""
        waiting: list[str] = []
        for outcome in ("resolved", "failed"):
            waiting += yield from call(self.store.task_ids, self.team, outcome=outcome, learned=False)
        for done, id in enumerate(waiting, 1):
            try:
                (task,) = yield from call(self.store.tasks, self.team, [id])
                interaction = yield from call(self.store.interaction, self.team, id)
                op = f"learn {ids.new_id('o')}"
                embed = partial(self._stored_vector, id)
                yield from self._study_and_write(task, interaction, embed, op, before=task, distil=True)
            except (UnknownId, WriteConflict):
                continue  # forgotten, or judged and learned by somebody else meanwhile
            if progress is not None:
                progress(done, len(waiting))
        return len(waiting)

    # --- keeping the insights true --------------------------------------------------------------

    def consolidate(self, *, review: bool = True) -> Flow[tuple[str, ...]]:
        """Merge lessons that say the same, put each in the state its evidence gives it, and compare habits anew."""
        found = (yield from call(self._review)) if review else ()
        changed = yield from call(upkeep.consolidate, self.store, self.team, self._scholar.gates)
        self._since_consolidation = 0
        return (*changed, *(id for id in found if id not in changed))

    def _review(self) -> tuple[str, ...]:
        batch = self._scholar.review(self.team) if hasattr(self._scholar.distiller, "gates") else None
        if batch is None:
            return ()
        try:
            self.store.write([batch])
        except (WriteConflict, InvalidInput):
            return ()  # another process is at it, or has forgotten a task; the next round sees what is left
        return tuple(i.id for i in batch.insights)

    def forget(
        self, *, task: str = "", agent: str = "", source: str = "", everything: bool = False
    ) -> Flow[upkeep.Receipt]:
        """Remove tasks, and every insight that nothing supports without them."""
        return (
            yield from call(
                upkeep.forget, self.store, self.team, task=task, agent=agent, source=source, everything=everything
            )
        )

    # --- embedding anew -------------------------------------------------------------------------

    def reembed(self, embedder: Embedder | None, progress: Progress | None = None) -> Flow[int]:
        """Replace every vector of every team of the store by those of another model."""
        self._next = embedder  # whoever records or recalls meanwhile takes it as soon as the store has it
        vectors = yield from reembed(self.store, embedder, progress)
        self.embedder = embedder
        return vectors


def _moved(old: NDArray[np.float32] | None, new: NDArray[np.float32] | None) -> bool:
    """Tell from a text's vector, and the same made anew, whether the store was moved to another model in between."""
    return old is not None and (new is None or old.shape != new.shape)


def _gives(embedder: Embedder | None, model: Model) -> bool:
    """Tell whether an embedder is of a model, as far as that is known without asking it."""
    if embedder is None:
        return model == WORDS_ONLY
    return embedder.name == model.name and embedder.known_dimension in (None, model.dimension)


def _changed(settings: RecallSettings, changes: Mapping[str, Any]) -> RecallSettings:
    if not changes:
        return settings
    known = {f.name for f in fields(RecallSettings)}
    if unknown := sorted(set(changes) - known):
        raise InvalidInput(f"recall has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return replace(settings, **changes)
