"""The package as a whole: names, layers, import cost, packaging."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gmem
from gmem import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ROOT / "gmem" / "demo" / "team"
"""The team that the demo attaches to: a program of its own."""
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Each module may import those before it; the last ones are seen by nobody inside.
LAYERS = [
    ["errors"],
    ["model", "ids", "checks", "flow", "text", "stats"],
    ["graphs"],
    ["embed", "answers", "meter", "voices"],
    ["recall"],
    ["prompts", "transcript"],
    ["llm"],
    ["learn"],
    ["trace", "reembed"],
    ["engine"],
    ["memory"],
    ["export", "migrate", "importers", "testing"],
    ["spool"],
    ["adapters"],
    ["demo", "cli", "__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def sources() -> list[tuple[str, Path]]:
    """Give (dotted name below gmem, path) of each module, each once."""
    found = []
    for folder, prefix in (("gmem", ""), ("graphs", "graphs."), ("adapters", "adapters.")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder == "gmem" and parts[0] in ("graphs", "adapters"):
                continue  # links, for type checkers
            found.append((prefix + ".".join(p for p in parts if p != "__init__"), path))
    return found


def imports(path: Path) -> set[str]:
    """Give the modules of gmem that a file imports, as dotted names below gmem; '' for gmem itself."""
    out: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if path.parent == PLAIN:
                assert node.level < 2, f"{path}: a program that knows nothing of gmem imports only its neighbours"
                continue
            assert node.level == 0, f"{path}: relative imports do not survive the folder mapping"
            names = [node.module or ""]
            if node.module == "gmem":
                modules = {alias.name for alias in node.names} & set(LEVEL)
                names = [f"gmem.{m}" for m in modules] or ["gmem"]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        out |= {n.removeprefix("gmem").lstrip(".") for n in names if n == "gmem" or n.startswith("gmem.")}
    return out


def test_the_team_of_the_demo_says_nothing_of_gmem() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in PLAIN.glob("*.py")}
    assert {"graph.py", "rules.py"} <= set(texts)
    assert not [name for name, text in texts.items() if "gmem" in text.lower() or "recall" in text.lower()]


@pytest.mark.parametrize(("name", "path"), sources(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_one_way(name: str, path: Path) -> None:
    if not name:  # gmem/__init__ gathers the public names
        return
    own = name.partition(".")[0]
    for target in imports(path):
        if not target:
            assert own in LAYERS[-1] or own in LAYERS[-2], f"{name} imports gmem itself"
            continue
        other = target.partition(".")[0]
        assert other == own or LEVEL[other] <= LEVEL[own], f"{name} must not import {target}"


def test_every_file_can_be_read_in_ten_minutes() -> None:
    long = {name: n for name, path in sources() if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450}
    assert not long


def test_public_names_are_sorted_and_there() -> None:
    assert gmem.__all__ == sorted(gmem.__all__)
    assert all(hasattr(gmem, name) for name in gmem.__all__)
    assert gmem.__version__ == PYPROJECT["project"]["version"]
    assert f"[{gmem.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_error_is_public_and_in_the_tree() -> None:
    found = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.GmemError)}
    assert found == set(errors.__all__) and errors.__all__ == sorted(errors.__all__)
    assert all(name in (errors.__doc__ or "") for name in found)


def test_every_package_folder_is_in_the_wheel() -> None:
    setup = PYPROJECT["tool"]["setuptools"]
    places = setup["package-dir"]

    def folder(package: str) -> Path:
        best = max((p for p in places if package == p or package.startswith(p + ".")), key=len)
        return (ROOT / places[best] / Path(*package.removeprefix(best).lstrip(".").split("."))).resolve()

    mapped = {folder(name) for name in setup["packages"]}
    on_disk = {p.parent.resolve() for top in ("gmem", "adapters", "graphs") for p in (ROOT / top).rglob("__init__.py")}
    assert mapped == on_disk


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def test_importing_gmem_touches_no_framework_no_model_and_no_network() -> None:
    code = (
        "import socket, sys\n"
        "socket.socket.connect = None\n"
        "import gmem, gmem.adapters, gmem.cli\n"
        "heavy = 'torch transformers sentence_transformers wordllama tokenizers langchain langchain_core langgraph "
        "autogen_agentchat neo4j matplotlib pydantic scienceworld'\n"
        "print(' '.join(m for m in heavy.split() if m in sys.modules))"
    )
    assert fresh(code) == ""


def test_a_memory_in_a_file_needs_no_driver_of_a_server() -> None:
    code = (
        "import sys, tempfile, pathlib, gmem\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    with gmem.Memory(pathlib.Path(folder) / 'team.gmem', embedder='none') as memory:\n"
        "        with memory.task('Boil a pot of water', agents={'ann': 'cook'}) as run:\n"
        "            run.say('ann', 'I heat it.')\n"
        "            run.resolve(1.0)\n"
        "        print(len(memory.recall('Boil a pan of water').solved), 'neo4j' in sys.modules)"
    )
    assert fresh(code) == "1 False"


def test_no_module_runs_stored_text() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill"}
    for name, path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                assert not {n.partition(".")[0] for n in names} & forbidden, name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), name
