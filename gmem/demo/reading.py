"""How the scripted models read what they are called with; a language model would just read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from gmem.demo.team.prompts import PASS, VETO, command_of, step_of

_OPTION = re.compile(r"^- (.+)$", re.MULTILINE)
_ASKED = re.compile(r"^(?:Step|Proposed for step) (\d+): (.*)$", re.MULTILINE)
_SCENE = re.compile(r"^In sight:\n(.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


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
        self.task = rest[0].text.strip()
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
