"""For tests of gmem and of what is built on it: a conformance suite for stores, and example values.

This is the only part of gmem that needs pytest.
"""

import pytest

pytest.register_assert_rewrite("gmem.testing._writing", "gmem.testing._reading", "gmem.testing._keeping")

from gmem.testing.conformance import GraphStoreConformance  # noqa: E402
from gmem.testing.examples import (  # noqa: E402
    EXAMPLE_MODEL,
    example_batch,
    example_insight,
    example_interaction,
    example_recall,
    example_task,
    example_vector,
    read_everything,
    similar,
)

__all__ = [
    "EXAMPLE_MODEL",
    "GraphStoreConformance",
    "example_batch",
    "example_insight",
    "example_interaction",
    "example_recall",
    "example_task",
    "example_vector",
    "read_everything",
    "similar",
]
