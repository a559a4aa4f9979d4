"""The demo's team as a plain program on each framework that is installed, and the same one attached to a memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_world import SmallWorld, talk_of

import gmem
from gmem.demo.games import Stage, alone, experience, helped, players, recalled
from gmem.demo.policy import GoldPlanner, Planner
from gmem.demo.schedule import TEAM_MOVES
from gmem.demo.score import Play
from gmem.demo.world import World

LINES = [
    ("planner", "message"), *[("critic", "message"), ("actor", "action"), ("environment", "observation")] * 3,
]  # fmt: skip
UPSTREAM = {
    # Each node is set off by the one before.
    "langgraph": [(), (0,), (1,), (2,), (3,), (4,), (5,), (6,), (7,), (8,)],
    # Each agent is handed what was said since it spoke last; a deed is told with the answer to it.
    "autogen": [(), (0,), (0, 1), (2,), (1, 3), (1, 3, 4), (5,), (4, 6), (4, 6, 7), (8,)],
}
Talk = Callable[[SmallWorld, Any, int], list[tuple[str, str]]]


@pytest.fixture(params=["langgraph", "autogen"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip({"autogen": "autogen_agentchat"}.get(request.param, request.param))
    return str(request.param)


@pytest.fixture
def play(framework: str) -> Play:
    if framework == "autogen":
        from gmem.demo.on_autogen import play
    else:
        from gmem.demo.on_langgraph import play
    return play


@pytest.fixture
def talk(framework: str) -> Talk:
    """Play without anything of the demo around the program, and give who said what."""

    def on_langgraph(world: SmallWorld, planner: Any, most_moves: int) -> list[tuple[str, str]]:
        from gmem.demo.team.graph import build, opening, room

        program = build(world, players(planner))
        end = program.invoke(opening(world, most_moves), {"recursion_limit": room(most_moves)})
        assert end["messages"][0].text == world.task
        return [(m.name, m.text) for m in end["messages"][1:]]

    def on_autogen(world: SmallWorld, planner: Any, most_moves: int) -> list[tuple[str, str]]:
        from autogen_agentchat.messages import TextMessage

        from gmem.demo.clients import Client
        from gmem.demo.team.chat import Table, build

        team = build(
            Table(world, most_moves), {name: Client(model) for name, model in players(planner).items()}
        )  # fmt: skip
        result = asyncio.run(team.run(task=world.task))
        return [(m.source, m.content) for m in result.messages[1:] if isinstance(m, TextMessage)]

    return on_autogen if framework == "autogen" else on_langgraph


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[gmem.Memory]:
    with gmem.Memory(tmp_path / "a.gmem", embedder="none") as opened:
        yield opened


@pytest.mark.parametrize("planner", [GoldPlanner(actions=SmallWorld("egg", "red").gold), Planner()])
def test_the_program_plays_by_the_rules(talk: Talk, planner: Any) -> None:
    world, other = SmallWorld("egg", "red"), SmallWorld("egg", "red")
    assert talk(world, planner, 9) == talk_of(other, players(planner), 9)
    assert world.done == other.done and world.done


def test_a_game_is_remembered_and_helps_in_the_next(framework: str, play: Play, memory: gmem.Memory) -> None:
    first = SmallWorld("egg", "red")
    played = play(first, players(GoldPlanner(actions=first.gold)), 9, memory=memory)
    assert (played.score, played.best, played.moves) == (100, 100, 3)
    (task,) = memory.tasks()
    assert (task.query, task.outcome, task.score) == (first.task, "resolved", 100)
    said = memory.interaction(task.id).utterances
    assert [(u.agent, u.kind) for u in said] == LINES
    assert [u.inspired_by for u in said] == UPSTREAM[framework]
    assert [u.content for u in said if u.kind == "action"] == first.gold
    assert [u.reward for u in said if u.kind == "observation"] == [None, 50.0, 50.0]

    by_itself, with_help = SmallWorld("cup", "blue"), SmallWorld("cup", "blue")
    assert play(by_itself, players(Planner()), 9).score < 100
    assert play(with_help, players(Planner()), 9, memory=memory, budget=1000).score == 100
    assert with_help.done == ["open lid", "focus on cup", "move cup to blue box"]
    newest = max(memory.tasks(), key=lambda t: t.ended)
    assert memory.interaction(newest.id).utterances[0].content.startswith(f"Plan after [{task.id}]:")


def test_an_attached_team_without_a_budget_is_only_watched(play: Play, memory: gmem.Memory) -> None:
    first = SmallWorld("egg", "red")
    play(first, players(GoldPlanner(actions=first.gold)), 9, memory=memory)
    by_itself, watched = SmallWorld("cup", "blue"), SmallWorld("cup", "blue")
    assert play(by_itself, players(Planner()), 9) == play(watched, players(Planner()), 9, memory=memory)
    assert by_itself.done == watched.done and len(memory.tasks()) == 2


@pytest.mark.demo
@pytest.mark.slow
def test_a_real_game_is_won_with_the_memory_of_another(play: Play, memory: gmem.Memory) -> None:
    pytest.importorskip("scienceworld")
    with World() as world:
        stage = Stage(world, play)
        assert experience(stage, memory, "use-thermometer", 0, expert=True) == 100
        task = world.load("use-thermometer", 1)
        notes = recalled(memory, task)
        told = alone(stage, "use-thermometer", 1, "told the same", notes)
        game, recall = helped(stage, memory, "use-thermometer", 1)
        lost = alone(stage, "use-thermometer", 1, "without", {}, TEAM_MOVES)
    assert recall.query == task and recall.text and game.tokens == told.tokens
    assert game.score == told.score > lost.score
