"""Without AutoGen these tests are left out, but not where they are asked for by name."""

from __future__ import annotations

import importlib.util

from asked import asked

missing = [p for p in ("autogen_agentchat", "autogen_ext") if importlib.util.find_spec(p) is None]
if missing and asked("AUTOGEN"):
    raise RuntimeError(f"{', '.join(missing)} is not installed; run: make test-autogen")
collect_ignore_glob = ["test_*.py"] if missing else []
