"""Adapters that hook gmem into agent frameworks; importing this imports no framework."""

from gmem.adapters._said import Said
from gmem.adapters._verdict import Verdict

__all__ = ["Said", "Verdict"]
