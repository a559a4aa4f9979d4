"""The command `gmem` on the memory of a team that has learned something."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from stories import BAD, kitchen, play

import gmem
from gmem.cli import main

Gmem = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A memory of a kitchen team that has learned something."""
    path = tmp_path / "kitchen.gmem"
    with gmem.Memory(path, team="blue", embedder="none") as memory:
        kitchen(memory)
        play(memory, "okra", BAD, resolved=None, source="other")
    return path


@pytest.fixture
def cli(place: Path, monkeypatch: pytest.MonkeyPatch) -> Gmem:
    """Run the command on that memory."""
    monkeypatch.setenv("GMEM_MEMORY", str(place))
    monkeypatch.setenv("GMEM_TEAM", "blue")
    monkeypatch.chdir(place.parent)

    def call(*args: str, input: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(main, list(args), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert (result.exit_code, args) == (code, args), result.output
        return result

    return call


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def first(cli: Gmem, what: str) -> str:
    """Give the id of the first thing that is listed."""
    return str(data(cli(what, "--json"))[0]["id"])
