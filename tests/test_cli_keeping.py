"""The commands that change a memory, carry it elsewhere, or look for damage."""

from __future__ import annotations

import gzip
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Gmem, data, first
from stories import play

import gmem

# --- keeping --------------------------------------------------------------------------------------


def test_export_import_and_migrate(cli: Gmem, place: Path, tmp_path: Path) -> None:
    assert cli("export", "out.jsonl").stdout == "11 tasks written to out.jsonl.\n"
    assert cli("export").stdout.encode() == (tmp_path / "out.jsonl").read_bytes()
    assert cli("export", "-").stdout.encode() == (tmp_path / "out.jsonl").read_bytes()
    assert "exists; choose another name" in cli("export", "out.jsonl", code=1).stderr
    assert data(cli("export", "out.jsonl.gz", "--json"))["tasks"] == 11
    with gzip.open("out.jsonl.gz") as file:
        assert file.read() == (tmp_path / "out.jsonl").read_bytes()

    report = data(cli("import", "out.jsonl", "--memory", "new.gmem", "--json"))
    assert (report["added"], report["present"], report["refused"]) == (11, 0, 0)
    assert cli("export", "--memory", "new.gmem").stdout == cli("export").stdout
    assert len(data(cli("insights", "--json", "--memory", "new.gmem"))) == len(data(cli("insights", "--json")))

    assert "Copied to copy.gmem and verified. Teams: blue (11 tasks" in cli("migrate", str(place), "copy.gmem").stdout
    assert "exists" in cli("migrate", str(place), "copy.gmem", code=1).stderr
    assert "exists" in cli("migrate", str(place), str(place), code=1).stderr
    assert "there is no memory" in cli("migrate", "none.gmem", "two.gmem", code=1).stderr
    assert "does not exist" in cli("migrate", str(place), "no/where.gmem", code=1).stderr
    assert "no store opens http://" in cli("migrate", str(place), "http://x", code=1).stderr
    assert not (tmp_path / "two.gmem").exists()
    assert data(cli("migrate", str(place), "three.gmem", "--json"))["teams"] == {"blue": 11}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_migrate_copies_bit_for_bit(cli: Gmem, place: Path, tmp_path: Path) -> None:
    with gmem.Memory(place, team="red", embedder="none") as memory:
        play(memory, "leek")
        with memory.task("Cook a yam in the pot") as run:
            run.recall()
            run.resolve()
        # Written but not yet folded into the main file, and read by this process meanwhile.
        cli("migrate", str(place), "copy.gmem")

    def dump(path: Path) -> list[str]:
        with sqlite3.connect(path) as db:
            found = list(db.iterdump())
        db.close()
        return found

    assert dump(tmp_path / "copy.gmem") == dump(place)
    with gmem.Memory(place, team="red") as old, gmem.Memory("copy.gmem", team="red") as new:
        assert old.store.teams() == new.store.teams() == ["blue", "red"]
        for team in ("blue", "red"):
            assert old.store.insights(team) == new.store.insights(team)
            assert old.store.recalls(team) == new.store.recalls(team)
            assert old.store.tasks(team, old.store.task_ids(team)) == new.store.tasks(team, new.store.task_ids(team))


def test_import_reports_what_landed_and_what_was_refused(cli: Gmem, tmp_path: Path) -> None:
    good = {
        "id": "1",
        "task": "Cook a swede",
        "outcome": "success",
        "messages": [{"agent": "ann", "content": "Boil it."}],
    }
    bad = {"id": "2\x1b[31m", "task": "x", "messages": [{"agent": "ann", "content": "a\0b"}]}
    Path("t.jsonl").write_text("\n".join(json.dumps(x) for x in (good, bad)), encoding="utf-8")
    text = cli("import", "t.jsonl").stdout
    assert "1 tasks added (1 resolved, 0 failed, 0 unknown), 0 there already, 1 refused." in text
    assert "Refused t.jsonl:2 (2[31m): what ann said holds a NUL character" in text
    again = data(cli("import", "t.jsonl", "--json"))
    assert (again["added"], again["present"], again["refused"]) == (0, 1, 1)
    assert again["files"][0]["refused"][0]["where"] == "t.jsonl:2"
    assert again["files"][0]["format"] == "jsonl"


def test_import_ends_with_1_if_nothing_landed(cli: Gmem) -> None:
    Path("t.txt").write_text("dear diary", encoding="utf-8")
    assert "looks like none of the formats" in cli("import", "t.txt", "--memory", "new.gmem", code=1).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_import_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    source, target = tmp_path / "t.jsonl", tmp_path / "new.gmem"
    task = {"task": "Cook a swede", "outcome": "success", "messages": [{"agent": "ann", "content": "Boil it."}]}
    source.write_text("\n".join(json.dumps({**task, "id": str(n)}) for n in range(20_000)), encoding="utf-8")
    # A program that was started in the background is deaf to SIGINT, and so are those that it starts.
    listening = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); import gmem.cli; gmem.cli.main()"
    command = [sys.executable, "-c", listening, "import", str(source), "--memory", str(target), "--embedder", "none"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not target.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 1
    assert "Stopped. What was imported is kept, and the same command goes on from there." in said
    assert "Traceback" not in said
    with gmem.Memory(target, embedder="none") as memory:
        assert memory.store.check() == []


def test_import_makes_the_memory_with_the_embedder_asked_for(cli: Gmem) -> None:
    cli("export", "out.jsonl")
    cli("import", "out.jsonl", "--memory", "new.gmem", "--embedder", "none")
    assert data(cli("stats", "--memory", "new.gmem", "--json"))["embedder"] == "none"
    assert "Unknown embedder 'nonsense'" in cli("import", "out.jsonl", "--embedder", "nonsense", code=1).stderr


def test_forget_asks_first_and_gives_a_receipt(cli: Gmem) -> None:
    whole = first(cli, "tasks")
    assert cli("forget", "--task", whole[:12], input="n\n", code=1).stdout.startswith(
        f"Forget task {whole} of team blue?"
    )
    assert data(cli("stats", "--json"))["tasks"] == 11
    assert "Forgotten: 1 tasks with 6 utterances." in cli("forget", "--task", whole[:12], input="y\n").stdout
    assert "has no task" in cli("forget", "--task", whole, "--yes", code=1).stderr
    receipt = data(cli("forget", "--agent", "ann", "--yes", "--json"))
    assert len(receipt["tasks"]) == 10
    assert receipt["utterances"] == 6 * 9 + 4 * 6
    assert receipt["insights"]
    assert data(cli("stats", "--json"))["tasks"] == data(cli("stats", "--json"))["insights"] == 0
    assert "Forgotten: 0 tasks" in cli("forget", "--source", "nobody", "--yes").stdout


def test_forget_everything_of_one_team(cli: Gmem, place: Path) -> None:
    with gmem.Memory(place, team="red") as memory:
        play(memory, "leek")
    assert "Forget all 11 tasks of team blue?" in cli("forget", "--everything", input="y\n").stdout
    assert data(cli("stats", "--json"))["tasks"] == 0
    assert data(cli("stats", "--json", "--team", "red"))["tasks"] == 1


def test_learn_says_how_much(cli: Gmem) -> None:
    assert "Learned from 0 tasks" in cli("learn").stdout
    assert data(cli("learn", "--json"))["learned"] == 0


class Broken:
    """A distiller with a flaw."""

    name, external = "broken", False

    def distil(self, contrast: Any) -> Any:
        raise ZeroDivisionError


def test_what_could_not_be_learned_from_is_learned_from_later(cli: Gmem, place: Path) -> None:
    with gmem.Memory(place, team="blue", distiller=Broken()) as memory:
        play(memory, "chard")
    assert data(cli("stats", "--json"))["unlearned"] == 2  # the other one is of unknown outcome
    (advice,) = data(cli("doctor", "--json"))["advice"]
    assert "`gmem learn`" in advice
    assert advice in cli("doctor").stdout
    assert "Learned from 1 tasks" in cli("learn").stdout
    assert data(cli("doctor", "--json"))["advice"] == []


def test_reembed_works_even_if_the_old_model_is_gone(cli: Gmem, place: Path) -> None:
    from gmem.model import Model

    with gmem.Memory(place, team="blue") as memory:
        memory.store.set_embedder(Model("sentence-transformers/gone", 3))
    assert data(cli("reembed", "none", "--json")) == {"from": "sentence-transformers/gone", "to": "none", "vectors": 0}
    assert cli("reembed", "none").stdout == "Moved from none to none: 0 vectors.\n"
    assert "Unknown embedder" in cli("reembed", "nonsense", code=1).stderr


def test_looking_needs_no_embedding_model(cli: Gmem, place: Path) -> None:
    from gmem.model import Model

    with gmem.Memory(place, team="blue") as memory:
        memory.store.set_embedder(Model("somebody:else", 3))
    for args in (["tasks"], ["insights"], ["stats"], ["export"], ["doctor"], ["show", first(cli, "tasks")]):
        cli(*args)
    assert (
        "gmem reembed" in cli("recall", "Cook a leek in the pot", code=1).stderr
        or "langchain" in cli("recall", "Cook a leek in the pot", code=1).stderr
    )
    cli("forget", "--everything", "--yes")


def test_doctor_finds_nothing_wrong(cli: Gmem, place: Path) -> None:
    found = data(cli("doctor", "--json"))
    assert (found["ok"], found["problems"]) == (True, [])
    assert {"memory", "format", "gmem", "python", "sqlite", "extras", "embedder", "teams", "bytes"} <= set(
        found["facts"]
    )
    text = cli("doctor").stdout
    assert "No damage found." in text
    assert sqlite3.sqlite_version in text


@pytest.mark.parametrize("args", [["doctor"], ["doctor", "--json"]], ids=" ".join)
def test_doctor_ends_with_3_if_there_is_damage(cli: Gmem, place: Path, args: list[str]) -> None:
    content = bytearray(place.read_bytes())
    at = content.index(b"Cook a")
    content[at] ^= 1
    place.write_bytes(content)
    result = cli(*args, code=3)
    if "--json" in args:
        assert data(result)["ok"] is False
        assert data(result)["problems"]
    assert "restore" in result.stdout


def test_damage_stops_everything_else(cli: Gmem, place: Path) -> None:
    content = bytearray(place.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    place.write_bytes(content)
    assert len(cli("tasks", code=1).stderr.splitlines()) == 1
    assert data(cli("tasks", "--json", code=1))["error"]["type"] == "StoreCorrupt"
    assert "damage" in cli("migrate", str(place), "copy.gmem", code=1).stderr
    assert not Path("copy.gmem").exists()


def test_the_demo_says_what_it_needs(cli: Gmem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scienceworld", None)
    assert "pip install 'gmem-engine[demo" in cli("demo", code=1).stderr
