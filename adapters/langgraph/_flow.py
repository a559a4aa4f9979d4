"""Who set off whom in a run of a graph: plain bookkeeping over what its nodes wrote, without any framework.

LangGraph works in steps.  A node writes to channels; in the next step those nodes run that wait for one of
them.  So the runs that set off a run are those that wrote to what it waited for:

* an edge, a branch or a `Command`: whoever wrote to the node's own channel in the step before;
* a `Send`: the one run that sent this packet, found by the packet's number;
* a join, or a node that is put off to the end: every run that arrived there since it fired last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Flow", "Turn", "Write", "path_key"]

PACKETS = "__pregel_tasks"
"""Name of the channel that takes packets (`Send`)."""
PUSHED = "__pregel_push"
"""First part of the path of a run that a packet set off."""


@dataclass(eq=False, slots=True)
class Turn:
    """One run of one node.

    Attributes:
        ns: LangGraph's name for it, unique within the team's run.
        node: Name of the node.
        agent: Whose turn it is.
        step: Number of the step, within the run of the graph that the node belongs to.
        path: How LangGraph came to it.
        triggers: Channels that the node waits for.
        flow: The run of the graph that it belongs to.
        base: Keys of the utterances that it builds on itself.
        tail: Keys of those that whoever comes next builds on; at first the same.
        given: Messages that it began with.
        ended: Whether it has ended.
        passed: Whether another turn of the same flow builds on it.
        left: Whether it was left by a command to an outer graph.
        output: What it gave back, of a function that was called.
    """

    ns: str
    node: str
    agent: str
    step: int
    path: tuple[Any, ...]
    triggers: Sequence[str]
    flow: Flow
    base: frozenset[Hashable] = frozenset()
    tail: set[Hashable] = field(default_factory=set)
    given: tuple[Any, ...] = ()
    ended: bool = False
    passed: bool = False
    left: bool = False
    output: Any = None

    def goes_on(self, before: Iterable[Hashable], after: Iterable[Hashable]) -> None:
        """Note that something in this turn that began with some keys ended with others.

        What runs side by side began with the same keys, and all of it stays.
        """
        self.tail = (self.tail - set(before)) | set(after)


@dataclass(frozen=True, slots=True)
class Write:
    """What a turn wrote to one channel.

    Attributes:
        turn: Who wrote.
        channel: Where.
        value: What; for a packet, the name of the node that it is for.
        order: Its place among what the turn wrote.
        keeps: How long it stays: for one step, until a join has all of `awaited`, or until the node has run.
        awaited: Values that a join waits for.
    """

    turn: Turn
    channel: str
    value: Any
    order: int
    keeps: Literal["step", "join", "run"] = "step"
    awaited: frozenset[Any] = frozenset()


class Flow:
    """One run of one graph.

    Args:
        parent: The turn that it runs in; None for the team's own graph.
        base: Keys of the utterances that it builds on; those that its parent has by now by default.
    """

    def __init__(self, parent: Turn | None = None, base: Iterable[Hashable] | None = None) -> None:
        self.parent = parent
        if base is None:
            base = parent.tail if parent is not None else ()
        self.base: frozenset[Hashable] = frozenset(base)
        self._given_back: set[Hashable] = set(self.base)
        self._turns: list[Turn] = []
        self._writes: Mapping[str, list[Write]] = defaultdict(list)
        self._fired: dict[str, int] = {}
        self._first: int | None = None

    def begin(self, turn: Turn) -> None:
        """Note that a turn begins, and fill in what it builds on."""
        if self._first is None or turn.step < self._first:
            self._first = turn.step
        if turn.step <= self._first:
            turn.base = self.base
        else:
            before = self._setters(turn) or self._latest(turn.step)
            for other in before:
                other.passed = True
            turn.base = frozenset(key for other in before for key in other.tail)
        turn.tail = set(turn.base)
        self._turns.append(turn)

    def again(self, turn: Turn, before: Turn) -> None:
        """Note that a turn is tried once more, after it was broken off."""
        turn.base = before.base
        turn.tail = set(turn.base)
        self._turns = [turn if t is before else t for t in self._turns]

    def over(self, step: int) -> bool:
        """Tell whether this run was past a step already, so that a turn of that step belongs to another run."""
        return any(t.step > step for t in self._turns)

    def end(self, turn: Turn, writes: Iterable[Write] = ()) -> None:
        """Note that a turn has ended, and what it wrote."""
        turn.ended = True
        for write in writes:
            self._writes[write.channel].append(write)
        self._give_back()

    def leave(self, turn: Turn) -> None:
        """Note that a turn was left by a command to an outer graph; what it said counts there."""
        turn.left = True
        self._give_back()

    def _give_back(self) -> None:
        if self.parent is not None:
            ends = {key for t in self._turns if (t.ended or t.left) and not t.passed for key in t.tail}
            self.parent.goes_on(self._given_back, ends)
            self._given_back = ends

    def _setters(self, turn: Turn) -> list[Turn]:
        if turn.path and turn.path[0] == PUSHED:
            return self._sender(turn)
        return list(dict.fromkeys(w.turn for c in turn.triggers for w in self._arrived(c, turn)))

    def _sender(self, turn: Turn) -> list[Turn]:
        packets = [w for w in self._writes[PACKETS] if w.turn.step == turn.step - 1]
        packets.sort(key=lambda w: (path_key(w.turn.path), w.order))
        number = turn.path[1] if len(turn.path) > 1 else None
        if isinstance(number, int) and number < len(packets) and packets[number].value == turn.node:
            return [packets[number].turn]
        return list(dict.fromkeys(w.turn for w in packets if w.value == turn.node))

    def _arrived(self, channel: str, turn: Turn) -> list[Write]:
        since = self._fired.get(channel, -1)
        found = [w for w in self._writes[channel] if since <= w.turn.step < turn.step]
        if not found:
            return []
        if found[-1].keeps == "step":
            return [w for w in found if w.turn.step == turn.step - 1]
        if found[-1].keeps == "join" and {w.value for w in found} != found[-1].awaited:
            return []
        # Writes of this very step come after the join was emptied: they count for the next time.
        self._fired[channel] = turn.step
        return found

    def _latest(self, step: int) -> list[Turn]:
        """Give the turns of the last step that is known, where nothing says who set a turn off."""
        last = max((t.step for t in self._turns if t.step < step), default=None)
        return [t for t in self._turns if t.step == last]


def path_key(path: Any) -> str:
    """Write a path in such a way that paths sort as LangGraph takes them.

    >>> path_key(("__pregel_push", 2)) < path_key(("__pregel_push", 10))
    True
    """
    if isinstance(path, (tuple, list)):
        return "~" + ", ".join(map(path_key, path))
    return f"{path:010d}" if isinstance(path, int) else str(path)
