"""Any chat model will do: with forms or without, by name or as an object, blocking or awaited."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chat_server import KEY, ChatServer, content
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel, FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from gmem import answers
from gmem.errors import InvalidInput, MissingExtra
from gmem.flow import Flow, arun, run
from gmem.llm import ChatModel, ModelFailure
from gmem.prompts import Lessons, Prompt

ROOT = Path(__file__).parent.parent
PROMPT = Prompt("You are asked.", "Which operations follow?")
GOOD = {"operations": [{"op": "AGREE", "n": 1, "text": "", "polarity": "", "roles": []}]}
TEXT = json.dumps(GOOD)
PARSED = Lessons.model_validate(GOOD)


# --- any chat model ----------------------------------------------------------------------------------


@pytest.fixture(params=["sync", "async"])
def finish(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    if request.param == "sync":
        return run
    return lambda flow: asyncio.run(arun(flow))


def test_a_model_without_forms_is_asked_in_words(finish: Callable[[Flow[Any]], Any]) -> None:
    model = ChatModel(FakeListChatModel(responses=["Hm.", f"Here: {TEXT}"]))
    assert finish(model.ask("distil", PROMPT, Lessons)) == PARSED
    assert (model.usage.calls, model.usage.repairs) == (2, 1)
    assert model.usage.completion_tokens > 0


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(AIMessage([{"type": "thinking", "thinking": "{}"}, {"type": "text", "text": TEXT}]), id="blocks"),
        pytest.param(AIMessage(["```json\n", TEXT, "\n```"]), id="parts"),
        pytest.param(AIMessage("", tool_calls=[{"name": "lessons", "args": GOOD, "id": "1"}]), id="tool-call"),
        pytest.param(
            AIMessage("", invalid_tool_calls=[{"name": "lessons", "args": f"{TEXT} ok", "id": "1", "error": "x"}]),
            id="invalid-tool-call",
        ),
    ],
)
def test_every_kind_of_message_is_read(message: BaseMessage, finish: Callable[[Flow[Any]], Any]) -> None:
    model = ChatModel(FakeMessagesListChatModel(responses=[message]))
    assert finish(model.ask("distil", PROMPT, Lessons)) == PARSED
    assert model.usage.calls == 1


def test_guessed_arguments_of_a_cut_answer_are_not_believed() -> None:
    """A streamed tool call that was cut off looks whole: LangChain closes its brackets."""
    arguments = '{"operations": [{"op": "REMOVE", "n": 1'
    chunk = AIMessageChunk(
        content="",
        tool_call_chunks=[{"name": "lessons", "args": arguments, "id": "1", "index": 0}],
        response_metadata={"finish_reason": "length"},
    )
    assert chunk.tool_calls[0]["args"] == {"operations": [{"op": "REMOVE", "n": 1}]}
    reading = answers.read_message(chunk, None, Lessons)
    assert reading.value is None and "cut off" in reading.problem


class Odd(FakeListChatModel):
    """A model that says it can be held to a form, and gives what its own parser made of the answer."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        assert kwargs == {"include_raw": True}
        return self | (lambda message: {"raw": AIMessage(""), "parsed": json.loads(str(message.content))})


def test_what_a_provider_parsed_itself_is_taken(finish: Callable[[Flow[Any]], Any]) -> None:
    assert finish(ChatModel(Odd(responses=[TEXT])).ask("distil", PROMPT, Lessons)) == PARSED


class OneWay(FakeListChatModel):
    """A model that can be asked in one of the two ways only."""

    way: str

    def _call(self, *args: Any, **kwargs: Any) -> str:
        assert self.way == "sync"
        return super()._call(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        assert self.way == "async"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(TEXT))])


def test_blocking_use_invokes_and_awaited_use_awaits_the_model_itself() -> None:
    assert run(ChatModel(OneWay(responses=[TEXT], way="sync")).ask("distil", PROMPT, Lessons)) == PARSED
    awaited = ChatModel(OneWay(responses=[], way="async")).ask("distil", PROMPT, Lessons)
    assert asyncio.run(arun(awaited)) == PARSED


class Broken(FakeListChatModel):
    """A model whose package has a flaw."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise KeyError(f"{KEY} {PROMPT.user}")


def test_any_error_of_a_model_becomes_ours(finish: Callable[[Flow[Any]], Any]) -> None:
    with pytest.raises(ModelFailure, match="Broken failed at 'distil': KeyError") as caught:
        finish(ChatModel(Broken(responses=[""])).ask("distil", PROMPT, Lessons))
    assert KEY not in str(caught.value)


@contextmanager
def _refused(match: str) -> Iterator[None]:
    with pytest.raises(InvalidInput, match=match):
        yield


def test_what_is_no_model_is_refused() -> None:
    with _refused("not int"):
        ChatModel(7)  # type: ignore[arg-type]
    for name in ("gpt-5-mini", "openai:", ":x", "openai:a b", ""):
        with _refused("Unknown model"):
            ChatModel(name)
    fake: BaseChatModel = FakeListChatModel(responses=["x"])
    with _refused("options are for a model given by its name"):
        ChatModel(fake, options={"temperature": 0})
    with _refused("cannot be held to a form by method='json_schema'"):
        run(ChatModel(fake, method="json_schema").ask("distil", PROMPT, Lessons))


# --- models by name ----------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("langchain") is not None, reason="LangChain is installed here")
def test_a_name_without_langchain_says_what_to_install() -> None:
    with pytest.raises(MissingExtra, match="pip install langchain langchain-openai"):
        ChatModel("openai:gpt-5-mini")


NAMED = """
import json, sys
from gmem.errors import MissingExtra
from gmem.flow import run
from gmem.llm import ChatModel, ModelFailure
from gmem.prompts import Lessons, Prompt
model = ChatModel("openai:served-model", options={"base_url": sys.argv[1], "api_key": "sk-x"})
assert "langchain" not in sys.modules, "made when first asked"
answer = run(model.ask("distil", Prompt("s", "u"), Lessons))
assert model._model.request_timeout == 60 and model._model.max_retries == 2
made = model._model
run(model.ask("distil", Prompt("s", "u"), Lessons))
assert model._model is made
made.root_client.close()
told = []
for name in ("openai:x", "nosuchprovider:x", "groq:x"):
    try:
        run(ChatModel(name).ask("distil", Prompt("s", "u"), Lessons))
    except (MissingExtra, ModelFailure) as error:
        told.append(f"{type(error).__name__}: {error}")
print(json.dumps([answer.model_dump(), *told]))
"""


@pytest.mark.skipif(find_spec("langchain") is None, reason="needs LangChain: pip install langchain")
def test_a_name_becomes_a_model_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer([content(TEXT)]) as server:
        done = subprocess.run(
            [sys.executable, "-c", NAMED, server.url], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        answer, no_key, no_provider, no_package = json.loads(done.stdout)
        assert answer == PARSED.model_dump()
        assert no_key.startswith("ModelFailure: openai:x could not be made: ")
        assert no_provider.startswith("ModelFailure: nosuchprovider:x could not be made: ValueError")
        assert no_package.startswith("MissingExtra") and "pip install langchain langchain-groq" in no_package
        assert len(server.requests) == 2


def test_importing_the_engine_imports_no_langchain() -> None:
    code = (
        "import sys, gmem, gmem.llm, gmem.learn.by_model\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('langchain', 'langchain_core', 'pydantic', 'openai')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
