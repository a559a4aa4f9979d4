"""Recall: bidirectional traversal of the three tiers, projection to a role, and the reasons why."""

from gmem.recall.result import Case, Explanation, Lesson, Recall, Row
from gmem.recall.settings import RecallSettings

__all__ = ["Case", "Explanation", "Lesson", "Recall", "RecallSettings", "Row"]
