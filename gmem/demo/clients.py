"""A LangChain chat model as a model client of AutoGen, so that the same scripted models play on both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from autogen_core import CancellationToken
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelFamily,
    ModelInfo,
    RequestUsage,
    SystemMessage,
    UserMessage,
)
from langchain_core import messages as lc
from langchain_core.language_models import BaseChatModel

__all__ = ["Client"]

TASK_FROM = ("user", "table")
"""Who speaks from outside of the team, and so without a name."""


class Client(ChatCompletionClient):
    """Answers what a chat model of LangChain answers; text only, no tools.

    Args:
        model: The model.
    """

    component_type = "model"

    def __init__(self, model: BaseChatModel) -> None:
        self._model = model

    async def create(
        self, messages: Sequence[LLMMessage], *, tools: Any = (), tool_choice: Any = "auto", json_output: Any = None,
        extra_create_args: Mapping[str, Any] | None = None, cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:  # fmt: skip
        """Ask the model."""
        # In line: the scripted models answer at once, and a thread for each question would cost more.
        answer = self._model.invoke([_translated(message) for message in messages])
        return CreateResult(finish_reason="stop", content=answer.text, usage=RequestUsage(0, 0), cached=False)

    async def create_stream(self, messages: Sequence[LLMMessage], **options: Any) -> AsyncGenerator[Any, None]:
        """Ask the model; the answer comes in one piece."""
        yield await self.create(messages, **options)

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def actual_usage(self) -> RequestUsage:
        """Give what it cost so far: nothing is counted."""
        return RequestUsage(0, 0)

    def total_usage(self) -> RequestUsage:
        """Give what it cost so far: nothing is counted."""
        return RequestUsage(0, 0)

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Any = ()) -> int:
        """Give the tokens of messages: nothing is counted."""
        return 0

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Any = ()) -> int:
        """Give how many tokens there is room for: more than anybody needs."""
        return 1 << 30

    @property
    def capabilities(self) -> Any:
        """Say what it can do, in the older form."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """Say what it can do: read and write text."""
        return ModelInfo(
            vision=False, function_calling=False, json_output=False, family=ModelFamily.UNKNOWN, structured_output=False
        )  # fmt: skip


def _translated(message: LLMMessage) -> lc.BaseMessage:
    if isinstance(message, SystemMessage):
        return lc.SystemMessage(message.content)
    if isinstance(message, AssistantMessage):
        return lc.AIMessage(str(message.content))
    if isinstance(message, UserMessage):
        named = None if message.source in TASK_FROM else message.source
        return lc.HumanMessage(str(message.content), name=named)
    raise TypeError(f"no scripted model is told a {type(message).__name__}")
