"""What an attached memory costs a team of LangGraph or AutoGen, beside the same team without one.

Models answer at once, so all the time is that of the framework and of gmem.  Teams with and without a
memory take turns on the same event loop, on a memory that is full of other tasks.  A framework that is
not installed is left out: their versions do not fit together, so each is measured in its own environment.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

import gmem

from .clock import Times, load
from .made import Experience
from .recall import Prepared
from .report import Bench, Figure, Table

__all__ = ["AGENTS", "Build", "Go", "measure"]

AGENTS = ("ada", "bo", "cy")
TURNS = 12
TOOLS = 4
"""Calls of a tool in a turn of the busier team; each is two messages, the call and its result."""
TASKS = 10_000
GOAL_MESSAGE, GOAL_TURN, GOAL_BLOCKED = 1.0, 5.0, 5.0
"""Milliseconds that gmem may add to a message and to a turn, and for which it may keep the event loop to itself."""
TICK = 0.001

Go = Callable[[str], Awaitable[object]]
"""Gives a team a task, and waits for the end."""
Build = Callable[[int, int, "gmem.Memory | None"], Go]
"""Makes a team from its turns, the tool calls in each of them, and the memory to attach."""
FRAMEWORKS = {"LangGraph": ("langgraph", "langchain"), "AutoGen": ("autogen_agentchat", "autogen_ext")}


@dataclass
class Side:
    """What was measured of one team with or without a memory.

    Attributes:
        times: Of whole runs.
        late: Longest wait of a task that wants to tick every millisecond, run by run; seconds.
        busy: Most work of this process between two ticks, run by run; seconds of processor time.
    """

    times: Times = field(default_factory=Times)
    late: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def measure(bench: Bench) -> list[Table]:
    """Measure the frameworks that are installed."""
    costs: list[Sequence[Figure]] = []
    blocks: list[Sequence[Figure]] = []
    missing = []
    for name, packages in FRAMEWORKS.items():
        if any(importlib.util.find_spec(package) is None for package in packages):
            missing.append(f"not measured: {name} is not installed here")
            continue
        cost, block = _measure(bench, name)
        costs.extend(cost)
        blocks.extend(block)
    size = min(TASKS, max(bench.sizes))
    notes = (
        f"{TURNS} turns of {len(AGENTS)} agents, with no tools or {TOOLS} calls a turn; a memory of {size:,} tasks",
        "a turn: all that gmem adds to a run, by the number of turns; recall, and storing and learning at the end, too",
        "a message: what a run with tools costs more than one without, by the number of further messages",
        "medians of runs with and without gmem in turns; cpu: all threads together; embedding the query is left out",
        f"goals: {GOAL_MESSAGE:g} ms a message, {GOAL_TURN:g} ms a turn; where the load is above the number of",
        "cores, wall times with and without gmem are a multiple of those of the processor",
        *missing,
    )
    head = (
        "team", "messages a run", "without ms", "with ms", "added ms", "added cpu ms", "cpu ms a turn", "ms a turn",
        "goal a turn", "ms a message", "cpu ms a message", "goal a message", "load",
    )  # fmt: skip
    blocked = (
        f"a task ticks every {TICK * 1000:g} ms; the longest wait of each run beyond that, and the most work of all",
        "threads between two ticks: a loop waits for its own work and for the lock that other threads hold meanwhile,",
        "so this is what gmem can add to the wait, while the wait itself also grows with what else the machine does",
        "with and without take turns, and the load is that of the machine when this was measured",
        f"goal: {GOAL_BLOCKED:g} ms more than without",
        *missing,
    )
    columns = (
        "team", "without: wait p50 ms", "p95", "with: wait p50 ms", "p95 with", "added wait p50", "wait: goal",
        "without: work p50 ms", "p95 without", "with: work p50 ms", "work: p95 with", "added work p50", "work: goal",
        "load",
    )  # fmt: skip
    return [
        Table("What an attached memory costs a team", head, costs, notes, drawn=("without ms", "with ms")),
        Table("How long the event loop is blocked", columns, blocks, blocked),
    ]


def _build(name: str) -> Build:
    if name == "LangGraph":
        from .on_langgraph import build
    else:
        from .on_autogen import build
    return build


def _measure(bench: Bench, name: str) -> tuple[list[Sequence[Figure]], list[Sequence[Figure]]]:
    runs = 10 if bench.quick else max(10, min(30, bench.recalls // 10))
    source = Experience(seed=21)
    kinds = [source.kind() for _ in range(8 * runs)]
    queries = [source.query(kind) for kind in kinds]
    vectors = dict(zip(queries, source.vectors(kinds), strict=True))
    path = bench.fresh()
    shutil.copy(bench.memory(min(TASKS, max(bench.sizes))), path)
    build, asked = _build(name), iter(queries)
    found: dict[tuple[int, bool], Side] = {}
    said: dict[int, int] = {}
    loop = asyncio.new_event_loop()
    try:
        with gmem.Memory(path, team="bench", embedder=Prepared(vectors).embedder()) as memory:
            memory.recall(queries[0])
            for number in range(runs):
                for tools in (0, TOOLS):
                    for attached in (True, False) if number % 2 else (False, True):
                        side = found.setdefault((tools, attached), Side())
                        for watched in (False, True):
                            go = build(TURNS, tools, memory if attached else None)
                            _once(loop, side, go, next(asked), watched=watched, counts=number > 0)
                        if attached:
                            said[tools] = len(memory.interaction(memory.tasks(limit=1)[0].id).utterances)
    finally:
        loop.close()
    return _costs(name, found, said), _blocks(name, found)


def _once(
    loop: asyncio.AbstractEventLoop, side: Side, go: Go, query: str, *, watched: bool, counts: bool
) -> None:  # fmt: skip
    """Run a team once, with or without the ticking task beside it, which costs time itself."""
    if not counts:  # the first run warms up
        loop.run_until_complete(go(query))
    elif watched:
        late, busy = loop.run_until_complete(_ticking(go, query))
        side.late.append(late)
        side.busy.append(busy)
    else:
        side.times.call(lambda: loop.run_until_complete(go(query)))


async def _ticking(go: Go, query: str) -> tuple[float, float]:
    late, busy = [0.0], [0.0]

    async def tick() -> None:
        while True:
            wall, work = time.perf_counter(), time.process_time()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - wall - TICK)
            busy.append(time.process_time() - work)

    ticking = asyncio.ensure_future(tick())
    try:
        await asyncio.sleep(2 * TICK)
        await go(query)
        await asyncio.sleep(2 * TICK)
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
    return max(late), max(busy)


def _costs(name: str, found: dict[tuple[int, bool], Side], said: dict[int, int]) -> list[Sequence[Figure]]:
    rows: list[Sequence[Figure]] = []
    added: dict[int, float] = {}
    work: dict[int, float] = {}
    for tools in (0, TOOLS):
        without, attached = found[tools, False].times, found[tools, True].times
        added[tools] = attached.ms(50) - without.ms(50)
        work[tools] = attached.ms(50, cpu=True) - without.ms(50, cpu=True)
        turn = added[tools] / TURNS
        further = said[tools] - said[0]
        message = (added[tools] - added[0]) / further if tools else None
        rows.append((
            f"{name}, {tools} tool calls a turn", said[tools], without.ms(50), attached.ms(50), added[tools],
            work[tools], work[tools] / TURNS, turn, _said(turn <= GOAL_TURN),
            message, (work[tools] - work[0]) / further if tools else None,
            None if message is None else _said(message <= GOAL_MESSAGE), load(),
        ))  # fmt: skip
    return rows


def _blocks(name: str, found: dict[tuple[int, bool], Side]) -> list[Sequence[Figure]]:
    rows: list[Sequence[Figure]] = []
    for tools in (0, TOOLS):
        without, attached = found[tools, False], found[tools, True]
        wait = _ms(attached.late, 50) - _ms(without.late, 50)
        work = _ms(attached.busy, 50) - _ms(without.busy, 50)
        rows.append((
            f"{name}, {tools} tool calls a turn",
            _ms(without.late, 50), _ms(without.late, 95), _ms(attached.late, 50), _ms(attached.late, 95), wait,
            _said(wait <= GOAL_BLOCKED),
            _ms(without.busy, 50), _ms(without.busy, 95), _ms(attached.busy, 50), _ms(attached.busy, 95), work,
            _said(work <= GOAL_BLOCKED), load(),
        ))  # fmt: skip
    return rows


def _ms(seconds: Sequence[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile)) * 1000


def _said(reached: bool) -> str:
    return "yes" if reached else "no"
