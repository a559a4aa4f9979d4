"""The course of the demo: experience is made, then the same team plays new tasks with and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.language_models import BaseChatModel

from gmem import Memory, Recall
from gmem.demo import schedule
from gmem.demo.on_langgraph import play as play_game
from gmem.demo.policy import Actor, Critic, GoldPlanner, Planner
from gmem.demo.recording import AGENTS, Recorder
from gmem.demo.team.prompts import ROLES
from gmem.demo.world import World
from gmem.text import tokens

__all__ = ["CONDITIONS", "Course", "Game", "Results", "play"]

NONE, WRONG, GMEM = "without memory", "wrong task type", "with gmem"
CONDITIONS = (NONE, WRONG, GMEM)
BUDGET = 3000
"""Tokens that a recall may deliver to one role."""

Tick = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Game:
    """One test variation, played under one condition.

    Attributes:
        score: Last score, 0 to 100; a game that was lost for good counts 0.
        best: Best score on the way.
        moves: Commands carried out.
        tokens: Price of what the memory delivered to the three roles, in tokens.
    """

    task_type: str
    variation: int
    condition: str
    score: int
    best: int
    moves: int
    tokens: int = 0


@dataclass
class Results:
    """What the demo saw.

    Attributes:
        experts: Scores of the expert runs.
        novices: Scores of the novice runs.
        games: Every test game, in the order in which they were played.
        recall: What the planner was given in one that was won with memory: that with the shortest task text.
    """

    experts: list[int] = field(default_factory=list)
    novices: list[int] = field(default_factory=list)
    games: list[Game] = field(default_factory=list)
    recall: Recall | None = None

    def of(self, condition: str) -> list[Game]:
        """Give the games of one condition, in the order of play."""
        return [g for g in self.games if g.condition == condition]


@dataclass(frozen=True, slots=True)
class Course:
    """How much is played.

    Attributes:
        types: Task types, in the order of play.
        experts: Training variations of each that the expert team plays.
        novices: Training variations of each, others than those, that the novice team tries.
        tests: Test variations of each that are played under every condition.
    """

    types: Sequence[str] = schedule.TASK_TYPES
    experts: int = schedule.EXPERT_RUNS
    novices: int = schedule.NOVICE_RUNS
    tests: int = schedule.TEST_RUNS

    @property
    def games(self) -> int:
        """How many games there are at most."""
        return len(self.types) * (self.experts + self.novices + len(CONDITIONS) * self.tests)


def play(memory: Memory, course: Course, tick: Tick = lambda what: None) -> Results:
    """Make the experience, then play the tests.

    Args:
        memory: An empty memory; it learns from the experience and from the games played with it.
        course: How much to play.
        tick: Called with a few words after each game.
    """
    results = Results()
    with World() as world:
        training = {t: schedule.draw(world.splits(t).train, course.experts + course.novices, t) for t in course.types}
        tests = {t: schedule.draw(world.splits(t).test, course.tests, t) for t in course.types}
        for task_type in course.types:
            for at, variation in enumerate(training[task_type]):
                expert = at < course.experts
                score = _experience(world, memory, task_type, variation, expert)
                (results.experts if expert else results.novices).append(score)
                tick("experts play" if expert else "novices try")
        texts = {t: world.load(t, training[t][0]) for t in course.types}
        for task_type, variation in _in_turn(tests):
            other = _other_type(memory, texts, task_type)
            for condition in CONDITIONS:
                if condition == GMEM:
                    game, recall = _helped(world, memory, task_type, variation)
                    if game.score >= 100 and (results.recall is None or len(recall.query) < len(results.recall.query)):
                        results.recall = recall
                else:
                    game = _alone(world, memory, task_type, variation, other if condition == WRONG else "")
                results.games.append(game)
                tick(f"tests {condition}")
    return results


def _in_turn(tests: dict[str, list[int]]) -> Iterator[tuple[str, int]]:
    """Go through the types again and again, so that later games can profit from earlier ones of their type."""
    for at in range(max(map(len, tests.values()))):
        for task_type, variations in tests.items():
            if at < len(variations):
                yield task_type, variations[at]


def _experience(world: World, memory: Memory, task_type: str, variation: int, expert: bool) -> int:
    """Let a team play a training variation, and record it; an expert is told the environment's own path."""
    gold = world.gold_path(task_type, variation) if expert else []
    query = world.load(task_type, variation)
    with memory.task(query, agents=AGENTS, source="expert" if expert else "novice", metadata=_facts(task_type)) as run:
        score = play_game(
            world,
            players(GoldPlanner(actions=gold) if expert else Planner()),
            schedule.EXPERT_MOVES if expert else schedule.NOVICE_MOVES,
            record=Recorder(run),
        ).score
        if score >= 100:
            run.resolve(score)
        else:
            run.fail(_reason(score), score=score)
    return score


def _alone(world: World, memory: Memory, task_type: str, variation: int, other: str) -> Game:
    """Play one test variation without memory, or with what is recalled for another task; it is not recorded."""
    world.load(task_type, variation)
    notes = {role: memory.recall(other, role, budget=BUDGET).text if other else "" for role in ROLES}
    price = sum(map(tokens, notes.values()))
    return _game(world, notes, task_type, variation, WRONG if other else NONE, price)


def _helped(world: World, memory: Memory, task_type: str, variation: int) -> tuple[Game, Recall]:
    """Play one test variation with what the memory recalls for it; it is recorded and learned from."""
    query = world.load(task_type, variation)
    with memory.task(query, agents=AGENTS, source="team", metadata=_facts(task_type)) as run:
        recalls = {role: run.recall(role, budget=BUDGET) for role in ROLES}
        price = sum(r.tokens for r in recalls.values())
        game = _game(
            world, {role: r.text for role, r in recalls.items()}, task_type, variation, GMEM, price, Recorder(run)
        )
        if game.score >= 100:
            run.resolve(game.score)
        else:
            run.fail(_reason(game.score), score=game.score)
    return game, recalls["planner"]


def told(notes: Mapping[str, str]) -> dict[str, str]:
    """Write notes behind the system message of each role, where an adapter would put them."""
    return {role: f"{text}\n\n{notes[role]}" if notes.get(role) else text for role, text in ROLES.items()}


def players(planner: BaseChatModel) -> dict[str, BaseChatModel]:
    """Give the models of a team, of which only the planner differs."""
    return {"planner": planner, "actor": Actor(), "critic": Critic()}


def _game(
    world: World, notes: Mapping[str, str], task_type: str, variation: int, condition: str, price: int,
    record: Recorder | None = None,
) -> Game:  # fmt: skip
    most = schedule.NOVICE_MOVES if condition == NONE else schedule.TEAM_MOVES
    played = play_game(world, players(Planner()), most, told(notes), *([record] if record else []))
    return Game(
        task_type, variation, condition, max(0, played.score), max(0, played.best), played.moves, price
    )  # fmt: skip


def _other_type(memory: Memory, texts: dict[str, str], task_type: str) -> str:
    """Choose a task text of another kind for which the memory recalls nothing of this kind.

    Types whose names begin alike (find-plant, find-animal) are the same work, so they count as one kind.
    """
    types = list(texts)
    start = types.index(task_type) + len(types) // 2
    for at in range(start, start + len(types)):
        text = texts[types[at % len(types)]]
        recalled = memory.recall(text, budget=BUDGET)
        found = {_kind(c.task.metadata["type"]) for c in (*recalled.solved, *recalled.failed)}
        if _kind(task_type) not in found:
            return text
    return "something else altogether"


def _kind(task_type: str) -> str:
    return task_type.partition("-")[0]


def _facts(task_type: str) -> dict[str, str]:
    return {"environment": "ScienceWorld", "type": task_type}


def _reason(score: int) -> str:
    return "the game was lost for good" if score < 0 else f"the team gave up at {score} of 100"
