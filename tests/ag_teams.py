"""What the tests of the AutoGen adapter build their teams from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, HandoffMessage, TextMessage
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, ModelInfo, RequestUsage, SystemMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from gmem import Memory

INFO = ModelInfo(
    vision=False, function_calling=True, json_output=True, family="unknown", structured_output=False,
    multiple_system_messages=True,
)  # fmt: skip


def client(*answers: Any) -> ReplayChatCompletionClient:
    """Make a chat model that gives these answers."""
    return ReplayChatCompletionClient(list(answers), model_info=INFO)


def calling(id: str, tool: str, arguments: str = "{}") -> CreateResult:
    """Make the answer of a model that calls a tool."""
    usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
    call = FunctionCall(id=id, name=tool, arguments=arguments)
    return CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False)


class Speaker(BaseChatAgent):
    """Says its name and how often it spoke, and hands over as a plan says."""

    def __init__(self, name: str, plan: Sequence[str] = ()) -> None:
        super().__init__(name, "speaks")
        self.turns = 0
        self.plan = list(plan)
        self.seen: list[list[str]] = []

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage, HandoffMessage)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: Any) -> Response:
        self.seen.append([m.to_model_text() for m in messages])
        self.turns += 1
        text = f"{self.name}{self.turns}"
        if self.plan and (target := self.plan.pop(0)):
            return Response(chat_message=HandoffMessage(content=text, target=target, source=self.name))
        return Response(chat_message=TextMessage(content=text, source=self.name))

    async def on_reset(self, cancellation_token: Any) -> None:
        pass


def edges(memory: Memory, task: str) -> dict[str, set[str]]:
    """Give, for each message of a task, the messages that it builds on, by their texts."""
    said = memory.interaction(task).utterances
    texts = {u.seq: u.content for u in said}
    assert len(set(texts.values())) == len(texts), "every message must have a text of its own"
    return {u.content: {texts[s] for s in u.inspired_by} for u in said}


def system(model: ReplayChatCompletionClient) -> list[list[str]]:
    """Give the system messages of each question that a model was asked."""
    return [[str(m.content) for m in c["messages"] if isinstance(m, SystemMessage)] for c in model.create_calls]
