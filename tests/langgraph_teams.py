"""Teams on LangGraph with models that answer from a list, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from pydantic import Field


class Scripted(FakeMessagesListChatModel):
    """Answers from a list, over and over, and keeps what it was asked."""

    seen: list[list[BaseMessage]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Take any tools; what is called is in the script."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.seen.append(messages)
        result = super()._generate(messages, *args, **kwargs)
        for generation in result.generations:  # as of a real model, no message is given twice
            generation.message = generation.message.model_copy(update={"id": None})
        return result


def scripted(*answers: str | AIMessage) -> Scripted:
    """Make a model; each answer is a new message, as it would be of a real one."""
    return Scripted(responses=[a if isinstance(a, AIMessage) else AIMessage(a) for a in answers])


def call(tool: str, id: str = "call-1", **arguments: Any) -> AIMessage:
    """Make an answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": id}])


def ask(text: str) -> dict[str, Any]:
    """Make an input."""
    return {"messages": [HumanMessage(text)]}


def speaker(model: Scripted, prompt: str = "") -> Callable[[MessagesState], dict[str, Any]]:
    """Make a node that asks a model."""

    def node(state: MessagesState) -> dict[str, Any]:
        head = [("system", prompt)] if prompt else []
        return {"messages": [model.invoke([*head, *state["messages"]])]}

    return node


def every_kind_of_edge(models: dict[str, Scripted]) -> Any:
    """Make a graph with a fan-out, a join, a condition, a Command and a Send.

    a -> (b, c) -> d -> cmd => e => (w, w)
    """
    graph = StateGraph(MessagesState)
    for name in "abcdew":
        models[name] = scripted(f"{name} says so")
        graph.add_node(name, speaker(models[name], f"You are {name}."))
    graph.add_node("cmd", lambda state: Command(goto="e"), destinations=("e",))
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("a", "c")
    graph.add_edge(["b", "c"], "d")
    graph.add_conditional_edges("d", lambda state: "yes", {"yes": "cmd", "no": END})
    graph.add_conditional_edges("e", lambda state: [Send("w", state), Send("w", state)], ["w"])
    return graph.compile()
