"""The `llm` distiller: a chat model says what a run teaches; what it says is checked, not believed.

One call per learned task (and one repair).  The model sees the key steps of the run and of its nearest
rival, and the known lessons by number.  It cannot touch anything but by operations on those numbers,
and each operation is checked before it becomes a lesson or evidence.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from gmem.errors import BudgetExceeded, GmemError
from gmem.flow import Flow, call
from gmem.graphs.base import Standing
from gmem.ids import insight_id
from gmem.learn.contrast import Contrast, Distiller, Lessons
from gmem.learn.gates import USUAL, Gates
from gmem.learn.lifecycle import negated, same_lesson
from gmem.learn.patterns import follows
from gmem.learn.rules import RulesDistiller, with_habits
from gmem.llm import ChatModel, ModelFailure
from gmem.model import Evidence, Insight, Notice, Polarity
from gmem.recall.lines import clean
from gmem.text import overlap, words

if TYPE_CHECKING:
    from gmem.prompts import Operation

__all__ = ["ModelDistiller", "lessons_of"]

OPERATION = "distil"
"""Name under which the model's calls are counted."""
MAX_ADDED = 3
MAX_OPERATIONS = 12
MAX_LENGTH = 240
MIN_WORDS = 3
KEPT = 0.3
"""Share of its words that a reworded lesson must keep; else it would take another lesson's evidence."""
_REMEMBERED = 64
_FAILURE_HOLDS = 60.0
"""Seconds for which a model that failed at a task is not asked about that task again."""
_ID = re.compile(r"\b[tir]_[0-9a-f]{8,}\b")
_MARKUP = re.compile(r"gmem-memory|\u2039|<[/|]?\w|```|\[memory\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the model answered about one task: operations on lessons, by number, or why there is nothing."""

    operations: tuple[Operation, ...] = ()
    numbered: tuple[str, ...] = ()
    degraded: Notice | None = None
    at: float = 0.0


class ModelDistiller:
    """Asks a chat model for lessons, and mines them by rules where it is of no help.

    It never raises for what a model did: whatever goes wrong, the result is that of the fallback, with
    a notice that says so and why.  A task that has to be studied anew since another writer came first
    is not asked about again.

    Args:
        model: Whom to ask.
        fallback: Who distils when the model cannot; the rules by default.
    """

    name = "llm"
    external = True

    def __init__(self, model: ChatModel, fallback: Distiller | None = None) -> None:
        self.model = model
        self._fallback = fallback or RulesDistiller()
        self.gates: Gates = getattr(self._fallback, "gates", USUAL)
        self._heard: OrderedDict[tuple[str, ...], _Heard] = OrderedDict()
        self._lock = Lock()

    def distil(self, contrast: Contrast) -> Flow[Lessons]:
        """Learn from a contrast, by one call of the model at most and one repair."""
        task = contrast.task
        key = (task.team, task.id, task.outcome, str(task.score), task.reason, task.feedback)
        with self._lock:
            heard = self._heard.get(key)
        if heard is None or (heard.degraded is not None and contrast.now - heard.at > _FAILURE_HOLDS):
            heard = replace((yield from self._ask(contrast)), at=contrast.now)
            with self._lock:
                self._heard[key] = heard
                while len(self._heard) > _REMEMBERED:
                    self._heard.popitem(last=False)
        if heard.degraded is not None:
            lessons = yield from self._fallback.distil(contrast)
            return replace(lessons, notices=(*lessons.notices, heard.degraded))
        # A model sees one run and its rival; what only many runs show together is mined all the same.
        return with_habits(lessons_of(contrast, heard.operations, heard.numbered), contrast, self.gates)

    def _ask(self, contrast: Contrast) -> Flow[_Heard]:
        task = contrast.task
        try:
            yield from call(self.model.load)
            from gmem import prompts

            known = sorted(contrast.known, key=_importance)
            asked = prompts.lessons_prompt(task, contrast.interaction, contrast.rival, known)
            if asked is None:
                return _Heard(degraded=self._degraded(task.id, "nothing-to-show", "the run has no steps of its own"))
            prompt, numbered = asked
            answer = yield from self.model.ask(OPERATION, prompt, prompts.Lessons)
        except GmemError as error:
            code = (
                "budget" if isinstance(error, BudgetExceeded)
                else error.kind if isinstance(error, ModelFailure)
                else "failed"
            )  # fmt: skip
            return _Heard(degraded=self._degraded(task.id, code, str(error)))
        return _Heard(tuple(answer.operations), tuple(i.id for i in numbered))

    def _degraded(self, task_id: str, code: str, why: str) -> Notice:
        return Notice(
            f"llm-{code}", f"task {task_id} was learned by {self._fallback.name} instead of {self.model.name}: {why}"
        )


def _importance(known: tuple[Insight, Standing]) -> tuple[bool, int, str]:
    """Lessons that are in force first, then those with most evidence."""
    insight, standing = known
    return insight.state != "active", -(standing.supports + standing.contradicts), insight.id


# --- from operations to lessons ------------------------------------------------------------------


def lessons_of(contrast: Contrast, operations: Sequence[Operation], numbered: Sequence[str]) -> Lessons:
    """Check a model's operations one by one, and turn those that hold into lessons and evidence.

    Args:
        contrast: What the model was shown, as it stands now.
        operations: What it answered.
        numbered: Ids of the lessons that it was shown, the first being number 1.

    Returns:
        The lessons; a notice for each operation that was refused.
    """
    reader = _Reader(contrast, numbered)
    for operation in operations[:MAX_OPERATIONS]:
        refused = reader.take(operation)
        if refused:
            reader.notices.append(
                Notice("llm-refused-operation", f"task {contrast.task.id}: {operation.op} was refused: {refused}")
            )
    if len(operations) > MAX_OPERATIONS:
        reader.notices.append(
            Notice(
                "llm-refused-operation",
                f"task {contrast.task.id}: of {len(operations)} operations the first {MAX_OPERATIONS} were looked at",
            )
        )
    if not operations:
        reader.notices.append(Notice("llm-nothing", f"task {contrast.task.id}: the model found nothing to learn in it"))
    return Lessons(tuple(reader.insights.values()), tuple(reader.evidence.values()), tuple(reader.notices))


class _Reader:
    """Takes operations in their order; what one of them changed, the next ones see."""

    def __init__(self, contrast: Contrast, numbered: Sequence[str]) -> None:
        self._contrast = contrast
        self._numbered = numbered
        self._known = {insight.id: insight for insight, _ in contrast.known}
        self._roles = _roles(contrast)
        self._rival = contrast.rival[0].id if contrast.rival is not None else ""
        self._ids = [id for id in (contrast.task.id, self._rival) if len(id) >= 6]
        self._added = 0
        self.insights: dict[str, Insight] = {}
        self.evidence: dict[tuple[str, str], Evidence] = {}
        self.notices: list[Notice] = []

    def take(self, operation: Operation) -> str:
        """Do one operation; give the reason if it is refused."""
        if operation.op == "ADD":
            return self._add(operation)
        if not 1 <= operation.n <= len(self._numbered):
            return f"there is no lesson {operation.n}, {len(self._numbered)} were shown"
        known = self._known.get(self._numbered[operation.n - 1])
        if known is None:
            return f"lesson {operation.n} is gone meanwhile"
        if operation.op == "EDIT":
            return self._edit(known, operation)
        return self._judge(known, agree=operation.op == "AGREE")

    def _add(self, operation: Operation) -> str:
        text, refused = _checked(operation.text, self._ids)
        if refused:
            return refused
        polarity: Polarity = "avoid" if operation.polarity == "avoid" else "do"
        for insight in (*self._known.values(), *self.insights.values()):
            if insight.polarity == polarity and same_lesson(insight.text, text):
                return self._judge(insight, agree=True) if insight.id in self._known else "it was added already"
        if self._added == MAX_ADDED:
            return f"{MAX_ADDED} lessons were added already"
        self._added += 1
        c = self._contrast
        rival = self._rival
        id = insight_id(polarity, " ".join(words(text)))
        self.insights[id] = Insight(
            id=id, team=c.task.team, text=text, polarity=polarity, audience=self._audience(operation.roles),
            state="candidate", origin="llm", created=c.now, updated=c.now,
            taught_by=(self._pair(),),
        )  # fmt: skip
        # The contrast is that the resolved run went as the lesson says and the failed one did not.
        self._say(id, c.task.id, followed=c.run.resolved, resolved=c.run.resolved)
        if rival:
            self._say(id, rival, followed=not c.run.resolved, resolved=not c.run.resolved)
        return ""

    def _edit(self, known: Insight, operation: Operation) -> str:
        text, refused = _checked(operation.text, self._ids)
        if refused:
            return refused
        if known.pattern:
            return f"lesson {operation.n} was mined, and says what was counted"
        if known.origin == "person":
            return f"lesson {operation.n} was written by a person"
        if known.id in self.insights:
            return f"lesson {operation.n} was reworded already"
        if text == known.text:
            return "it is the same text"
        if overlap(words(known.text), words(text)) < KEPT:
            return f"it says something else than lesson {operation.n}"
        if negated(known.text, text):
            return f"it turns lesson {operation.n} into its opposite"
        others = [i for i in (*self._known.values(), *self.insights.values()) if i.id != known.id]
        if any(i.polarity == known.polarity and same_lesson(i.text, text) for i in others):
            return "another lesson says the same"
        self.insights[known.id] = replace(
            known, text=text, version=known.version + 1, updated=self._contrast.now,
            taught_by=tuple(dict.fromkeys((*known.taught_by, self._pair()))),
        )  # fmt: skip
        return ""

    def _pair(self) -> tuple[str, str]:
        """Give the runs that the model was shown, the resolved one first."""
        task = self._contrast.task.id
        return (task, self._rival) if self._contrast.run.resolved else (self._rival, task)

    def _judge(self, known: Insight, *, agree: bool) -> str:
        run = self._contrast.run
        if known.pattern and follows(known.pattern, run.profile) is not None:
            return ""  # what the run says about a mined lesson is counted, not asked
        if (run.task_id, known.id) in self.evidence:
            return "this run has had its say about that lesson"
        self._say(known.id, run.task_id, followed=run.resolved == agree, resolved=run.resolved)
        return ""

    def _say(self, insight: str, task: str, *, followed: bool, resolved: bool) -> None:
        self.evidence[task, insight] = Evidence(task, insight, followed, resolved)

    def _audience(self, roles: Sequence[str]) -> tuple[str, ...]:
        """Give the roles of the team that were named; a lesson for nobody we know is for everybody."""
        return tuple(sorted({self._roles[name] for role in roles if (name := role.strip().casefold()) in self._roles}))


def _roles(contrast: Contrast) -> dict[str, str]:
    """Give the roles of the team, by role and by agent as a model might write them."""
    found: dict[str, str] = {}
    runs = [(contrast.task, contrast.interaction)] + ([contrast.rival] if contrast.rival is not None else [])
    for task, interaction in runs:
        cast = {**task.agents, **{u.agent: u.role for u in interaction.utterances if u.role}}
        for agent, role in cast.items():
            found.setdefault(agent.casefold(), role)
        found.update((role.casefold(), role) for role in cast.values())
    return found


def _checked(text: str, ids: Sequence[str]) -> tuple[str, str]:
    """Give a lesson's text as it may be stored, and why it may not be."""
    line = clean(text).strip().strip("\"'").strip()
    if len(words(line)) < MIN_WORDS:
        return line, f"its text has fewer than {MIN_WORDS} words"
    if len(line) > MAX_LENGTH:
        return line, f"its text is {len(line)} characters long, at most {MAX_LENGTH} are kept"
    if _ID.search(line) or any(id in line for id in ids):
        return line, "its text names a run or lesson by its id"
    if _MARKUP.search(line) or _MARKUP.search(text):
        return line, "its text holds marks of a prompt"
    return line, ""
