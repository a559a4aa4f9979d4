"""Every Cypher statement is a constant, and sound in both versions of the language."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gmem.graphs import _cypher

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "cypher"
MODULES = sorted((ROOT / "graphs").glob("*.py"))
STATEMENTS = {
    **{name: getattr(_cypher, name) for name in _cypher.__all__ if name != "SCHEMA"},
    **{f"SCHEMA {name}": statement for name, statement in _cypher.SCHEMA.items()},
}


def _constant(node: ast.expr) -> bool:
    """Tell whether an expression is a text, or a dictionary or list of texts, and nothing worked out."""
    if isinstance(node, ast.Dict):
        return all(key is not None and _constant(key) for key in node.keys) and all(map(_constant, node.values))
    if isinstance(node, ast.List):
        return all(map(_constant, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_the_statements_are_constants() -> None:
    tree = ast.parse(Path(_cypher.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            assert node.value is not None
            assert _constant(node.value), f"line {node.lineno}"
        else:
            assert isinstance(node, (ast.Expr, ast.ImportFrom)), f"line {node.lineno}"


def test_only_those_constants_are_ever_sent() -> None:
    sent = 0
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name == "run" and isinstance(node.func, ast.Name):
                # A name stands for a constant that was handed on; nothing is joined, formatted or replaced.
                assert isinstance(first, ast.Name) or _is_statement(first), f"{module.name}:{node.lineno}"
                sent += 1
            assert name != "execute_query", f"{module.name}:{node.lineno}"
    assert sent > 10


def _is_statement(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_cypher"


def test_no_text_outside_the_constants_looks_like_cypher() -> None:
    pattern = re.compile(r"\b(MATCH|MERGE|UNWIND|DETACH DELETE|OPTIONAL MATCH)\b *[($]")
    for module in MODULES:
        if module.name == "_cypher.py":
            continue
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not pattern.search(node.value), f"{module.name}:{node.lineno}"


@pytest.mark.parametrize("version", ["5", "25"])
def test_the_linter_of_neo4j_finds_nothing(version: str) -> None:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        missing = "no Node.js" if node is None else "no linter: run `npm install` in tests/cypher"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    asked = {}
    for name, statement in STATEMENTS.items():
        text = statement.strip()
        asked[name] = f"CYPHER {version} " + text.removeprefix("CYPHER ")
    asked["wrong on purpose"] = f"CYPHER {version} MATCH (n) RETURN m"
    done = subprocess.run(
        [node, str(FOLDER / "lint.mjs")], cwd=FOLDER, input=json.dumps(asked), capture_output=True, text=True,
        encoding="utf-8", timeout=200, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert "not defined" in found.pop("wrong on purpose")[0]
    assert found == {}
