"""What the nodes of the team say to their chat models, and how a scripted model reads it back.

Every call has the same shape: one system message (the role, and behind it whatever notes the role was given), the
task, the talk so far with the model's own lines as AI messages, and last the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

Agent = Literal["planner", "actor", "critic", "environment"]
Kind = Literal["message", "action", "observation"]

ROLES: dict[str, str] = {
    "planner": "You are the planner of a team that acts in a text world. Give a numbered list of commands. Base it "
    "on tasks that were solved before, changed to fit this one. Say 'no plan' when you know of nothing alike.",
    "actor": "You are the actor. Answer with one command. Follow the plan's step; where the world does not take it, "
    "choose the nearest command that it takes. Answer 'pass' when none comes near.",
    "critic": "You are the critic. Answer 'go ahead' or 'veto: reason'. Veto what cannot be taken back unless "
    "something like it worked before, and what has just changed nothing.",
}
TO_THE_LETTER = "Plan, to be followed to the letter:"
NO_PLAN = "no plan"
PASS = "pass"
GO_AHEAD = "go ahead"
VETO = "veto"
INSTEAD = "  (instead of: "

_NUMBERED = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
_OPTION = re.compile(r"^- (.+)$", re.MULTILINE)
_ASKED = re.compile(r"^(?:Step|Proposed for step) (\d+): (.*)$", re.MULTILINE)
_SCENE = re.compile(r"^In sight:\n(.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of the team's talk. It answers the line before it; an actor's line also carries out the last plan.

    Attributes:
        agent: Who speaks.
        to: Who is spoken to.
        kind: "message" for talk, "action" for a command to be done, "observation" for the world's answer.
        content: The text.
        reward: For an observation the change of the score, else 0.
    """

    agent: Agent
    to: Agent
    kind: Kind
    content: str
    reward: float = 0.0


def compose(role: Agent, notes: str, task: str, talk: Sequence[Line], question: str) -> list[BaseMessage]:
    """Build the messages of one call.

    Args:
        role: Whose model is called.
        notes: Text for the end of the role's system message, may be empty.
        task: The text of the task.
        talk: The lines so far, oldest first.
        question: What the role is to answer now.
    """
    said = [
        AIMessage(line.content) if line.agent == role else HumanMessage(line.content, name=line.agent) for line in talk
    ]
    system = f"{ROLES[role]}\n\n{notes}" if notes else ROLES[role]
    return [SystemMessage(system), HumanMessage(f"Task: {task}"), *said, HumanMessage(question)]


def ask_for_plan(scene: str, score: int) -> str:
    """Word the question to the planner."""
    return f"The score is {score}. What is the plan?\nIn sight:\n{scene}"


def ask_for_command(number: int, step: str, options: Sequence[str], scene: str) -> str:
    """Word the question to the actor; options and scene are given after a step was not taken, or without a plan."""
    question = f"Step {number}: {step}"
    if scene:
        question += f"\nIn sight:\n{scene}\n"
    if options:
        question += "\nThe world would take:\n" + "\n".join(f"- {option}" for option in options)
    return question


def ask_for_verdict(number: int, step: str, proposal: str, scene: str) -> str:
    """Word the question to the critic."""
    return f"Proposed for step {number}: {step}\n- {proposal}\nIn sight:\n{scene}"


def numbered(commands: Sequence[str]) -> str:
    """Write commands as a numbered list."""
    return "\n".join(f"{n}. {command}" for n, command in enumerate(commands, 1))


def read_plan(text: str) -> list[str]:
    """Read the commands of a numbered list."""
    return [str(command).strip() for command in _NUMBERED.findall(text)]


def command_of(content: str) -> str:
    """Return the bare command of an actor's line."""
    return content.split(INSTEAD, 1)[0].strip()


def step_of(content: str) -> str:
    """Return the plan step that an actor's line stands for."""
    command, _, rest = content.partition(INSTEAD)
    return rest.removesuffix(")").strip() if rest else command.strip()


@dataclass(frozen=True)
class Turn:
    """An actor's line with what was said to it: the critic's veto or the world's observation (empty if neither)."""

    step: str
    command: str
    vetoed: bool
    observation: str


class Question:
    """A message list as a scripted model reads it.

    Args:
        messages: What the model was called with.
    """

    def __init__(self, messages: Sequence[BaseMessage]) -> None:
        self.system = "\n".join(m.text for m in messages if isinstance(m, SystemMessage))
        rest = [m for m in messages if not isinstance(m, SystemMessage)]
        self.task = rest[0].text.removeprefix("Task:").strip()
        self.talk = rest[1:-1]
        self.text = rest[-1].text
        self.options: list[str] = [str(o) for o in _OPTION.findall(self.text)]
        asked = _ASKED.search(self.text)
        self.number, self.step = (int(asked.group(1)), str(asked.group(2)).strip()) if asked else (0, "")
        scene = _SCENE.search(self.text)
        self.scene = str(scene.group(1)) if scene else ""

    def own(self) -> list[str]:
        """Return what this model said so far."""
        return [m.text for m in self.talk if isinstance(m, AIMessage)]

    def plan_text(self) -> str:
        """Return the planner's last message, empty before the first."""
        return next((m.text for m in reversed(self.talk) if m.name == "planner"), "")

    def observations(self) -> list[str]:
        """Return what the world said so far, oldest first."""
        return [m.text for m in self.talk if m.name == "environment"]

    def skipped(self) -> list[str]:
        """Return the steps of the plan in force that the actor passed over."""
        start = max((i for i, m in enumerate(self.talk) if m.name == "planner"), default=-1) + 1
        mark = f"{PASS}: "
        return [m.text.removeprefix(mark) for m in self.talk[start:] if m.text.startswith(mark)]

    def turns(self, actor_is_self: bool = True, whole: bool = False) -> list[Turn]:
        """Return the actor's turns since the last plan, oldest first.

        Args:
            actor_is_self: Whether the reader is the actor, whose lines are then the AI messages.
            whole: Return those before the last plan as well.
        """
        plans = (i for i, m in enumerate(self.talk) if m.name == "planner" and not whole)
        start = max(plans, default=-1) + 1
        out: list[Turn] = []
        for message in self.talk[start:]:
            text = message.text
            if (isinstance(message, AIMessage) and actor_is_self) or message.name == "actor":
                out.append(Turn(step_of(text), command_of(text), False, ""))
            elif message.name == "environment" and out:
                out[-1] = replace(out[-1], observation=text)
            elif text.startswith(VETO) and out:
                out[-1] = replace(out[-1], vetoed=True)
        return out
