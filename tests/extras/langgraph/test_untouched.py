"""The page about LangGraph runs; and neither LangGraph nor a team is another one after a memory was there."""

from __future__ import annotations

import base64
import gc
import hashlib
import re
import runpy
import weakref
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.tracers.context import _configure_hooks
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from langgraph_teams import Scripted, ask, call, every_kind_of_edge, scripted

from gmem import Memory
from gmem.adapters.langgraph import attach, detach

CACHED = ("node", "flat_writers", "input_cache_key")
ROOT = Path(__file__).parents[3]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "langgraph.md").read_text(encoding="utf-8")
    code = tmp_path / "page.py"
    code.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), encoding="utf-8")
    names = runpy.run_path(str(code))
    assert capsys.readouterr().out.split("\n")[:2] == ["resolved", "['actor', 'world']"]
    detach(names["app"])
    names["memory"].close()


def test_the_block_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    (block,) = [b for b in found if "gmem.adapters.langgraph" in b]
    code = tmp_path / "readme.py"
    code.write_text(block, encoding="utf-8")
    names = runpy.run_path(str(code))
    assert capsys.readouterr().out == "resolved\n"
    detach(names["app"])
    names["memory"].close()


def test_a_team_that_is_dropped_is_freed(words: Memory) -> None:
    gc.collect()
    known = classes()
    app = attach(every_kind_of_edge({}), words)
    app.invoke(ask("go"))
    gone = weakref.ref(app)
    assert classes() != known
    del app
    gc.collect()
    assert gone() is None and classes() == known


def shape(app: Any, deep: int = 3) -> Any:
    """Give everything that a graph is made of, by identity."""
    nodes = {
        name: (id(node), {k: id(v) for k, v in vars(node).items() if k not in CACHED},
               [id(w) for w in node.writers], [shape(s, deep - 1) for s in node.subgraphs if deep])
        for name, node in app.nodes.items()
    }  # fmt: skip
    return type(app), {k: id(v) for k, v in vars(app).items()}, nodes


def classes() -> dict[str, dict[str, int]]:
    found = (BaseChatModel, Pregel, Scripted)
    return {c.__name__: {k: id(v) for k, v in vars(c).items() if k != "_abc_impl"} for c in found}


def test_everything_is_as_it_was_after_detach(words: Memory) -> None:
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    gc.collect()  # of teams that other tests left attached

    models: dict[str, Scripted] = {}
    inner = create_agent(scripted(call("add", x=1, y=2), "three"), [add], name="solver")
    called = create_agent(scripted("checked"), [])
    graph = StateGraph(MessagesState).add_node("team", every_kind_of_edge(models)).add_node("solver", inner)
    graph.add_node("critic", lambda state: {"messages": called.invoke(state)["messages"][-1:]})
    app = graph.add_edge(START, "team").add_edge("team", "solver").add_edge("solver", "critic").compile()
    app.invoke(ask("warm up"))
    drawn = app.get_graph(xray=True).draw_mermaid()
    teams = (app, called, inner, app.nodes["team"].bound)
    before, known, hooks = [shape(t) for t in teams], classes(), list(_configure_hooks)
    fields = {name: set(vars(model)) for name, model in models.items()}
    with attach(app, words) as attached:
        assert attached is app
        assert all(shape(t) != b for t, b in zip(teams, before, strict=True))
        assert classes() != known
        assert app.get_graph(xray=True).draw_mermaid() == drawn
        app.invoke(ask("go"))
    assert [shape(t) for t in teams] == before and classes() == known and _configure_hooks == hooks
    assert {name: set(vars(model)) for name, model in models.items()} == fields
    app.invoke(ask("go on alone"))
    assert len(words.tasks()) == 1


def test_two_teams_that_share_an_agent_do_not_disturb_each_other(words: Memory) -> None:
    shared = create_agent(scripted("I"), [], name="shared")
    before = shape(shared)
    one = StateGraph(MessagesState).add_node("shared", shared).add_edge(START, "shared").compile()
    other = StateGraph(MessagesState).add_node("shared", shared).add_edge(START, "shared").compile()
    attach(one, words)
    attach(other, words)
    one.detach()  # type: ignore[attr-defined]
    other.invoke(ask("still watched"))
    assert [t.query for t in words.tasks()] == ["still watched"]
    other.detach()  # type: ignore[attr-defined]
    assert shape(shared) == before


def test_no_installed_file_of_the_frameworks_was_touched() -> None:
    names = ("langgraph", "langgraph-prebuilt", "langgraph-checkpoint", "langchain", "langchain-core",
             "langgraph-supervisor", "langgraph-swarm")  # fmt: skip
    checked = 0
    for name in names:
        for file in metadata.files(name) or ():
            if file.hash is not None and file.suffix == ".py":
                digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
                assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value, file
                checked += 1
    assert checked > 300
