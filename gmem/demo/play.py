"""The course of the demo: experience is made, then the same team plays new tasks with and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gmem import Memory, Recall
from gmem.demo import schedule
from gmem.demo.games import (
    BUDGET,
    CONDITIONS,
    GMEM,
    WRONG,
    Game,
    Stage,
    alone,
    experience,
    helped,
    recalled,
)
from gmem.demo.score import Play
from gmem.demo.world import World

__all__ = ["Course", "Results", "other_type", "play"]

Tick = Callable[[str], None]


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


def play(memory: Memory, course: Course, on: Play, tick: Tick = lambda what: None) -> Results:
    """Make the experience, then play the tests.

    Args:
        memory: An empty memory; it learns from the experience and from the games played with it.
        course: How much to play.
        on: The framework that the team plays on.
        tick: Called with a few words after each game.
    """
    results = Results()
    kinds: dict[str, str] = {}
    with World() as world:
        stage = Stage(world, on)
        training = {t: schedule.draw(world.splits(t).train, course.experts + course.novices, t) for t in course.types}
        tests = {t: schedule.draw(world.splits(t).test, course.tests, t) for t in course.types}
        for task_type in course.types:
            for at, variation in enumerate(training[task_type]):
                expert = at < course.experts
                score = experience(stage, memory, task_type, variation, expert)
                kinds[world.task] = task_type
                (results.experts if expert else results.novices).append(score)
                tick("experts play" if expert else "novices try")
        for task_type, variation in _in_turn(tests):
            other = other_type(memory, kinds, task_type)
            for condition in CONDITIONS:
                if condition == GMEM:
                    game, recall = helped(stage, memory, task_type, variation)
                    kinds[world.task] = task_type
                    if game.score >= 100 and (results.recall is None or len(recall.query) < len(results.recall.query)):
                        results.recall = recall
                elif condition == WRONG:
                    game = alone(stage, task_type, variation, condition, recalled(memory, other))
                else:
                    game = alone(stage, task_type, variation, condition, {}, schedule.NOVICE_MOVES)
                results.games.append(game)
                tick(f"tests {condition}")
    return results


def _in_turn(tests: dict[str, list[int]]) -> Iterator[tuple[str, int]]:
    """Go through the types again and again, so that later games can profit from earlier ones of their type."""
    for at in range(max(map(len, tests.values()))):
        for task_type, variations in tests.items():
            if at < len(variations):
                yield task_type, variations[at]


def other_type(memory: Memory, kinds: Mapping[str, str], task_type: str) -> str:
    """Choose the text of a task of another kind for which the memory recalls nothing of this kind.

    Types whose names begin alike (find-plant, find-animal) are the same work, so they count as one kind.

    Args:
        memory: What is recalled from.
        kinds: Type of every task in it, by text.
        task_type: The type that is not to be found.
    """
    texts: dict[str, str] = {}
    for text, kind in kinds.items():
        texts.setdefault(kind, text)
    types = list(texts)
    start = types.index(task_type) + len(types) // 2
    for at in range(start, start + len(types)):
        text = texts[types[at % len(types)]]
        known = memory.recall(text, budget=BUDGET)
        found = {_family(kinds[c.task.query]) for c in (*known.solved, *known.failed)}
        if _family(task_type) not in found:
            return text
    return "something else altogether"


def _family(task_type: str) -> str:
    return task_type.partition("-")[0]
