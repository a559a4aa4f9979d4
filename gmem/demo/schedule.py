"""What the demo plays, and how much of it.

The task types are those whose solutions are short enough for a team that can only adapt what it remembers.
They were chosen on the development variations; the test variations are for the demo alone. Left out are types on
which such a team fails although it has notes, such as melting, growing and breeding: it cannot measure and wait.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

TASK_TYPES = (
    "find-living-thing",
    "find-non-living-thing",
    "find-plant",
    "find-animal",
    "lifespan-longest-lived",
    "lifespan-shortest-lived",
    "lifespan-longest-lived-then-shortest-lived",
    "use-thermometer",
    "power-component",
    "power-component-renewable-vs-nonrenewable-energy",
    "chemistry-mix-paint-secondary-color",
    "test-conductivity-of-unknown-substances",
)
QUICK_TYPES = ("find-animal", "use-thermometer", "power-component")
"""One type of each of three kinds, for a demo in half a minute."""
EXPERT_RUNS = 5
"""Training variations per type that the expert team plays to the end."""
NOVICE_RUNS = 2
"""Training variations per type, others than the expert's, that the novice team tries without notes."""
TEST_RUNS = 3
"""Test variations per type, each played under every condition."""
NOVICE_MOVES = 25
"""After so many commands a team without notes gives up."""
TEAM_MOVES = 60
"""After so many commands a team with notes gives up."""
EXPERT_MOVES = 300
"""More than the longest gold path of these types."""
SEED = 7
"""Chooses and orders the variations."""


def draw(variations: Sequence[int], count: int, task_type: str, seed: int = SEED) -> list[int]:
    """Draw variations, the same ones each time.

    Args:
        variations: Those to draw from.
        count: How many.
        task_type: Their task type; another type draws others.
        seed: Another seed draws others.

    Returns:
        The drawn variations in the order to be played, fewer when there are not so many.
    """
    pool = list(variations)
    random.Random(f"{seed}:{task_type}").shuffle(pool)
    return pool[:count]
