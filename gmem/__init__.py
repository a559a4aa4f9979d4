"""A graph memory for teams of agents.

`Memory` records what a team does, learns from it, and gives back what helps with the next task.
"""

from gmem.graphs import GraphStore
from gmem.learn.upkeep import Receipt
from gmem.llm import ChatModel
from gmem.memory import Memory
from gmem.meter import Usage
from gmem.model import Evidence, Insight, Interaction, Notice, Task, Utterance
from gmem.recall import Case, Explanation, Lesson, Recall, RecallSettings
from gmem.trace import Run

__all__ = [
    "Case",
    "ChatModel",
    "Evidence",
    "Explanation",
    "GraphStore",
    "Insight",
    "Interaction",
    "Lesson",
    "Memory",
    "Notice",
    "Recall",
    "RecallSettings",
    "Receipt",
    "Run",
    "Task",
    "Usage",
    "Utterance",
]
__version__ = "0.1.0"
