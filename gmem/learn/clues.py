"""Clues: what can be seen of each utterance of a failed run, as figures; pure functions of the trace."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise

from gmem.model import Task, Utterance
from gmem.text import fold, words

__all__ = ["ERROR", "GUESS", "accused", "clues", "replies"]

LONGEST = 20_000
"""Characters of an utterance that are looked at."""
_MACHINE = re.compile(r"terminal|executor|environment|interpreter|console|sandbox|shell|runtime", re.I)
_EXIT = re.compile(r"^\s*exit ?code:? *(-?\d+)", re.I)
ERROR = re.compile(
    r"\b(error|exception|traceback|failed|failure|cannot|can't|could not|couldn't|unable|invalid|not found|no such|"
    r"denied|refused|timed? ?out|wrong|incorrect|undefined|404)\b",
    re.I,
)
GUESS = re.compile(
    r"\b(assum\w*|suppos\w*|presum\w*|probably|guess\w*|likely|hypothetical\w*|placeholder\w*|example|simulat\w*|"
    r"approximat\w*|estimate[sd]?|typically|generally|manually|known)\b",
    re.I,
)
_SEARCH = re.compile(r"\b(search\w*|bing|google|browse\w*|web\w*|click\w*|scroll\w*|typed|query|url|https?)\b", re.I)
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_LEADS = re.compile(r"orchestrat|manager|planner|coordinator|supervisor|lead|moderator|director", re.I)
_FILES = re.compile(r"file|document|reader", re.I)
_HELPS = re.compile(r"assistant|helper", re.I)
_ITEM = re.compile(r"(?m)^\s*(\d+\.|[-*])\s")
_LINK = re.compile(r"\]\(http|\]\(/")
_WORD = re.compile(r"\w+")
_CODE = re.compile(r"code|script|algorithm|program", re.I)
_END = re.compile(r"conclu|final|answer|factual", re.I)
_PLAN = re.compile(r"plan|task description|irrelevant", re.I)
_COMMON = frozenset(
    (
        *("the", "a", "an", "of", "to", "and", "in", "is", "it", "that", "for", "on", "with", "as", "this", "be"),
        *("are", "was", "by", "or", "from", "at", "not", "we", "i", "you", "have", "has", "will", "our", "can", "if"),
        *("which", "let", "s", "t", "then", "so", "all", "any", "about", "into"),
    )
)


def accused(task: Task, utterances: Sequence[Utterance]) -> list[int]:
    """Give the places of the utterances that may be to blame: no environment, no echo, not the task itself."""
    asked = set(_content(task.query))
    spoken = [i for i, u in enumerate(utterances) if not _machine(u) and not u.echo]
    return [i for i in spoken if i or not asked or _alike(asked, set(_content(utterances[0].content))) <= 0.8] or spoken


def clues(task: Task, utterances: Sequence[Utterance], told: str = "") -> list[tuple[Utterance, dict[str, float]]]:
    """Look at every utterance that may be to blame.

    Args:
        task: The task that failed.
        utterances: Its utterances, in order.
        told: Why it failed, in somebody's words; '' if nobody said.

    Returns:
        Each with its clues by name, in order; a clue that does not show is 0.
    """
    run = _Run(task, utterances)
    seen = [run.look(turn) for turn in range(len(run.places))]
    if told:
        run.listen(told, seen)
    return [(utterances[place], found) for place, found in zip(run.places, seen, strict=True)]


def replies(utterances: Sequence[Utterance]) -> dict[int, str]:
    """Give the text that answers each utterance, by its `seq`: the first that builds on it, or else the next."""
    found = {u.seq: after.content for u, after in pairwise(utterances)}
    built: dict[int, str] = {}
    for u in utterances:
        for up in u.inspired_by:
            built.setdefault(up, u.content)
    return {**found, **built}


class _Run:
    """What the clues of one run have in common."""

    def __init__(self, task: Task, utterances: Sequence[Utterance]) -> None:
        self.said = utterances
        self.texts = [u.content[:LONGEST] for u in utterances]
        self.words = [_content(text) for text in self.texts]
        self.sets = [set(found) for found in self.words]
        self.figures = [_NUMBER.findall(text) for text in self.texts]
        self.numbers = [set(found) for found in self.figures]
        self.errors: dict[int, int] = {}
        self.machine = [_machine(u) for u in utterances]
        self.places = accused(task, utterances)
        self.query, self.asked = task.query.strip(), set(_content(task.query))
        self.common = Counter(word for found in self.sets for word in found)
        self.stated: dict[str, int] = {}
        for place, found in enumerate(self.numbers):
            for number in found:
                self.stated.setdefault(number, place)
        known = set(_NUMBER.findall(task.query))
        ends = [i for i in self.places if len(self.words[i]) > 4][-2:]
        self.final = {n for i in ends for n in self.numbers[i]} - known
        leads = [_leads(utterances[i]) for i in self.places]
        self.led = any(leads)
        self.delivered = [0, *accumulate(not lead for lead in leads)]
        self.first_code = next((turn for turn, i in enumerate(self.places) if "```" in self.texts[i]), -1)
        self.last = utterances[self.places[-1]].agent if self.places else ""
        self.child: dict[int, int] = {}
        for place, u in enumerate(utterances):
            for up in u.inspired_by:
                self.child.setdefault(up, place)

    def reply(self, place: int) -> int | None:
        """Give the first utterance that builds on one, or else the next."""
        found = self.child.get(self.said[place].seq)
        return found if found is not None else place + 1 if place + 1 < len(self.said) else None

    def count_errors(self, place: int) -> int:
        """Count the errors that an utterance speaks of; it is asked for by itself and as an answer."""
        if place not in self.errors:
            self.errors[place] = len(ERROR.findall(self.texts[place]))
        return self.errors[place]

    def look(self, turn: int) -> dict[str, float]:
        """Give the clues of one utterance, but for those of what was told."""
        i = self.places[turn]
        u, text = self.said[i], self.texts[i]
        before = max((up for up in u.inspired_by if 0 <= up < i), default=i - 1)
        reply = self.reply(i)
        answer = self.texts[reply] if reply is not None else ""
        by_machine = reply is not None and self.machine[reply]
        leads = _leads(u)
        quoted = bool(self.query) and self.query in text
        rest = set(_content(text.replace(self.query, " "))) if quoted else self.sets[i]
        own = self.asked & rest if self.query else set()
        share = len(own) / max(1, len(self.asked))
        exit_code = _EXIT.match(answer) if by_machine else None
        after = before >= 0 and self.machine[before]
        return {
            "opening": float(turn == 0),
            "opening_restates": share * (turn == 0),
            "about_the_task": share,
            "early": 1 / (1 + turn),
            "first_deliveries": float(self.led and not leads and self.delivered[turn] < 3),
            "leads": float(leads),
            "numbers": math.log1p(len(self.figures[i])),
            "length": math.log1p(len(text)),
            "list": math.log1p(len(_ITEM.findall(text))),
            "links": math.log1p(len(_LINK.findall(text))),
            "address": float("http" in text),
            "guess": min(3, len(GUESS.findall(text))) / 3,
            "errors": float(min(3, self.count_errors(i))),
            "short": float(len(text) < 30),
            "first_code": float(turn == self.first_code),
            "after_machine": float(after),
            "after_code": float(before >= 0 and "```" in self.texts[before]),
            "little_came": float(bool(exit_code) and exit_code is not None and exit_code[1] == "0"
                                 and len(answer) < 110),
            "much_came": float(exit_code is not None and len(answer) > 1500),
            "error_answered": float(reply is not None and self.count_errors(reply) > 0),
            "final_numbers": sum(self.stated[n] == i for n in self.final) / max(1, len(self.final)),
            "new_from_machine": float(after and any(self.stated[n] == before for n in self.numbers[i])),
            "assists": float(bool(_HELPS.search(u.agent))),
            "files": float(bool(_FILES.search(u.agent))),
            "last_word": float(u.agent == self.last),
            "asks": float("?" in text),
            "search": min(4, len(_SEARCH.findall(text))) / 4,
            "punished": float((u.reward or 0) < 0 or (reply is not None and (self.said[reply].reward or 0) < 0)),
        }  # fmt: skip

    def listen(self, told: str, seen: list[dict[str, float]]) -> None:
        """Add the clues that lie in what was told of the failure."""
        plain, n = fold(told[:LONGEST]).casefold(), len(self.said)
        weight = {w: math.log((n + 1) / (self.common[w] + 0.5)) for w in set(_content(told)) if self.common[w]}
        whole = sum(weight.values()) or 1.0

        def about(place: int | None) -> float:
            return 0.0 if place is None else sum(v for w, v in weight.items() if w in self.sets[place]) / whole

        shares = [about(i) for i in self.places]
        most = max(shares, default=0.0)
        spoken, steps = set(_WORD.findall(plain)), set(re.findall(r"step (\d{1,6})", plain))
        named = {agent for agent in {u.agent for u in self.said} if _named(agent, plain, spoken)}
        of_code, of_plan, of_end = (bool(found.search(plain)) for found in (_CODE, _PLAN, _END))
        for turn, (i, found) in enumerate(zip(self.places, seen, strict=True)):
            u = self.said[i]
            code = "```" in self.texts[i]
            found.update({
                "told_agent": float(u.agent in named),
                "told_other": float(u.agent not in named and bool(named)),
                "told_best": float(shares[turn] == most > 0),
                "told_words": shares[turn],
                "told_answer": about(self.reply(i)),
                "told_code": (1.0 if code else -1.0) * of_code,
                "told_plan": float(turn == 0 and of_plan),
                "told_end": float(not code and of_end),
                "told_step": float(str(u.seq) in steps),
            })  # fmt: skip


def _content(text: str) -> list[str]:
    return [w for w in words(text[:LONGEST]) if len(w) > 1 and w not in _COMMON]


def _alike(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))


def _named(agent: str, plain: str, spoken: set[str]) -> bool:
    """Tell whether a text names an agent; its words are given as well, since most names are one."""
    name = agent.casefold()
    if name in spoken or ("_" in name and name.replace("_", " ") in plain):
        return True
    return not _WORD.fullmatch(name) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", plain) is not None


def _machine(u: Utterance) -> bool:
    return (
        u.kind in ("observation", "tool_result")
        or bool(_MACHINE.search(u.agent))
        or bool(_EXIT.match(u.content))
    )  # fmt: skip


def _leads(u: Utterance) -> bool:
    return bool(_LEADS.search(u.agent) or _LEADS.search(u.role))
