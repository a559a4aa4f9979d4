"""What a recall gives back: typed parts for code, text for a prompt, and the reasons for each item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gmem.recall import render
from gmem.recall.items import Case, Lesson, Row

__all__ = ["Explanation", "Recall"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reasons of a recall, a row an item: shown ones first, then by score.

    Attributes:
        query: What was asked for.
        role: The role it was projected for; '' for everybody.
        rows: The items.
        notes: What a reader should know of the recall as a whole.
    """

    query: str
    role: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return render.explanation_text(self.query, self.role, self.rows, self.notes)

    def _repr_html_(self) -> str:
        return render.explanation_html(self.query, self.role, self.rows, self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data, for JSON."""
        return {
            "query": self.query,
            "role": self.role,
            "notes": list(self.notes),
            "items": [
                {
                    "id": r.id, "kind": r.kind, "verdict": r.verdict, "path": r.path, "score": round(r.score, 4),
                    "tokens": r.tokens, "why": r.why, "parts": {k: round(v, 4) for k, v in r.parts.items()},
                }
                for r in self.rows
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recall:
    """What the memory delivers for one query and one role.

    Attributes:
        id: Marks the delivered text, so that it is recognised if an agent repeats it.
        query: What was asked for.
        role: The role it is for; '' for everybody.
        lessons: Insights, best first.
        solved: Resolved (or unverified) cases, best first.
        failed: Failed cases, best first.
        text: All of it as one block for a prompt; '' if nothing was found.
        tokens: Price of the text.
        withheld: Ids kept back as a control group.
    """

    id: str
    query: str
    role: str
    lessons: tuple[Lesson, ...]
    solved: tuple[Case, ...]
    failed: tuple[Case, ...]
    text: str
    tokens: int
    withheld: tuple[str, ...]
    _explanation: Explanation

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of everything delivered, lessons first."""
        cases = (*self.solved, *self.failed)
        return (*(lesson.insight.id for lesson in self.lessons), *(case.task.id for case in cases))

    def explain(self) -> Explanation:
        """Say for each item which path found it, its score and price, and what was cut and why."""
        return self._explanation

    def _repr_html_(self) -> str:
        return render.recall_html(self.query, self.tokens, self.lessons, (*self.solved, *self.failed))

    def _repr_markdown_(self) -> str:
        return render.recall_markdown(self.query, self.tokens, self.text)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data, for JSON."""
        return {
            "id": self.id,
            "query": self.query,
            "role": self.role,
            "text": self.text,
            "tokens": self.tokens,
            "lessons": [
                {"id": x.insight.id, "text": x.insight.text, "weight": round(x.weight, 4), "proofs": list(x.proofs)}
                for x in self.lessons
            ],
            "cases": [
                {
                    "id": c.task.id, "query": c.task.query, "outcome": c.task.outcome, "score": c.task.score,
                    "relevance": round(c.relevance, 4), "steps": [u.seq for u in c.steps],
                    "doubt": c.doubt,
                }
                for c in (*self.solved, *self.failed)
            ],
            "withheld": list(self.withheld),
        }  # fmt: skip
