"""One line of text for one thing remembered; shared by prompts, tables and pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from gmem.model import Insight, Task, Utterance, answers
from gmem.recall.items import Lesson
from gmem.text import clip, fold

__all__ = ["FENCE", "case_line", "clean", "lesson_line", "step_lines", "unfence", "with_evidence"]

FENCE = "gmem-memory"
_FENCED = re.compile(rf'<{FENCE} recall="([\w-]*)">.*?</{FENCE}>', re.DOTALL)
# Models take a mark with blanks in it, or in full-width letters, for the mark itself.
_MARK = re.compile(r"[<\uff1c\ufe64](?=[^\w<\uff1c\ufe64]*(?:gmem|\uff47\uff4d\uff45\uff4d))", re.IGNORECASE)
QUERY_WIDTH = 1000
ACTION_WIDTH = 400
ANSWER_WIDTH = 160


def clean(text: str) -> str:
    """Make stored text safe to quote: one line, no control or direction characters, no fence of ours."""
    visible = fold(text)
    if not visible.isprintable():
        visible = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"))
    return _MARK.sub("\u2039", visible)


def unfence(text: str) -> str:
    """Replace what the memory delivered, where an agent repeats it whole, by a mark that names it."""
    # Behind the last closing mark nothing can match, and looking there would take quadratic time.
    head, close, tail = text.rpartition(f"</{FENCE}>")
    return _FENCED.sub(r"[memory \1]", head + close) + tail


def lesson_line(lesson: Lesson) -> str:
    """Write a lesson with its evidence."""
    return f"- [{clean(lesson.insight.id)}] {with_evidence(lesson.insight, lesson.successes, lesson.failures)}"


def with_evidence(insight: Insight, succeeded: tuple[int, int], failed: tuple[int, int]) -> str:
    """Write a lesson as advice with what speaks for it.

    Args:
        insight: The lesson.
        succeeded: Resolved runs that followed it, of how many.
        failed: Failed runs that followed it, of how many.
    """
    text = clean(insight.text).rstrip(".")
    (good, successes), (bad, failures) = succeeded, failed
    if insight.polarity == "avoid" and insight.pattern:
        evidence = f"{good} of {successes} successes kept to it, {bad} of {failures} failures"
    elif insight.pattern:
        evidence = f"{good} of {successes} successes did, {bad} of {failures} failures"
    else:
        supports = good + failures - bad
        evidence = f"{supports} of {successes + failures} runs support it"
    return f"{text}: {evidence}."


def case_line(task: Task, doubtful: bool = False) -> str:
    """Write the head of a case: what was asked, what came of it and whether that is in doubt, who is to blame."""
    facts: list[str] = [task.outcome if task.outcome != "unknown" else "outcome unknown"]
    if doubtful:
        facts.append("but many runs that did alike ended otherwise")
    if task.score is not None:
        facts.append(f"score {task.score:g}")
    line = ", ".join(facts)
    if task.reason:
        line += f": {clip(clean(task.reason), ANSWER_WIDTH)}"
    if task.blame:
        line += f"; blamed: {clean(task.blame[0].agent)} at step {task.blame[0].seq}"
    return f"### [{clean(task.id)}] {clip(clean(task.query), QUERY_WIDTH)} ({line})"


def step_lines(
    steps: Sequence[Utterance], action_width: int = ACTION_WIDTH, answer_width: int = ANSWER_WIDTH
) -> list[tuple[int, str]]:
    """Write steps, an action and the answer to it on one line.

    Args:
        steps: Utterances of one task, in order.
        action_width: Characters left of what was said or done.
        answer_width: Characters left of the answer to it.

    Returns:
        (seq, line) in the order of the steps; an answer has no line of its own if its action has one.
    """
    answered = answers(steps)
    merged = {u.seq for u in answered.values()}
    lines: list[tuple[int, str]] = []
    for u in steps:
        if u.seq in merged:
            continue
        speaker = clean(u.agent)
        if u.kind in ("message", "handoff") and u.to:
            speaker += " -> " + ", ".join(clean(name) for name in u.to)
        line = f"{u.seq}. {speaker}: {clip(clean(u.content), action_width)}"
        answer = answered.get(u.seq)
        if answer is not None:
            line += f" => {clip(clean(answer.content), answer_width)}"
        lines.append((u.seq, line))
    return lines
