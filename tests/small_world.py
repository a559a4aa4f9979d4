"""A text world small enough to be known by heart, and the course of play without any framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from gmem.demo.team.prompts import NOTHING, ROLES
from gmem.demo.team.rules import Outcome, act, ask, begin, hear


@dataclass
class SmallWorld:
    """Open the lid, find a thing, name it, and put it into a box; naming it too early loses the game.

    Attributes:
        thing: What is to be found.
        box: Colour of the box.
        here: What else is there.
    """

    thing: str
    box: str
    here: tuple[str, ...] = ("egg", "cup", "fern")
    score: int = 0
    done: list[str] = field(default_factory=list)

    @property
    def task(self) -> str:
        return f"Your task is to find the {self.thing}. First, focus on it. Then, move it to the {self.box} box."

    @property
    def gold(self) -> list[str]:
        return ["open lid", f"focus on {self.thing}", f"move {self.thing} to {self.box} box"]

    def look(self) -> str:
        return "On the table:\n" + "\n".join(self.here)

    def commands(self) -> list[str]:
        boxes = [f"move {thing} to {colour} box" for thing in self.here for colour in ("blue", "red")]
        return sorted(["open lid", *(f"focus on {thing}" for thing in self.here), *boxes])

    def step(self, command: str) -> Outcome:
        before, said = self.score, ""
        if command not in self.commands():
            said = "No known action matches that input."
        elif command == "open lid":
            said = "The lid is open."
        elif command.startswith("focus on"):
            self.score = 50 if command == f"focus on {self.thing}" and "open lid" in self.done else -100
        elif command == f"move {self.thing} to {self.box} box" and self.score == 50:
            self.score, said = 100, f"You move the {self.thing}."
        self.done.append(command)
        return Outcome(said, float(self.score - before), self.score, self.score in (-100, 100))


def talk_of(
    world: SmallWorld, models: Mapping[str, BaseChatModel], most_moves: int, roles: Mapping[str, str] = ROLES
) -> list[tuple[str, str]]:
    """Play by the rules alone, and give who said what."""
    desk, talk = begin(world, most_moves), list[tuple[str, str]]()
    while desk.turn is not None:
        name = desk.turn
        if name == "environment":
            desk, outcome = act(desk, world)
            talk.append((name, outcome.observation or NOTHING))
            continue
        said: list[BaseMessage] = [
            AIMessage(text) if who == name else HumanMessage(text, name=who) for who, text in talk
        ]  # fmt: skip
        asked = [SystemMessage(roles[name]), HumanMessage(world.task), *said, HumanMessage(ask(desk))]
        text = models[name].invoke(asked).text
        talk.append((name, text))
        desk = hear(desk, text, world)
    return talk
