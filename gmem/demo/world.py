"""A thin, quiet wrapper over ScienceWorld: load a task, read its text, act, list what can be done, score.

The package's own ``step`` also fetches the look, the inventory and every valid action each time, which costs
five times the step itself. This wrapper asks the simulator for what is needed and no more.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from gmem.demo.java import DemoSetupError, find_java, first_on_path
from gmem.demo.team.rules import Outcome

SIMPLIFICATION = "easy"
"""Doors are open, plants are watered and rooms can be reached with `teleport to`: the demo is about what a team
remembers, not about doors."""

_NOT_PLAY = frozenset({"task", "reset task"})
"""Commands about the game and not in it."""


@dataclass(frozen=True)
class Splits:
    """Variation numbers of a task type, in the environment's own order."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


class World:
    """One running ScienceWorld simulator; use it as a context manager.

    Raises:
        DemoSetupError: ScienceWorld is not installed or no Java runtime was found.
    """

    def __init__(self) -> None:
        try:
            from scienceworld import ScienceWorldEnv  # type: ignore[import-untyped, unused-ignore]
        except ImportError as error:
            raise DemoSetupError(
                "The package scienceworld is not installed. Do `pip install scienceworld==1.2.3`."
            ) from error
        # py4j logs every failed shutdown handshake of a simulator that is going away anyway.
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        with first_on_path(find_java()):
            self._env: Any = ScienceWorldEnv("", envStepLimit=10_000)
        self._server: Any = self._env.server
        self._process: subprocess.Popen[bytes] = self._env._gateway.java_process
        self._score = 0
        self._open = True

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the simulator and wait until its process is gone; calling it again does nothing."""
        if not self._open:
            return
        self._open = False
        self._env.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._env._obj_tree_tempdir.cleanup()

    def task_types(self) -> list[str]:
        """Return the names of all task types."""
        return list(self._server.getTaskNames())

    def splits(self, task_type: str) -> Splits:
        """Return the training, development and test variations of a task type.

        Args:
            task_type: A name from `task_types`.
        """
        self.load(task_type, 0)
        env = self._env
        return Splits(
            train=tuple(env.get_variations_train()),
            dev=tuple(env.get_variations_dev()),
            test=tuple(env.get_variations_test()),
        )

    def load(self, task_type: str, variation: int) -> str:
        """Load a task afresh.

        Args:
            task_type: A name from `task_types`.
            variation: The number of the variation.

        Returns:
            The text of the task.
        """
        self._start(task_type, variation, gold=False)
        return self.task

    def gold_path(self, task_type: str, variation: int) -> list[str]:
        """Return the environment's own solution of a task, and leave the task loaded afresh.

        Args:
            task_type: A name from `task_types`.
            variation: The number of the variation.
        """
        self._start(task_type, variation, gold=True)
        return list(self._env.get_gold_action_sequence())

    def _start(self, task_type: str, variation: int, gold: bool) -> None:
        """Load a task and let one look pass.

        The simulator goes on reporting the score and the end of the last game until a command takes time.
        Commands that take none ("task") would otherwise earn the last team's score.
        """
        self._env.load(task_type, variation, SIMPLIFICATION, generateGoldPath=gold)
        self._server.step("look around")
        self._score = round(100 * float(self._server.getScore()))

    @property
    def task(self) -> str:
        """The text of the loaded task."""
        return " ".join(str(self._server.getTaskDescription()).replace("Task Description:", "").split())

    @property
    def score(self) -> int:
        """The score so far, from -100 (failed for good) to 100 (solved)."""
        return self._score

    def look(self) -> str:
        """Return what is to be seen; this takes no move."""
        return str(self._server.freeActionLook())

    def step(self, command: str) -> Outcome:
        """Carry out one command.

        Args:
            command: Text such as "go to kitchen".

        Returns:
            What it led to; `reward` is the change of the score.
        """
        observation = str(self._server.step(command)).strip()
        score = round(100 * float(self._server.getScore()))
        reward, self._score = score - self._score, score
        return Outcome(observation, float(reward), score, bool(self._server.getCompleted()) or score < 0)

    def commands(self, prefix: str = "") -> list[str]:
        """List the commands that mean something now (some 30 ms, hundreds of lines).

        The simulator draws lots for what it calls a thing ("cup" or "glass cup"), anew at each call, so two plays of
        the same task may differ in a word.

        Args:
            prefix: List only commands that begin with this text.

        Returns:
            The commands, sorted, each once.
        """
        found = {str(command) for command in self._server.getValidActionObjectCombinations()}
        return sorted(c for c in found - _NOT_PLAY if c.startswith(prefix))
