"""Read the block of notes that a memory puts into an agent's system message.

The reader is tolerant: what it does not know it skips, so a block that was cut by a token budget still reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_BLOCK = re.compile(r"<gmem-memory\b[^>]*>(.*?)(?:</gmem-memory>|\Z)", re.DOTALL)
_SECTION = re.compile(r"^##[ \t]+(.+?)[ \t]*$", re.MULTILINE)
_CASE = re.compile(
    r"^###[ \t]+\[(?P<id>[^\]]+)\][ \t]*(?P<task>.*?)[ \t]*"
    r"(?:\((?P<verdict>(?:resolved|solved|failed|unknown|error)\b.*)\))?[ \t]*$",
    re.MULTILINE,
)
_STEP = re.compile(
    r"^(?P<number>\d+)\.[ \t]+(?P<agent>\w+):[ \t]+(?P<action>.*?)(?:[ \t]+=>[ \t]*(?P<seen>.*))?[ \t]*$",
    re.MULTILINE,
)
_GAP = re.compile(r"^\.\.\. \((\d+) steps left out\)", re.MULTILINE)
_SCORE = re.compile(r"score (-?\d+)")
_LESSON = re.compile(r"^-[ \t]+\[(?P<id>[^\]]+)\][ \t]+(?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One remembered step: who did what, and what came of it (empty when the notes do not say)."""

    number: int
    agent: str
    action: str
    observation: str


@dataclass(frozen=True)
class Case:
    """An earlier task as the notes tell it.

    Attributes:
        id: Names it.
        task: Its text.
        solved: Whether it was solved.
        score: What it scored, if the notes say.
        steps: What was done, in order.
        missing: How many steps the notes leave out.
    """

    id: str
    task: str
    solved: bool
    score: int | None
    steps: tuple[Step, ...]
    missing: int = 0


@dataclass(frozen=True)
class Notes:
    """What the notes hold, each part in the order of the text, best first."""

    lessons: tuple[str, ...] = ()
    solved: tuple[Case, ...] = ()
    failed: tuple[Case, ...] = ()


@lru_cache(maxsize=256)
def read_notes(text: str) -> Notes:
    """Read every block of notes in a text.

    Args:
        text: A system message, or any text; what stands outside of the blocks is ignored.

    Returns:
        The lessons and the cases; all empty when the text holds no notes.
    """
    lessons: list[str] = []
    cases: dict[bool, list[Case]] = {True: [], False: []}
    for block in _BLOCK.findall(text):
        headings = list(_SECTION.finditer(block))
        for heading, end in zip(headings, [h.start() for h in headings[1:]] + [len(block)], strict=True):
            title, body = heading.group(1).lower(), block[heading.end() : end]
            if title.startswith("lesson"):
                lessons += [found["text"].strip() for found in _LESSON.finditer(body)]
            elif title.startswith(("solved", "failed")):
                solved = title.startswith("solved")
                cases[solved] += _cases(body, solved)
    return Notes(tuple(lessons), tuple(cases[True]), tuple(cases[False]))


def _cases(body: str, solved: bool) -> list[Case]:
    """Cut a section into its cases."""
    found = list(_CASE.finditer(body))
    out = []
    for head, end in zip(found, [h.start() for h in found[1:]] + [len(body)], strict=True):
        score = _SCORE.search(head["verdict"] or "")
        told = body[head.end() : end]
        out.append(
            Case(
                id=head["id"],
                task=head["task"],
                solved=solved,
                score=int(score.group(1)) if score else None,
                steps=tuple(
                    Step(
                        int(s["number"]),
                        s["agent"],
                        s["action"].strip(),
                        (s["seen"] or "").replace(" / ", "\n"),
                    )
                    for s in _STEP.finditer(told)
                ),
                missing=sum(map(int, _GAP.findall(told))),
            )
        )
    return out
