"""A graph memory for teams of agents.

`Memory` records what a team does, learns from it, and gives back what helps with the next task.
"""

from gmem.engine import Receipt
from gmem.graphs import GraphStore
from gmem.memory import Memory
from gmem.model import Evidence, Insight, Interaction, Task, Utterance
from gmem.recall import Case, Explanation, Lesson, Recall, RecallSettings
from gmem.trace import Run

__all__ = [
    "Case",
    "Evidence",
    "Explanation",
    "GraphStore",
    "Insight",
    "Interaction",
    "Lesson",
    "Memory",
    "Recall",
    "RecallSettings",
    "Receipt",
    "Run",
    "Task",
    "Utterance",
]
__version__ = "0.1.0"
