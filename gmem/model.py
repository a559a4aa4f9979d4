"""The data model: what a team's memory is made of, in the paper's three tiers.

interaction tier   `Utterance`s of one task, tied by `inspired_by` (INSPIRED) and by order (NEXT)
query tier         `Task`s, tied by `Similar`
insight tier       `Insight`s, tied to tasks by `Evidence` (SUPPORTS or CONTRADICTS, the paper's
                   Omega) and to each other by `InsightLink` (insight m was in use when task j
                   taught insight n)

Every value is frozen: a change is a new value written in a `Batch` (see `gmem.graphs`).
Source: G-Memory (arXiv 2506.07398), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "CONTRADICTS",
    "SUPPORTS",
    "Cost",
    "Deeds",
    "Evidence",
    "Insight",
    "InsightLink",
    "InsightState",
    "Interaction",
    "Kind",
    "Model",
    "Notice",
    "Outcome",
    "Polarity",
    "RecallEvent",
    "Similar",
    "Suspect",
    "Task",
    "Utterance",
    "answers",
]

Outcome = Literal["resolved", "failed", "unknown"]
Kind = Literal["message", "thought", "tool_call", "tool_result", "action", "observation", "handoff"]
Polarity = Literal["do", "avoid"]
InsightState = Literal["candidate", "active", "quarantined", "rebuild", "retired"]

WHOLE = 1.0
"""Share of the blame of somebody whom a person blamed; what is found without one is less."""
SUPPORTS: Literal["SUPPORTS"] = "SUPPORTS"
CONTRADICTS: Literal["CONTRADICTS"] = "CONTRADICTS"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing that one agent (or the environment) said or did.

    Attributes:
        seq: Position in its task, from 0; with the task's id it identifies the utterance.
        agent: Who said it.
        role: The part that this agent plays in the team.
        kind: What sort of utterance it is.
        content: The text itself.
        to: Who was addressed; empty means everybody.
        inspired_by: `seq` of each upstream utterance, ascending, each smaller than `seq`.
        reward: What the environment gave for it, if it said.
        time: Seconds since the epoch.
        echo: Whether it mostly quotes what the memory itself had delivered; never learned from.
    """

    seq: int
    agent: str
    role: str
    kind: Kind
    content: str
    to: tuple[str, ...] = ()
    inspired_by: tuple[int, ...] = ()
    reward: float | None = None
    time: float = 0.0
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Interaction:
    """The interaction graph of one task: its utterances in order of `seq`."""

    task_id: str
    utterances: tuple[Utterance, ...]


def answers(utterances: Sequence[Utterance]) -> dict[int, Utterance]:
    """Find what the environment or a tool answered to each act.

    Args:
        utterances: Utterances of one task, in order; those that are missing are passed over.

    Returns:
        The answer, by `seq` of the act: the latest action or tool call that it builds on.
    """
    acts = {u.seq for u in utterances if u.kind in ("action", "tool_call")}
    found: dict[int, Utterance] = {}
    for u in utterances:
        if u.kind in ("observation", "tool_result"):
            act = max(acts.intersection(u.inspired_by), default=None)
            if act is not None:
                found.setdefault(act, u)
    return found


@dataclass(frozen=True, slots=True)
class Suspect:
    """Somebody who may be to blame for a failure, and why.

    Attributes:
        agent: The agent.
        seq: The decisive utterance.
        reason: What a person can check in the trace.
        score: Share of the blame, in [0, 1]; the suspects of a task sum to at most 1.
    """

    agent: str
    seq: int
    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost: tokens and model calls of the team, wall seconds."""

    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Deeds:
    """What a run did, without the things it was done to: what makes two tasks alike that are worded apart.

    Attributes:
        done: How often each kind of deed was done, by template such as `put * in *`; who spoke counts as one.
        handled: Words of the query that name things which were acted upon, sorted.
        said: How often each key term of the talk was said, in runs that are mostly talk.
    """

    done: Mapping[str, int] = field(default_factory=dict)
    handled: tuple[str, ...] = ()
    said: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the query graph: one task that the team was given, and what came of it.

    Attributes:
        id: Unique within the team.
        team: The namespace that this memory belongs to.
        query: What was asked.
        context: The scene in which it was asked; kept apart, so that it does not drown the query.
        outcome: `resolved` and `failed` are verified; `unknown` is never learned from.
        score: The environment's or judge's figure, in whatever unit it has.
        reason: Why it failed, in the words of whoever said so.
        feedback: What a person or judge said of it later.
        error: Set when the run ended by an exception, as `Type: message`.
        agents: Role of each agent, by name.
        key_steps: `seq` of the utterances that the result depends on, ascending.
        deeds: What was done in it, for comparing it with others.
        blame: Suspects of a failure, most likely first.
        cost: What the run cost.
        source: Where the trace came from (`run`, `import:whowhen`, ...).
        trust: How far to trust it, in [0, 1]; recalls can ask for a minimum.  At 0 it is kept, and never
            recalled nor learned from.
        started: Seconds since the epoch.
        ended: Seconds since the epoch.
        length: Number of utterances.
        learned: Whether insights have been distilled from it.
        metadata: Further facts, as text.
    """

    id: str
    team: str
    query: str
    context: str = ""
    outcome: Outcome = "unknown"
    score: float | None = None
    reason: str = ""
    feedback: str = ""
    error: str = ""
    agents: Mapping[str, str] = field(default_factory=dict)
    key_steps: tuple[int, ...] = ()
    deeds: Deeds = field(default_factory=Deeds)
    blame: tuple[Suspect, ...] = ()
    cost: Cost = Cost()
    source: str = "run"
    trust: float = 1.0
    started: float = 0.0
    ended: float = 0.0
    length: int = 0
    learned: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def confirmed(self) -> bool:
        """Whether a person, not the memory, blamed somebody for its failure."""
        return self.outcome == "failed" and any(suspect.score >= WHOLE for suspect in self.blame)


@dataclass(frozen=True, slots=True)
class Similar:
    """An edge of the query graph; stored once, with `a` < `b`.

    Attributes:
        score: Similarity of the two tasks, in [0, 1].
    """

    a: str
    b: str
    score: float


@dataclass(frozen=True, slots=True)
class Insight:
    """A node of the insight graph: a lesson, and where it came from.

    Its evidence is not stored in it but counted from the `Evidence` edges, so that concurrent
    writers never overwrite each other's counts.

    Attributes:
        id: Unique within the team; the same lesson always gets the same id.
        text: The lesson, without counts.
        polarity: Whether to do it or to avoid it.
        audience: Roles it is meant for; empty means everybody.
        state: Only `active` insights are recalled.
        origin: `rules`, `llm` or `person`.
        pattern: The mined pattern in machine form; empty for lessons written by a model or person.
        taught_by: Pairs (resolved task id, failed task id) whose contrast taught it; either may be ''.
        created: Seconds since the epoch.
        updated: Seconds since the epoch.
        version: Counts the writes; a write with an old version is refused.
    """

    id: str
    team: str
    text: str
    polarity: Polarity = "do"
    audience: tuple[str, ...] = ()
    state: InsightState = "candidate"
    origin: str = "rules"
    pattern: str = ""
    taught_by: tuple[tuple[str, str], ...] = ()
    created: float = 0.0
    updated: float = 0.0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one verified task says about one insight.

    Attributes:
        followed: Whether the run acted as the insight advises.
        resolved: Whether the task was resolved.
    """

    task_id: str
    insight_id: str
    followed: bool
    resolved: bool

    @property
    def type(self) -> Literal["SUPPORTS", "CONTRADICTS"]:
        """A run supports an insight when following it and success went together, or neither was."""
        return SUPPORTS if self.followed == self.resolved else CONTRADICTS


@dataclass(frozen=True, slots=True)
class InsightLink:
    """Hyper-edge of the insight graph: `source` was in use when task `via` taught `target`."""

    source: str
    target: str
    via: str


@dataclass(frozen=True, slots=True)
class RecallEvent:
    """What one recall of a run delivered: the ledger from which the lift of each memory is measured.

    Attributes:
        id: Unique within the team.
        task_id: The run that was helped.
        role: The role it was projected for; '' for everybody.
        shown: Ids of the delivered insights and tasks, in order.
        withheld: Ids that were found but kept back as a control group, in order.
        tokens: Price of the delivered text, in tokens.
        time: Seconds since the epoch.
    """

    id: str
    task_id: str
    role: str
    shown: tuple[str, ...]
    withheld: tuple[str, ...] = ()
    tokens: int = 0
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know that is no error, such as that a model's answer was of no use.

    Attributes:
        code: What it is, for programs: a few words tied by hyphens.
        text: The same for a person.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Model:
    """The embedding model that a memory was made with.

    Attributes:
        name: As it was given, such as `static:256`.
        dimension: Length of its vectors.
    """

    name: str
    dimension: int
