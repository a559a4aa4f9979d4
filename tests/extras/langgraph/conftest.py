"""Without the packages that these tests need they are left out, but not where they are asked for by name."""

from __future__ import annotations

import importlib.util
import os

PACKAGES = ("langgraph", "langchain", "langgraph_supervisor", "langgraph_swarm")
missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
if missing and os.environ.get("GMEM_TEST_LANGGRAPH"):
    raise RuntimeError(f"{', '.join(missing)} is not installed; run: make test-langgraph")
collect_ignore_glob = ["test_*.py"] if missing else []
