"""A team of three on LangGraph: the planner plans, the actor acts, the critic may say no, the world answers.

    planner -> actor -> critic -> environment -> actor -> ... -> planner (when a plan is used up) -> ... -> end

The team knows nothing of a memory. Each node sends a message list to its own chat model and works with the answer;
the models here are scripted, any other `BaseChatModel` fits in their place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from gmem.demo.language import verb
from gmem.demo.policy import Actor, Critic, Planner
from gmem.demo.prompts import (
    PASS,
    VETO,
    Agent,
    Line,
    ask_for_command,
    ask_for_plan,
    ask_for_verdict,
    command_of,
    compose,
    read_plan,
)
from gmem.demo.world import AMBIGUOUS, World, was_refused

MOST_TRIES = 3
"""How often one step is tried in different words before the team goes on."""

Notes = Callable[[str], str]
"""Gives the text for the end of a role's system message."""


class TeamState(TypedDict):
    """What flows through the graph.

    Attributes:
        task: The text of the task.
        transcript: Everything that was said, oldest first; nodes append to it.
        plan: The commands of the plan in force, empty without one.
        step: The place in the plan, from 0.
        tries: How often the step was tried.
        proposal: The command that the critic is asked about.
        options: Commands that the world would take, filled when a step was not taken.
        scene: What is in sight, as far as it was looked at.
        moves: Commands carried out.
        score: The score so far, -100 to 100.
        done: Whether the game is over or the team has given up.
    """

    task: str
    transcript: Annotated[list[Line], operator.add]
    plan: list[str]
    step: int
    tries: int
    proposal: str
    options: list[str]
    scene: str
    moves: int
    score: int
    done: bool


class Team:
    """A planner, an actor and a critic in a world.

    Args:
        world: A world with a loaded task.
        notes: Text for the end of each role's system message, none by default.
        planner: The chat model of the planner, scripted by default; likewise the others.
        actor: The chat model of the actor.
        critic: The chat model of the critic.
        most_moves: After so many commands the team stops.

    Attributes:
        graph: The compiled LangGraph program.
    """

    def __init__(
        self,
        world: World,
        *,
        notes: Notes = lambda role: "",
        planner: BaseChatModel | None = None,
        actor: BaseChatModel | None = None,
        critic: BaseChatModel | None = None,
        most_moves: int = 60,
    ) -> None:
        self.world = world
        self.notes = notes
        self.models: dict[Agent, BaseChatModel] = {
            "planner": planner or Planner(),
            "actor": actor or Actor(),
            "critic": critic or Critic(),
        }
        self.most_moves = most_moves
        self.graph = self._build()

    def play(self, record: Callable[[Line], None] = lambda line: None) -> TeamState:
        """Play the loaded task to its end.

        Args:
            record: Called with each line as soon as it is said.

        Returns:
            The last state.
        """
        state = opening(self.world)
        heard = 0
        for update in self.graph.stream(state, self.config, stream_mode="values"):
            state = cast(TeamState, update)
            for line in state["transcript"][heard:]:
                record(line)
            heard = len(state["transcript"])
        return state

    @property
    def config(self) -> RunnableConfig:
        """What `graph` is to be run with: room for every node of every move, vetoes and new plans included."""
        return {"recursion_limit": 10 * self.most_moves + 100}

    def _build(self) -> CompiledStateGraph[TeamState, None, TeamState, TeamState]:
        """Wire the nodes."""
        graph = StateGraph(TeamState)
        graph.add_node("planner", self._plan)
        graph.add_node("actor", self._act)
        graph.add_node("critic", self._judge)
        graph.add_node("environment", self._step)
        graph.add_edge(START, "planner")
        graph.add_conditional_edges("planner", _after_planner, ["actor", END])
        graph.add_conditional_edges("actor", _after_actor, ["critic", "actor", "planner", END])
        graph.add_conditional_edges("critic", _after_critic, ["environment", "actor", "planner", END])
        graph.add_conditional_edges("environment", _after_environment, ["actor", "planner", END])
        return graph.compile()

    def _ask(self, role: Agent, state: TeamState, question: str) -> str:
        """Call a role's chat model."""
        messages = compose(role, self.notes(role), state["task"], state["transcript"], question)
        return self.models[role].invoke(messages).text

    def _plan(self, state: TeamState) -> dict[str, Any]:
        """Node: a new plan; without any from the start the team explores, without a further one it gives up."""
        text = self._ask("planner", state, ask_for_plan(state["scene"], state["score"]))
        plan, first = read_plan(text), not state["transcript"]
        return {
            "transcript": [Line("planner", "actor", "message", text)],
            "plan": plan,
            "step": 0,
            "tries": 0,
            "options": [] if plan else self.world.commands(),
            "done": not plan and not first,
        }

    def _act(self, state: TeamState) -> dict[str, Any]:
        """Node: one command for the step at hand, or pass on to the next step."""
        question = ask_for_command(state["step"] + 1, _step_text(state), state["options"], state["scene"])
        text = self._ask("actor", state, question)
        if text == PASS:
            skipped = Line("actor", "actor", "message", f"{PASS}: {_step_text(state)}")
            return {"transcript": [skipped], "done": not state["plan"], **_next_step(state)}
        return {"transcript": [Line("actor", "critic", "action", text)], "proposal": command_of(text)}

    def _judge(self, state: TeamState) -> dict[str, Any]:
        """Node: a verdict on the proposal; after a veto the world tells what else it would take."""
        command = state["proposal"]
        text = self._ask(
            "critic", state, ask_for_verdict(state["step"] + 1, _step_text(state), command, state["scene"])
        )
        if not text.startswith(VETO):
            return {"transcript": [Line("critic", "environment", "message", text)]}
        return {
            "transcript": [Line("critic", "actor", "message", text)],
            "proposal": "",
            **self._retry(state),
        }

    def _step(self, state: TeamState) -> dict[str, Any]:
        """Node: the world carries out the proposal."""
        command = state["proposal"]
        outcome = self.world.step(command)
        update: dict[str, Any] = {
            "transcript": [
                Line("environment", "actor", "observation", outcome.observation, outcome.reward),
            ],
            "moves": state["moves"] + 1,
            "score": outcome.score,
            "done": outcome.done or state["moves"] + 1 >= self.most_moves,
        }
        if not state["plan"]:
            return {**update, "options": self.world.commands()}
        if was_refused(outcome.observation):
            return {**update, **self._retry(state)}
        if outcome.observation.startswith(AMBIGUOUS):
            return update
        return {**update, **_next_step(state)}

    def _retry(self, state: TeamState) -> dict[str, Any]:
        """Stay at the step with what the world would take, or go on when it was tried often enough."""
        if not state["plan"]:
            return {}
        if state["tries"] + 1 >= MOST_TRIES:
            return _next_step(state)
        kind = verb(_step_text(state))
        kinds = (kind, "teleport to") if kind == "go to" else (kind,)
        options = [command for command in self.world.commands() if verb(command) in kinds]
        return {"tries": state["tries"] + 1, "options": options, "scene": self.world.look()}


def opening(world: World) -> TeamState:
    """Return the state in which a team begins the task that is loaded in a world."""
    return TeamState(
        task=world.task, transcript=[], plan=[], step=0, tries=0, proposal="", options=[], scene=world.look(), moves=0,
        score=world.score, done=False,
    )  # fmt: skip


def _step_text(state: TeamState) -> str:
    """Return the step at hand, empty without a plan."""
    return state["plan"][state["step"]] if state["plan"] else ""


def _next_step(state: TeamState) -> dict[str, Any]:
    """Go on to the next step of the plan."""
    return {"step": state["step"] + 1, "tries": 0, "options": []}


def _after_planner(state: TeamState) -> str:
    return END if state["done"] else "actor"


def _after_actor(state: TeamState) -> str:
    return "critic" if state["transcript"][-1].kind == "action" else _go_on(state)


def _after_critic(state: TeamState) -> str:
    return "environment" if state["proposal"] else _go_on(state)


def _after_environment(state: TeamState) -> str:
    return _go_on(state)


def _go_on(state: TeamState) -> str:
    """Act on while there is a step, plan anew when the plan is used up."""
    if state["done"]:
        return END
    return "planner" if state["plan"] and state["step"] >= len(state["plan"]) else "actor"
