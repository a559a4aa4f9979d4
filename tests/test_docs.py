"""What the documentation says is run: every Python block of the README, every command in it, the notebook."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Give the blocks in a language; those for a framework run where the framework is (tests/extras)."""
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [block for block in found if "gmem.adapters" not in block]


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks("python"))
    assert code.count("\n") > 10
    exec(compile(code, str(ROOT / "README.md"), "exec"), {"__name__": "readme"})  # noqa: S102  # our own text


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmem.cli import main

    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks("python")), {"__name__": "readme"})  # noqa: S102  # they make the memory
    commands = [line for block in blocks("console") for line in re.findall(r"^\$ gmem (.+)$", block, re.MULTILINE)]
    assert len(commands) >= 5
    for command in commands:
        if command.startswith("demo"):
            continue  # run by `make demo` and by tests/test_demo.py
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, f"gmem {command}: {result.output}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z0-9-]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_that_the_readme_links_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)", README):
        if "://" not in link:
            assert (ROOT / link).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the `notebooks` extra is not installed")
    import nbformat

    notebook = nbformat.read(path, 4)
    manager = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    manager.execute()
    shown = str([o for c in notebook.cells if c.cell_type == "code" for o in c.outputs])
    assert "<gmem-memory" in shown and "image/png" in shown and "verdict" in shown
