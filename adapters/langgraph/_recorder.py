"""Watches one run of a graph: LangChain's callbacks tell of turns and tools, the writers of what was handed on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent
from langgraph.errors import ParentCommand
from langgraph.types import Command

from gmem.adapters._said import Said
from gmem.adapters._texts import text_of
from gmem.adapters._watch import Watch
from gmem.adapters.langgraph._flow import Flow, Turn, Write
from gmem.adapters.langgraph._reach import is_part
from gmem.adapters.langgraph._says import Utterances, goals, holds, messages_in, said_in, updates_in, values_in

__all__ = ["Recorder", "recorder"]

recorder: ContextVar[Recorder | None] = ContextVar("gmem_recorder", default=None)
"""What watches the run that the code at hand belongs to."""
_begun: ContextVar[str] = ContextVar("gmem_begun", default="")
"""LangGraph's name for the turn that began last where the code at hand runs, which may be over."""


class Recorder(GraphCallbackHandler):
    """Turns what the callbacks of one run tell into utterances.

    Args:
        watch: Where they go.
        agent: Name of the agent that the graph as a whole is; '' if it is a team.
        utterances: What a node said, as the user tells it.
        askers: Takes the names of the agents that want to know what the memory has for them.
    """

    run_inline = True  # else LangChain moves it to a thread in async runs, and the order is lost

    def __init__(
        self, watch: Watch, agent: str = "", utterances: Utterances | None = None, askers: set[str] | None = None
    ) -> None:  # fmt: skip
        self.watch = watch
        self.result: Any = None
        self.interrupted = False
        self._agent = agent
        self._utterances = utterances
        self._askers = set() if askers is None else askers
        self._root: UUID | None = None
        self._flows: dict[str, Flow] = {}
        self._turns: dict[str, Turn] = {}
        self._open: dict[UUID, Turn] = {}
        self._calls: dict[str, list[Turn]] = {}
        self._tools: dict[UUID, tuple[Turn, frozenset[Hashable], str, str]] = {}
        self._answered: dict[str, Hashable] = {}
        self._asked: dict[str, tuple[str, str]] = {}
        self._texts: dict[str, list[str]] = {}
        self._heard = _Known()
        self._lock = threading.RLock()

    def begin(self) -> None:
        """Get ready for the run, or for a further part of it after an interrupt."""
        self._root, self.result, self.interrupted = None, None, False

    def agent_at(self, ns: str) -> str:
        """Say whose turn it is at a place in the run; '' if it is nobody's."""
        while ns:
            if turn := self._turns.get(ns):
                return turn.agent
            ns = ns.rpartition("|")[0]
        return ""

    def asks(self, ns: str) -> str:
        """Say whose turn it is, of somebody who wants to know what the memory has for them."""
        if agent := self.agent_at(ns or self._at()):
            self._askers.add(agent)
        return agent

    def _at(self) -> str:
        """Find the turn that the code at hand belongs to: before Python 3.11, nodes on an event loop are not told."""
        ns = _begun.get()
        while ns and ((turn := self._turns.get(ns)) is None or turn.ended):
            ns = ns.rpartition("|")[0]
        return ns

    # --- turns ----------------------------------------------------------------------------------

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Note that a node begins; other chains are passed over."""
        if self._root is None:
            self._root = run_id
            return
        facts = metadata or {}
        node, path = facts.get("langgraph_node"), tuple(facts.get("langgraph_path") or ())
        if not node or node == "__start__":
            return
        ns = str(facts.get("langgraph_checkpoint_ns", ""))
        called = bool(path) and path[-1] is True and ns not in self._turns  # a @task has no step of its own
        if called or any(t.startswith("graph:step:") for t in tags or ()):
            with self.watch.guard("watching a turn"), self._lock:
                self._open[run_id] = self._begin(ns, str(node), facts, called, inputs)
            _begun.set(ns)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a node has ended, unless its writers have told so already."""
        if run_id == self._root:
            self.result = outputs
        elif (turn := self._open.pop(run_id, None)) is not None and not turn.ended:
            turn.output = outputs
            self.ended(turn.ns, outputs)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget a turn that was broken off; a handoff to an outer graph looks like this as well."""
        turn = self._open.pop(run_id, None)
        if turn is not None and isinstance(error, ParentCommand):
            with self.watch.guard("watching a handoff"), self._lock:
                turn.flow.leave(turn)

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """Note that the team waits for somebody."""
        if event.run_id == self._root or not any(event.checkpoint_ns or ()):
            self.interrupted = True

    def ended(self, ns: str, output: Any, writes: Callable[[Turn], Iterable[Write]] = lambda turn: ()) -> None:
        """Record what a node said, and what it handed on."""
        with self.watch.guard("recording a turn"), self._lock:
            turn = self._turns.get(ns)
            if turn is None or turn.ended:
                return
            try:
                for number, said in enumerate(self._said(turn, output)):
                    key = (turn.ns, turn.step, number)
                    self.watch.heard(
                        key, said.agent or turn.agent, said.text, upstream=turn.tail, kind=said.kind, to=said.to,
                        reward=said.reward,
                    )  # fmt: skip
                    turn.tail = {key}
                    self._texts.setdefault(turn.ns.rpartition("|")[0], []).append(said.text)
            finally:
                turn.flow.end(turn, writes(turn))
                turn.given = ()

    def _begin(self, ns: str, node: str, facts: Mapping[str, Any], called: bool, inputs: Any) -> Turn:
        step, before = int(facts.get("langgraph_step", 0)), self._turns.get(ns)
        inside = ns.rpartition("|")[0]
        flow = self._called(inside, inputs) if called else self._flow(inside, step)
        turn = Turn(
            ns, node, self._who(node, flow, facts), step, tuple(facts.get("langgraph_path") or ()),
            tuple(facts.get("langgraph_triggers") or ()), flow, given=tuple(messages_in(inputs)),
        )  # fmt: skip
        if before is not None and not before.ended and before.flow is flow:
            flow.again(turn, before)
        else:
            flow.begin(turn)
        self._turns[ns] = turn
        if called:
            self._calls.setdefault(inside, []).append(turn)
        return turn

    def _called(self, inside: str, inputs: Any) -> Flow:
        """Make a flow for a function that another one calls: it builds on those whose results it was given."""
        parent = self._turns.get(inside)
        before = [t for t in self._calls.get(inside, ()) if t.ended and holds(inputs, t.output)]
        if before or parent is None:
            return Flow(parent, [key for t in before for key in t.tail])
        return Flow(parent, parent.base)

    def _flow(self, inside: str, step: int) -> Flow:
        """Give the run of a graph that a turn belongs to."""
        outer = inside
        while outer and outer not in self._turns:
            outer = outer.rpartition("|")[0]  # the second graph of a turn has a number behind the turn's name
        parent = self._turns.get(outer)
        flow = self._flows.get(inside)
        if flow is None or (parent is not None and flow.over(step)):
            flow = self._flows[inside] = Flow(parent)
        return flow

    def _who(self, node: str, flow: Flow, facts: Mapping[str, Any]) -> str:
        if flow.parent is None:
            return self._agent or node
        if is_part(node):
            made = facts.get("ls_integration") == "langchain_create_agent"
            return str((made and facts.get("lc_agent_name")) or flow.parent.agent)
        return node

    # --- what is said ---------------------------------------------------------------------------

    def _said(self, turn: Turn, output: Any) -> Iterator[Said]:
        """Find out what a node said; what came from elsewhere, and what an inner graph has said, is left out."""
        spoke = False
        given = _Known(turn.given)
        for update in updates_in(output):
            told = self._utterances(turn.node, update) if self._utterances is not None else None
            if told is not None:
                for one in told:
                    spoke = True
                    yield Said(*one)
                continue
            messages = messages_in(update)
            for message in messages:
                spoke = True
                if message in given or (message in self._heard and self._has_inner(turn)):
                    continue
                self._heard.add(message)
                yield from self._message(turn, message)
            if not messages and (text := values_in(update)) and not self._inside(turn, text):
                spoke = True
                yield Said("", text)
        if not spoke and (to := goals(output)):
            yield Said("", f"hands over to {', '.join(to)}", "handoff", None, tuple(to))

    def _message(self, turn: Turn, message: BaseMessage) -> Iterator[Said]:
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            self._asked[str(call["id"])] = (call["name"], text_of(call["args"]))
        text = said_in(message)
        if isinstance(message, ToolMessage):
            self._answer(turn, message)
        elif text:
            yield Said("", text)

    def _answer(self, turn: Turn, message: ToolMessage) -> None:
        """Record the result of a tool that was called without LangChain's knowledge."""
        call = message.tool_call_id
        if call in self._answered or not said_in(message):
            return
        name, arguments = self._asked.get(call, (message.name or "tool", ""))
        key = self._answered[call] = ("tool", call)
        self.watch.used(key, turn.agent, name, arguments, text_of(message.content), upstream=turn.tail)
        turn.tail = {key}

    def _has_inner(self, turn: Turn) -> bool:
        """Tell whether a graph has run in this turn; what comes out of it was recorded there."""
        return any(inside.startswith(turn.ns) for inside in self._flows)

    def _inside(self, turn: Turn, text: str) -> bool:
        """Tell whether a text is what an inner graph of this turn has said already."""
        return any(text.strip() in t for ns, texts in self._texts.items() if ns.startswith(turn.ns) for t in texts)

    # --- tools and costs ------------------------------------------------------------------------

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, metadata: Mapping[str, Any] | None = None,
        inputs: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Note what a tool is called with."""
        with self.watch.guard("watching a tool"), self._lock:
            ns = str((metadata or {}).get("langgraph_checkpoint_ns", ""))
            turn = self._turns.get(ns)
            if turn is not None:
                name = str((serialized or {}).get("name") or kwargs.get("name") or "tool")
                given = input_str if inputs is None else text_of(inputs)
                self._tools[run_id] = (turn, frozenset(turn.tail), name, given)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the call of a tool and its result."""
        with self.watch.guard("recording a tool"), self._lock:
            if (found := self._tools.pop(run_id, None)) is None:
                return
            turn, before, name, given = found
            if isinstance(output, ToolMessage):
                self._answered[output.tool_call_id] = run_id
                self._heard.add(output)
            to = goals(output)
            if to:
                for update in updates_in(output):
                    for message in messages_in(update):
                        if isinstance(message, ToolMessage):
                            self._answered[message.tool_call_id] = run_id
                text = f"{name}({given}) hands over to {', '.join(to)}"
                self.watch.heard(run_id, turn.agent, text, upstream=before, kind="handoff", to=to)
            else:
                result = "" if isinstance(output, Command) else text_of(getattr(output, "content", output))
                self.watch.used(run_id, turn.agent, name, given, result, upstream=before)
            turn.goes_on(before, {run_id})

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the call of a tool that broke."""
        with self.watch.guard("recording a tool"), self._lock:
            if found := self._tools.pop(run_id, None):
                turn, before, name, given = found
                self.watch.used(run_id, turn.agent, name, given, f"{type(error).__name__}: {error}", upstream=before)
                turn.goes_on(before, {run_id})

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        """Do nothing; without this, LangChain would write out all messages for `on_llm_start`."""

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        """Count what a model call cost."""
        with self.watch.guard("counting the cost"):
            tokens = 0
            for generations in response.generations:
                for one in generations[:1]:
                    usage = getattr(getattr(one, "message", None), "usage_metadata", None) or {}
                    tokens += int(usage.get("total_tokens") or 0)
            self.watch.spent(tokens=tokens, calls=1)


class _Known:
    """Messages that were seen, by identity and by id; LangGraph gives many an id only later."""

    def __init__(self, messages: Iterable[BaseMessage] = ()) -> None:
        self._same: dict[int, BaseMessage] = {}
        self._ids: set[str] = set()
        self._without: list[BaseMessage] = []
        for message in messages:
            self.add(message)

    def add(self, message: BaseMessage) -> None:
        self._same[id(message)] = message
        self._without.append(message)

    def __contains__(self, message: BaseMessage) -> bool:
        if id(message) in self._same:
            return True
        if not message.id:
            return False
        self._ids.update(m.id for m in self._without if m.id)
        self._without = [m for m in self._without if not m.id]
        return message.id in self._ids
