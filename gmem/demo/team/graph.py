"""The team as a LangGraph program: one node a member and one for the world, a message list for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from .prompts import NOTHING, ROLES
from .rules import Desk, Game, act, ask, begin, facts, hear

MEMBERS = ("planner", "actor", "critic")
Program = CompiledStateGraph["TeamState", None, "TeamState", "TeamState"]


class TeamState(MessagesState):
    """What flows through the graph: the task, everything that was said behind it, and how far the team is."""

    desk: Desk


class Node(Protocol):
    """What is done when it is a node's turn."""

    def __call__(self, state: TeamState) -> dict[str, Any]:
        """Give what changes in the state."""


def build(game: Game, models: Mapping[str, BaseChatModel], roles: Mapping[str, str] = ROLES) -> Program:
    """Build the program.

    Args:
        game: The world that the team acts in.
        models: The chat model of planner, actor and critic.
        roles: The system message of each.
    """
    graph = StateGraph(TeamState)
    for name in MEMBERS:
        graph.add_node(name, _member(name, game, models[name], roles[name]))
        graph.add_conditional_edges(name, _whose_turn, [*MEMBERS, "environment", END])
    graph.add_node("environment", _environment(game))
    graph.add_conditional_edges("environment", _whose_turn, [*MEMBERS, END])
    graph.add_edge(START, "planner")
    return graph.compile()


def opening(game: Game, most_moves: int = 60) -> TeamState:
    """Return the input for the task that is loaded in a world; the team stops after so many commands."""
    return TeamState(messages=[HumanMessage(game.task)], desk=begin(game, most_moves))


def room(most_moves: int) -> int:
    """Return a recursion limit with room for every node of every move, vetoes and new plans included."""
    return 10 * most_moves + 100


def _member(name: str, game: Game, model: BaseChatModel, role: str) -> Node:
    """Make the node of a member: it is asked, and what follows from its answer is noted."""

    def speak(state: TeamState) -> dict[str, Any]:
        desk = state["desk"]
        talk = _as_heard_by(name, state["messages"])
        text = model.invoke([SystemMessage(role), *talk, HumanMessage(ask(desk))]).text
        return {"messages": [AIMessage(text, name=name)], "desk": hear(desk, text, game)}

    return speak


def _environment(game: Game) -> Node:
    """Make the node of the world: it carries out what was proposed."""

    def answer(state: TeamState) -> dict[str, Any]:
        desk, outcome = act(state["desk"], game)
        said = HumanMessage(
            outcome.observation or NOTHING, name="environment", additional_kwargs=facts(outcome)
        )  # fmt: skip
        return {"messages": [said], "desk": desk}

    return answer


def _as_heard_by(name: str, messages: list[AnyMessage]) -> list[BaseMessage]:
    """Give the talk as a model has to be told it: what others said comes from the outside."""
    return [
        HumanMessage(m.content, name=m.name) if isinstance(m, AIMessage) and m.name != name else m for m in messages
    ]


def _whose_turn(state: TeamState) -> str:
    return state["desk"].turn or END
