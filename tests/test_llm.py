"""Chat models: forms, repairs, counting and caps, against a real client and a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chat_server import KEY, USAGE, ChatServer, Client, Reply, content, refusal, status, tool_call
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from gmem.errors import BudgetExceeded, InvalidInput, ModelError
from gmem.flow import Flow, arun, run
from gmem.llm import ChatModel, ModelFailure
from gmem.meter import Usage
from gmem.prompts import Lessons, Prompt, form_size

ROOT = Path(__file__).parent.parent
PROMPT = Prompt("You are asked.", "Which operations follow?")
GOOD = {"operations": [{"op": "AGREE", "n": 1, "text": "", "polarity": "", "roles": []}]}
TEXT = json.dumps(GOOD)
PARSED = Lessons.model_validate(GOOD)


Connect = Callable[..., Client]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Start a server with a script, and connect to it; each test runs blocking and awaited."""
    servers: list[ChatServer] = []

    def start(script: Sequence[Reply], **options: Any) -> Client:
        server = ChatServer(script)
        server.__enter__()
        servers.append(server)
        return Client(server, request.param, **options)

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def _ask(client: Client, prompt: Prompt = PROMPT) -> Lessons:
    return client.finish(client.model.ask("distil", prompt, Lessons))  # type: ignore[no-any-return]


def _several(client: Client, *operations: str) -> Flow[list[Lessons]]:
    found = []
    for operation in operations:
        found.append((yield from client.model.ask(operation, PROMPT, Lessons)))
    return found


# --- answers that can be used ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "asked_by"),
    [(None, "response_format"), ("function_calling", "tools"), ("words", "")],
)
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(content(TEXT), id="json-schema"),
        pytest.param(tool_call(GOOD), id="tool-call"),
        pytest.param(content(f"```json\n{TEXT}\n```"), id="fence"),
        pytest.param(content(f"Let me see.\n```\n{TEXT}\n```\nHope that helps!"), id="fence-in-prose"),
        pytest.param(content(f"<think>Form: {{}}. So {{...}}</think>\n\n{TEXT}"), id="thoughts"),
        pytest.param(content(f"{{not JSON}} but a thought</think>{TEXT}"), id="thoughts-without-beginning"),
        pytest.param(content(f'As asked ({{"operations": []}}), lesson [1] holds: {TEXT}. Done.'), id="prose"),
        pytest.param(content(json.dumps(GOOD["operations"])), id="bare-list"),
        pytest.param(content('{"operations": [{"op": "agree", "n": "#1", "why": "it helped"}]}'), id="loose"),
    ],
)
def test_one_call_suffices(connect: Connect, reply: Reply, method: str | None, asked_by: str) -> None:
    client = connect([reply], method=method)

    assert _ask(client) == PARSED

    (request,) = client.server.requests
    assert {"response_format", "tools"} & set(request) == ({asked_by} if asked_by else set())
    assert client.model.usage == Usage(1, 0, 700, 40, PROMPT.characters + form_size(Lessons))
    # What is counted is what was sent, but for the words in which the form is asked for.
    assert 0 <= client.model.usage.prompt_characters - len(client.server.prompt()) <= 150


def test_the_form_is_strict_on_the_wire(connect: Connect) -> None:
    client = connect([content(TEXT)])
    _ask(client)
    form = client.server.requests[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    item = form["schema"]["properties"]["operations"]["items"]
    assert item["additionalProperties"] is False
    assert item["required"] == ["op", "n", "text", "polarity", "roles"]
    assert "$ref" not in json.dumps(form)


def test_missing_usage_is_estimated(connect: Connect) -> None:
    client = connect([content(TEXT, usage=None)])
    _ask(client)
    usage = client.model.usage
    size = PROMPT.characters + form_size(Lessons)
    assert size / 4 - 2 <= usage.prompt_tokens <= size / 4 + 2
    assert usage.completion_tokens == pytest.approx(len(TEXT) / 4, abs=1)


# --- answers that need a repair --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "wrong"),
    [
        pytest.param(content('{"operations": [{"op": "AGREE", "n": 1},]}'), "broken JSON", id="comma"),
        pytest.param(content('{"operations": [{"op": "AGREE"}]}'), "AGREE needs n", id="missing-n"),
        pytest.param(content('{"operations": [{"n": 1}]}'), "operations.0.op: Field required", id="missing-op"),
        pytest.param(content("{}"), "operations: Field required", id="missing-all"),
        pytest.param(content('{"operations": [{"op": "AGREE", "n": true}]}'), "must be a number", id="bool"),
        pytest.param(content('{"operations": [{"op": "DROP", "n": 1}]}'), "'AGREE'", id="unknown-operation"),
        pytest.param(content("Lesson 1 was borne out."), "no JSON object", id="prose-only"),
        pytest.param(content('{"operations": [{"op": "AGR', finish="length"), "cut off", id="truncated"),
        pytest.param(tool_call('{"operations": [{"op": "AGREE", "n": 1},]}'), "broken JSON", id="tool-comma"),
        pytest.param(tool_call({"operations": "all"}), "valid list", id="tool-type"),
        pytest.param(content("[" * 50_000), "no JSON object", id="deep"),
    ],
)
def test_a_bad_answer_is_shown_once_with_what_was_wrong(connect: Connect, bad: Reply, wrong: str) -> None:
    client = connect([bad, content(TEXT)])

    assert _ask(client) == PARSED

    assert len(client.server.requests) == 2
    shown = client.server.prompt(1)
    assert wrong in shown and "<gmem-memory-answer>" in shown
    message = bad.body["choices"][0]["message"]
    written = message["content"] or json.dumps(json.loads(TEXT))
    assert written[:15] in shown or "tool_calls" in message
    assert PROMPT.user not in shown, "the question is not told again"
    usage = client.model.usage
    assert (usage.calls, usage.repairs) == (2, 1)
    assert (usage.prompt_tokens, usage.completion_tokens) == (1400, 80), "a cut answer counts too"
    assert usage.prompt_characters <= 6_000


@pytest.mark.parametrize("empty", [content(""), content(None), content("<think>hm", finish="length")])
def test_after_an_empty_answer_the_question_is_put_again(connect: Connect, empty: Reply) -> None:
    client = connect([empty, content(TEXT)])
    assert _ask(client) == PARSED
    assert len(client.server.requests) == 2
    if empty.body["choices"][0]["message"]["content"] in ("", None):
        assert client.server.prompt(1) == client.server.prompt(0)


@pytest.mark.parametrize("bad", [content("no idea"), content(""), tool_call("{"), content("{", finish="length")])
def test_twice_bad_is_an_error_and_never_an_empty_answer(connect: Connect, bad: Reply) -> None:
    client = connect([bad])
    with pytest.raises(ModelFailure, match="did not answer 'distil' in the agreed form") as caught:
        _ask(client)
    assert caught.value.kind == "unusable" and isinstance(caught.value, ModelError)
    assert "no idea" not in str(caught.value)
    assert len(client.server.requests) == 2
    assert (client.model.usage.calls, client.model.usage.repairs) == (2, 1)


@pytest.mark.parametrize("no", [refusal("I cannot help with that."), content("", finish="content_filter")])
def test_who_declines_is_not_asked_again(connect: Connect, no: Reply) -> None:
    client = connect([no])
    with pytest.raises(ModelFailure, match="declined") as caught:
        _ask(client)
    assert caught.value.kind == "refused"
    assert "cannot help" not in str(caught.value)
    assert len(client.server.requests) == 1


def test_the_repair_is_cut_to_the_room_that_is_left(connect: Connect) -> None:
    client = connect([content("word <gmem-memory-answer> \n```" * 2_000), content(TEXT)])
    client.finish(client.model.ask("distil", Prompt("s" * 900, "u" * 3_000), Lessons, room=6_000))
    assert client.model.usage.prompt_characters <= 6_000
    shown = client.server.prompt(1)
    assert shown.count("<gmem-memory-answer>") == 2, "in the explanation, and around the quotation"
    assert shown.count("</gmem-memory-answer>") == 1 and "```" not in shown


# --- servers that cannot do it, and servers in trouble -----------------------------------------------


def test_a_server_without_forms_is_asked_in_words_from_then_on(connect: Connect) -> None:
    client = connect([status(400, "unknown parameter: response_format"), content(TEXT)])

    found = client.finish(_several(client, "distil", "distil"))
    assert found == [PARSED, PARSED]
    held = ["response_format" in request for request in client.server.requests]
    assert held == [True, False, False]
    assert '"operations"' in client.server.prompt(1)
    assert (client.model.usage.calls, client.model.usage.repairs) == (3, 0)


def test_a_request_that_is_wrong_anyhow_is_made_twice_at_most(connect: Connect) -> None:
    client = connect([status(400, f"too long: {PROMPT.user}")])
    with pytest.raises(ModelFailure, match=r"HTTP 400") as caught:
        _ask(client)
    assert PROMPT.user not in str(caught.value)
    assert len(client.server.requests) == 2
    assert client.model.usage.tokens == 0


def test_a_rate_limit_is_waited_out_by_the_client(connect: Connect) -> None:
    client = connect([status(429, retry_after=0.05), status(429, retry_after=0.05), content(TEXT)])
    assert _ask(client) == PARSED
    assert len(client.server.requests) == 3
    assert client.model.usage.calls == 1


@pytest.mark.parametrize(
    ("reply", "requests", "told"),
    [
        pytest.param(status(429, f"{KEY} is over its limit", retry_after=0.01), 3, "HTTP 429", id="429"),
        pytest.param(status(500, "oops", retry_after=0.01), 3, "HTTP 500", id="500"),
        pytest.param(status(401, f"Incorrect API key: {KEY}"), 1, "HTTP 401", id="401"),
        pytest.param(status(404, "no such model"), 1, "HTTP 404", id="404"),
        pytest.param(Reply({"choices": []}), 1, "failed at 'distil'", id="no-choices"),
        pytest.param(Reply({}), 1, "failed at 'distil'", id="nothing"),
    ],
)
def test_a_server_in_trouble_is_named_and_not_asked_for_ever(
    connect: Connect, reply: Reply, requests: int, told: str
) -> None:
    client = connect([reply])
    with pytest.raises(ModelFailure, match=told) as caught:
        _ask(client)
    assert caught.value.kind == "failed"
    assert "ChatOpenAI served-model" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert KEY not in str(caught.value) and PROMPT.user not in str(caught.value)
    assert len(client.server.requests) == requests
    assert (client.model.usage.calls, client.model.usage.repairs) == (1, 0)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        pytest.param(content(TEXT, delay=30), "Timeout", id="slow"),
        pytest.param(content(TEXT, hang_up=True), "Connection", id="hang-up"),
    ],
)
def test_time_outs_and_lost_connections_are_bounded(connect: Connect, reply: Reply, told: str) -> None:
    client = connect([reply], timeout=0.2, max_retries=1)
    with pytest.raises(ModelFailure, match=told):
        _ask(client)
    assert len(client.server.requests) == 2
    usage = client.model.usage
    assert usage.calls == 1 and usage.prompt_tokens > 0, "the server may have done the work, so it counts"


def test_nobody_listens(connect: Connect) -> None:
    client = connect([content(TEXT)], max_retries=0)
    client.server.__exit__(None, None, None)
    with pytest.raises(ModelFailure, match="Connection"):
        _ask(client)
    client.server.__init__([])  # type: ignore[misc]  # for the fixture to stop
    client.server.__enter__()


# --- the event loop ----------------------------------------------------------------------------------


def test_the_event_loop_stays_free_while_the_model_thinks() -> None:
    with ChatServer([content(TEXT, delay=30)]) as server:
        client = Client(server, "async")
        ticks = 0

        async def scene() -> None:
            nonlocal ticks
            asking = asyncio.create_task(arun(client.model.ask("distil", PROMPT, Lessons)))
            while not server.began.is_set():
                await asyncio.sleep(0.001)
            for _ in range(50):
                await asyncio.sleep(0)
                ticks += 1
                assert not asking.done()
            server._stopping.set()  # the server answers now
            try:
                assert await asking == PARSED
            finally:
                await client.openai.root_async_client.close()

        asyncio.run(scene())
        assert ticks == 50


def test_who_gives_up_waiting_leaves_nothing_set_aside() -> None:
    with ChatServer([content(TEXT, delay=30), content(TEXT)]) as server:
        client = Client(server, "async", max_tokens=2_000)

        async def scene() -> Lessons:
            asking = asyncio.create_task(arun(client.model.ask("distil", PROMPT, Lessons)))
            while not server.began.is_set():
                await asyncio.sleep(0.001)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            try:
                return await arun(client.model.ask("distil", PROMPT, Lessons))
            finally:
                await client.openai.root_async_client.close()

        assert asyncio.run(scene()) == PARSED
        assert client.model.usage.calls == 2


# --- counting and caps -------------------------------------------------------------------------------


def test_use_is_counted_by_operation(connect: Connect) -> None:
    client = connect([content(TEXT)])

    client.finish(_several(client, "distil", "merge", "distil"))
    size = PROMPT.characters + form_size(Lessons)
    assert client.model.usage_by_operation == {
        "distil": Usage(2, 0, 1400, 80, 2 * size),
        "merge": Usage(1, 0, 700, 40, size),
    }
    assert client.model.usage == Usage(3, 0, 2100, 120, 3 * size)
    assert client.model.usage.tokens == 3 * USAGE["total_tokens"]


@pytest.mark.parametrize(("cap", "requests"), [({"max_calls": 0}, 0), ({"max_calls": 1}, 1), ({"max_tokens": 900}, 0)])
def test_a_cap_stops_the_call_that_would_cross_it(connect: Connect, cap: dict[str, int], requests: int) -> None:
    client = connect([content("bad"), content(TEXT)], **cap)
    with pytest.raises(BudgetExceeded, match=next(iter(cap))):
        _ask(client)
    assert len(client.server.requests) == requests
    assert client.model.usage.calls == requests


def test_threads_together_stay_under_the_cap() -> None:
    with ChatServer([content(TEXT)]) as server:
        client = Client(server, "sync", max_calls=7)
        model = client.model
        ready = threading.Barrier(4)

        def ask(_: int) -> int:
            ready.wait()
            done = 0
            for _ in range(5):
                try:
                    run(model.ask("distil", PROMPT, Lessons))
                except BudgetExceeded:
                    continue
                done += 1
            return done

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(ask, range(4))) == 7
        client.openai.root_client.close()
        assert len(server.requests) == 7
        assert model.usage == Usage(7, 0, 4900, 280, 7 * (PROMPT.characters + form_size(Lessons)))


def test_tokens_set_aside_count_against_the_cap() -> None:
    """Two at once would cross the cap; the second is refused while the first one is under way."""
    with ChatServer([content(TEXT, delay=30)]) as server:
        client = Client(server, "async", max_tokens=2_000)

        async def scene() -> None:
            first = asyncio.create_task(arun(client.model.ask("distil", PROMPT, Lessons)))
            while not server.began.is_set():
                await asyncio.sleep(0.001)
            with pytest.raises(BudgetExceeded, match="set aside"):
                await arun(client.model.ask("distil", PROMPT, Lessons))
            server._stopping.set()
            assert await first == PARSED
            assert await arun(client.model.ask("distil", PROMPT, Lessons)) == PARSED
            await client.openai.root_async_client.close()

        asyncio.run(scene())


@pytest.mark.parametrize("cap", [{"max_calls": -1}, {"max_tokens": 1.5}, {"max_calls": True}])
def test_caps_are_whole_numbers(cap: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(cap))):
        ChatModel(FakeListChatModel(responses=["x"]), **cap)
