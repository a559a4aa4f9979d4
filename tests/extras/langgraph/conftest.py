"""Without the packages that these tests need they are left out, but not where they are asked for by name."""

from __future__ import annotations

import importlib.util

from asked import asked

PACKAGES = ("langgraph", "langchain", "langgraph_supervisor", "langgraph_swarm")
missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
if missing and asked("LANGGRAPH"):
    raise RuntimeError(f"{', '.join(missing)} is not installed; run: make test-langgraph")
collect_ignore_glob = ["test_*.py"] if missing else []
