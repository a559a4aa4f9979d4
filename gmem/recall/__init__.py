"""Recall: bidirectional traversal of the three tiers, projection to a role, and the reasons why."""

from gmem.recall.items import Case, Lesson, Row
from gmem.recall.result import Explanation, Recall
from gmem.recall.settings import RecallSettings

__all__ = ["Case", "Explanation", "Lesson", "Recall", "RecallSettings", "Row"]
