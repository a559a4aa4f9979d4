"""Agents that wait for the memory at the same time go on in the order in which they came, whatever takes how long."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from gmem import Memory
from gmem.adapters._attachment import Attachment
from gmem.adapters._watch import Watch

AGENTS = [f"agent{number}" for number in range(6)]


class Delayed:
    """A memory's recall, each of which takes some time of its own."""

    def __init__(self, memory: Memory, patch: pytest.MonkeyPatch, delays: dict[str, float]) -> None:
        self.asked: list[str] = []
        recall = memory.recall_each

        def delayed(query: str, roles: Sequence[str], **settings: Any) -> Any:
            self.asked.extend(roles)
            time.sleep(max(delays.get(role, 0.0) for role in roles))
            return recall(query, roles, **settings)

        patch.setattr(memory, "recall_each", delayed)


async def work(watch: Watch | None, agents: list[str], hops: dict[str, list[int]]) -> list[str]:
    """Let agents work at once; each asks for help, and then speaks as often, and as late, as it has hops."""
    said: list[str] = []

    async def one(agent: str) -> None:
        for hop in hops[agent]:
            if watch is not None and agent in AGENTS:
                await watch.ahelp(agent)
            for _ in range(hop):
                await asyncio.sleep(0)
            said.append(agent)

    await asyncio.gather(*map(one, agents))
    return said


@pytest.mark.parametrize("seed", range(50))
def test_nobody_changes_places(words: Memory, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    hops = {agent: [rng.randrange(4) for _ in range(3)] for agent in AGENTS}
    plain = asyncio.run(work(None, AGENTS, hops))
    memory = Delayed(words, monkeypatch, {agent: rng.choice([0, 0.001, 0.004]) for agent in AGENTS})
    watch = Attachment(words, source="test").begin("make tea")
    assert asyncio.run(work(watch, AGENTS, hops)) == plain
    assert sorted(memory.asked) == AGENTS


@pytest.mark.parametrize("seed", range(10))
def test_what_was_prepared_is_not_waited_for(words: Memory, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    agents = [*AGENTS, "silent"]  # who never asks
    hops = {agent: [rng.randrange(4) for _ in range(3)] for agent in agents}

    async def prepared() -> list[str]:
        await watch.aprepare(AGENTS)
        for agent in AGENTS:
            assert next(iter(steps(watch.ahelp(agent))), None) is None  # it does not wait
        return await work(watch, agents, hops)

    def steps(coroutine: Any) -> Any:
        yield from coroutine.__await__()

    Delayed(words, monkeypatch, {agent: rng.choice([0, 0.002]) for agent in AGENTS})
    watch = Attachment(words, source="test").begin("make tea")
    assert asyncio.run(prepared()) == asyncio.run(work(None, agents, hops))


def test_two_of_one_role_are_recalled_for_once(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both() -> None:
        await asyncio.gather(*(watch.ahelp(agent) for agent in AGENTS))

    memory = Delayed(words, monkeypatch, {"cook": 0.02})
    team = Attachment(words, source="test", roles=dict.fromkeys(AGENTS, "cook"))
    watch = team.begin("make tea")
    asyncio.run(both())
    watch = team.begin("make tea again")
    threads = [threading.Thread(target=watch.help, args=[agent]) for agent in AGENTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.asked == ["cook", "cook"]


def test_a_recall_that_hangs_holds_up_the_others_no_longer_than_it_is_waited_for(
    words: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> list[str]:
        said: list[str] = []

        async def one(agent: str) -> None:
            await watch.ahelp(agent)
            said.append(agent)

        await asyncio.gather(*map(one, AGENTS))
        return said

    free = threading.Event()
    recall = words.recall_each
    monkeypatch.setattr(words, "recall_each", lambda q, r, **o: free.wait(20) if AGENTS[0] in r else recall(q, r, **o))
    watch = Attachment(words, source="test", patience=0.3).begin("make tea")
    try:
        began = time.monotonic()
        assert asyncio.run(go()) == AGENTS
        assert time.monotonic() - began < 10
    finally:
        free.set()
    assert sum(r.levelno >= logging.WARNING for r in caplog.records) == 1


def test_one_that_is_cancelled_holds_up_nobody(words: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> list[str]:
        said: list[str] = []

        async def one(agent: str) -> None:
            await watch.ahelp(agent)
            said.append(agent)

        tasks = [asyncio.ensure_future(one(agent)) for agent in AGENTS]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return said

    Delayed(words, monkeypatch, dict.fromkeys(AGENTS, 0.2))
    watch = Attachment(words, source="test").begin("make tea")
    assert asyncio.run(go()) == AGENTS[1::2]


def test_preparing_that_fails_is_said_once_and_asks_no_further(
    words: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> list[str]:
        await watch.aprepare(AGENTS)
        return [await watch.ahelp(agent) for agent in AGENTS]

    asked = []

    def broken(query: str, roles: Sequence[str], **settings: Any) -> Any:
        asked.append(roles)
        raise OSError("the disk is full")

    monkeypatch.setattr(words, "recall_each", broken)
    team = Attachment(words, source="test")
    watch = team.begin("make tea")
    assert asyncio.run(go()) == [""] * len(AGENTS)
    assert asked == [tuple(AGENTS)] and team.resting()
    assert sum(r.levelno >= logging.WARNING for r in caplog.records) == 1


def test_only_what_is_taken_counts_as_delivered(words: Memory) -> None:
    async def go() -> None:
        await watch.aprepare(AGENTS)
        await watch.ahelp(AGENTS[2])
        await watch.afinish("completed")

    team = Attachment(words, source="test", judge=lambda result: True)
    first = team.begin("make tea")
    first.heard("a", AGENTS[2], "eighty degrees is enough")
    first.finish("completed")
    watch = team.begin("make green tea")
    asyncio.run(go())
    assert watch.run is not None
    assert [event.role for event in watch.run.recording().recalls] == [AGENTS[2]]
