"""A chat server for tests: real HTTP on this machine, scripted replies, as OpenAI-compatible servers give.

    with ChatServer([tool_call({"operations": []}), status(429, retry_after=0.05)]) as server:
        model = ChatOpenAI(base_url=server.url, ...)
        ...
        assert len(server.requests) == 2

Replies are given in their order; the last one for ever.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import SecretStr

from gmem.flow import Flow, arun, run
from gmem.llm import ChatModel

KEY = "sk-very-secret"

_numbers = itertools.count(1)
USAGE = {"prompt_tokens": 700, "completion_tokens": 40, "total_tokens": 740}


@dataclass(frozen=True)
class Reply:
    """One scripted answer.

    Attributes:
        body: Sent as JSON.
        status: HTTP status.
        headers: Further headers.
        delay: Seconds before the answer begins; cut short when the server stops.
        hang_up: Close the connection in the middle of the body.
    """

    body: dict[str, Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang_up: bool = False


def _completion(
    message: dict[str, Any], finish: str, usage: dict[str, int] | None, **options: Any
) -> Reply:  # fmt: skip
    body: dict[str, Any] = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served-model",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
    }  # fmt: skip
    if usage is not None:
        body["usage"] = usage
    return Reply(body, **options)


def content(
    text: str | None, *, finish: str = "stop", usage: dict[str, int] | None = USAGE, **options: Any
) -> Reply:  # fmt: skip
    """An answer in the text of the message, as servers give it that hold the model to a JSON schema."""
    return _completion({"content": text}, finish, usage, **options)


def tool_call(arguments: dict[str, Any] | str, *, name: str = "lessons", finish: str = "tool_calls") -> Reply:
    """An answer in the arguments of a tool call; a str is sent as it is, broken or not."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": raw}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    return _completion({"content": None, "tool_calls": calls}, finish, USAGE)


def refusal(text: str) -> Reply:
    """The model declines."""
    return _completion({"content": None, "refusal": text}, "stop", USAGE)


def status(code: int, message: str = "no", *, retry_after: float | None = None) -> Reply:
    """An error of the server."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply({"error": {"message": message, "type": "error", "code": None}}, code, headers)


class ChatServer:
    """Answers POSTs on 127.0.0.1 from its script, and keeps what it was sent."""

    def __init__(self, script: Sequence[Reply]) -> None:
        self._script = list(script)
        self._number = next(_numbers)  # ports come back, and clients keep connections by address
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.began = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                received = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server._answer(self, received)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = False  # so that closing waits for them, and no socket is left behind
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """What to give a client as its base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/{self._number}/v1"

    def prompt(self, request: int = -1) -> str:
        """Everything that a request said to the model, the form of the answer included."""
        sent = self.requests[request]
        told = "".join(str(message["content"]) for message in sent["messages"])
        forms = [sent["response_format"]["json_schema"]["schema"]] if "response_format" in sent else []
        forms += [tool["function"]["parameters"] for tool in sent.get("tools", ())]
        return told + "".join(json.dumps(form, separators=(",", ":")) for form in forms)

    def _answer(self, handler: BaseHTTPRequestHandler, received: dict[str, Any]) -> None:
        with self._lock:
            self.requests.append(received)
            reply = self._script[min(len(self.requests), len(self._script)) - 1]
        self.began.set()
        if reply.delay:
            self._stopping.wait(reply.delay)
        raw = json.dumps(reply.body).encode()
        try:
            handler.send_response(reply.status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(raw)))
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(raw[: len(raw) // 2] if reply.hang_up else raw)
        except ConnectionError:  # the client gave up waiting
            pass

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class Client:
    """A real `ChatOpenAI` for a server, and a `ChatModel` over it; flows are run blocking or awaited.

    Args:
        server: Where to send requests.
        mode: `sync` or `async`.
        options: `method`, `max_calls` and `max_tokens` of the ChatModel; the rest is ChatOpenAI's.
    """

    def __init__(self, server: ChatServer, mode: str, **options: Any) -> None:
        self.server = server
        self.mode = mode
        ours = {name: options.pop(name) for name in ("method", "max_calls", "max_tokens") if name in options}
        # No certificates are needed here, and reading them takes longer than the tests.
        self.openai = ChatOpenAI(
            base_url=server.url, api_key=SecretStr(KEY), model="served-model",
            http_client=DefaultHttpxClient(verify=False), http_async_client=DefaultAsyncHttpxClient(verify=False),
            **{"timeout": 5.0, "max_retries": 2, **options},
        )  # fmt: skip
        self.model = ChatModel(self.openai, **ours)

    def finish(self, flow: Flow[Any]) -> Any:
        """Run a flow to its end, and close the connections."""
        if self.mode == "sync":
            try:
                return run(flow)
            finally:
                self.openai.root_client.close()

        async def awaited() -> Any:
            try:
                return await arun(flow)
            finally:
                await self.openai.root_async_client.close()

        return asyncio.run(awaited())
