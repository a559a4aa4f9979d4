"""The demo's team on LangGraph: the plain program, and the same one attached to a memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_world import SmallWorld, talk_of

import gmem
from gmem.demo.games import players
from gmem.demo.policy import GoldPlanner, Planner

pytest.importorskip("langgraph")

from gmem.demo.on_langgraph import play
from gmem.demo.team.graph import build, opening


@pytest.fixture
def memory(tmp_path: Path) -> gmem.Memory:
    return gmem.Memory(tmp_path / "a.gmem", embedder="none")


@pytest.mark.parametrize("expert", [True, False])
def test_the_program_plays_by_the_rules(expert: bool) -> None:
    planner = GoldPlanner(actions=SmallWorld("egg", "red").gold) if expert else Planner()
    world = SmallWorld("egg", "red")
    end = build(world, players(planner)).invoke(opening(world, 9), {"recursion_limit": 200})
    said = [(m.name, m.text) for m in end["messages"][1:]]
    other = SmallWorld("egg", "red")
    assert said == talk_of(other, players(planner), 9)
    assert world.done == other.done and (end["desk"].score == 100) is expert
    assert end["messages"][0].text == world.task


def test_a_game_is_remembered_and_helps_in_the_next(memory: gmem.Memory) -> None:
    first = SmallWorld("egg", "red")
    played = play(first, players(GoldPlanner(actions=first.gold)), 9, memory=memory)
    assert (played.score, played.best, played.moves) == (100, 100, 3)
    (task,) = memory.tasks()
    assert (task.query, task.outcome, task.score) == (first.task, "resolved", 100)
    said = memory.interaction(task.id).utterances
    assert [(u.agent, u.kind, u.inspired_by) for u in said] == [
        ("planner", "message", ()),
        ("critic", "message", (0,)), ("actor", "action", (1,)), ("environment", "observation", (2,)),
        ("critic", "message", (3,)), ("actor", "action", (4,)), ("environment", "observation", (5,)),
        ("critic", "message", (6,)), ("actor", "action", (7,)), ("environment", "observation", (8,)),
    ]  # fmt: skip
    assert [u.content for u in said if u.kind == "action"] == first.gold
    assert [u.reward for u in said if u.kind == "observation"] == [None, 50.0, 50.0]

    alone, helped = SmallWorld("cup", "blue"), SmallWorld("cup", "blue")
    assert play(alone, players(Planner()), 9).score < 100
    assert play(helped, players(Planner()), 9, memory=memory, budget=1000).score == 100
    assert helped.done == ["open lid", "focus on cup", "move cup to blue box"]
    newest = max(memory.tasks(), key=lambda t: t.ended)
    assert memory.interaction(newest.id).utterances[0].content.startswith(f"Plan after [{task.id}]:")


def test_an_attached_team_without_a_budget_is_only_watched(memory: gmem.Memory) -> None:
    first = SmallWorld("egg", "red")
    play(first, players(GoldPlanner(actions=first.gold)), 9, memory=memory)
    alone, watched = SmallWorld("cup", "blue"), SmallWorld("cup", "blue")
    assert play(alone, players(Planner()), 9) == play(watched, players(Planner()), 9, memory=memory)
    assert alone.done == watched.done and len(memory.tasks()) == 2
