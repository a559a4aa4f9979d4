"""What whoever runs the tests asks for, by environment variables GMEM_TEST_...: more of something, or less."""

from __future__ import annotations

import os

import pytest

__all__ = ["asked"]


def asked(name: str, usual: int = 0) -> int:
    """Read how many of something are asked for; of what is only left out or not, 0 says no and 1 yes.

    Args:
        name: What follows GMEM_TEST_.
        usual: What it is when it is not set, or empty.

    Raises:
        pytest.UsageError: It is no whole number.
    """
    text = os.environ.get(f"GMEM_TEST_{name}", "").strip()
    if text and not text.isdecimal():
        raise pytest.UsageError(f"GMEM_TEST_{name} must be a whole number (0 for no), not {text!r}")
    return int(text) if text else usual
