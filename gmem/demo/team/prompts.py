"""What the three are told, what they are asked, and how their answers are read.

Every call of a model has the same shape: a system message with the role, the task, the talk so far with the
model's own lines as its own, and last the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Agent = Literal["planner", "actor", "critic", "environment"]

ROLES: dict[str, str] = {
    "planner": "You are the planner of a team that acts in a text world. Give a numbered list of commands. Base it "
    "on tasks that were solved before, changed to fit this one. Say 'no plan' when you know of nothing alike.",
    "actor": "You are the actor. Answer with one command. Follow the plan's step; where the world does not take it, "
    "choose the nearest command that it takes. Answer 'pass: ' and the step when none comes near.",
    "critic": "You are the critic. Answer 'go ahead' or 'veto: reason'. Veto what cannot be taken back unless "
    "something like it worked before, and what has just changed nothing.",
}
PASS = "pass"
VETO = "veto"
INSTEAD = "  (instead of: "
NOTHING = "(nothing to be seen)"
"""What the environment says where the world is silent."""

_NUMBERED = re.compile(r"^\d+\. (.+)$", re.MULTILINE)


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
