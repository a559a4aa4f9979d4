"""The command `gmem`: what it prints for people and for programs, how it ends, and what it never does."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from stories import BAD, kitchen, play

import gmem
from gmem.cli import main

Gmem = Callable[..., Result]
READERS = (
    ["recall", "wash a leek"], ["explain", "wash a leek"], ["explain", "i_0"], ["tasks"], ["insights"], ["show", "t_0"],
    ["stats"], ["stats", "--all-teams"], ["export"], ["learn"], ["forget", "--everything", "--yes"],
    ["reembed", "none"], ["doctor"],
)  # fmt: skip


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


# --- help, usage, errors --------------------------------------------------------------------------


def test_help_shows_a_first_session_and_every_command_has_examples() -> None:
    runner = CliRunner()
    for args in ([], ["--help"], ["-h"]):
        result = runner.invoke(main, args)
        assert result.exit_code == 0
        assert "A first session:" in result.output
        assert "gmem import traces.jsonl.gz" in result.output
    wanted = "recall explain tasks insights show stats import export migrate forget learn reembed doctor demo"
    assert sorted(main.commands) == sorted(wanted.split())
    for name, command in main.commands.items():
        text = runner.invoke(main, [name, "--help"]).output
        assert f"    gmem {name}" in text.replace("\n  gmem", "\n    gmem"), name
        assert all(option in text for option in ("--memory", "--team", "--json"))
        assert command.short_help
        assert "..." not in click.Context(command).command.get_short_help_str(limit=60)


def test_the_program_starts_without_what_it_does_not_need() -> None:
    code = (
        "import sys, gmem.cli\n"
        "slow = {'rich', 'gmem.importers', 'gmem.demo', 'langchain_core', 'torch', 'tokenizers', 'neo4j'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_module_and_version() -> None:
    done = subprocess.run([sys.executable, "-m", "gmem", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"gmem, version {gmem.__version__}"


@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_reading_makes_no_missing_memory(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["--memory", "none.gmem", *args])
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("gmem: there is no memory at none.gmem; name one with --memory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_errors_are_objects_for_programs(args: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [*args, "--json", "--memory", str(tmp_path / "none.gmem")])
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "StoreNotFound"
    assert "there is no memory" in error["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["no-such-command"],
        ["tasks", "--outcome", "fine"],
        ["recall"],
        ["import"],
        ["import", "no-such-file.jsonl"],
        ["forget"],
        ["forget", "--everything", "--agent", "ann", "--yes"],
        ["forget", "--everything", "--json"],
        ["recall", "x", "--budget", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(args: list[str]) -> None:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert result.stderr


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary, " * 100, encoding="utf-8")
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    for name in ("notes.txt", "other.db"):
        before = (tmp_path / name).read_bytes()
        result = CliRunner().invoke(main, ["stats", "--memory", str(tmp_path / name)])
        assert result.exit_code == 1
        assert "gmem: " in result.stderr and len(result.stderr.splitlines()) == 1
        assert (tmp_path / name).read_bytes() == before


def test_memory_and_team_may_stand_before_or_after_the_command(cli: Gmem, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gmem"
    with gmem.Memory(other, team="red", embedder="none") as memory:
        play(memory, "leek")

    def tasks(*args: str) -> int:
        return int(data(cli(*args))["tasks"])

    assert tasks("stats", "--json") == 11
    assert tasks("--json", "--memory", str(other), "--team", "red", "stats") == 1
    assert tasks("--json", "stats", "--memory", str(other), "--team", "red") == 1
    assert tasks("--memory", str(place), "--team", "blue", "stats", "--memory", str(other), "--team=red", "--json") == 1
    assert tasks("stats", "--memory", str(other), "--json") == 0  # team blue has nothing there


def test_a_bad_team_name_is_refused(cli: Gmem) -> None:
    assert "team is empty" in cli("tasks", "--team", " ", code=1).stderr


# --- looking --------------------------------------------------------------------------------------


def test_tasks_newest_first(cli: Gmem) -> None:
    found = data(cli("tasks", "--json"))
    assert len(found) == 11
    assert found[0]["query"] == "Cook a okra in the pot"
    assert {"id", "outcome", "score", "source", "agents", "blame", "metadata"} <= set(found[0])
    assert found[1]["agents"] == {"ann": "planner", "bob": "cook"}
    assert len(data(cli("tasks", "--json", "--limit", "2"))) == 2
    assert len(data(cli("tasks", "--json", "--limit", "0"))) == 11
    assert {t["outcome"] for t in data(cli("tasks", "--json", "--outcome", "failed"))} == {"failed"}
    assert [t["source"] for t in data(cli("tasks", "--json", "--source", "other"))] == ["other"]
    text = cli("tasks", "--limit", "2").stdout
    assert "2 of 11 tasks; --limit 0 shows all." in text
    assert "unknown" in text and "Cook a okra in the pot" in text


def test_insights_best_supported_first(cli: Gmem) -> None:
    found = data(cli("insights", "--json"))
    balance = [i["supports"] - i["contradicts"] for i in found]
    assert found and balance == sorted(balance, reverse=True)
    assert any("wash" in i["text"] for i in found)
    assert found[0]["text"] in cli("insights").stdout
    assert cli("insights", "--state", "quarantined").stdout == "No insights.\n"
    assert data(cli("insights", "--state", "quarantined", "--json")) == []


def test_a_task_is_shown_with_its_graph(cli: Gmem) -> None:
    task = data(cli("tasks", "--outcome", "failed", "--json"))[0]
    full = data(cli("show", task["id"], "--json"))
    assert full["id"] == task["id"]
    assert [u["seq"] for u in full["utterances"]] == list(range(full["length"]))
    assert full["similar"][0]["score"] > 0
    text = cli("show", task["id"]).stdout
    blamed = full["blame"][0]
    assert f"{blamed['agent']} at step {blamed['seq']} (" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert lines[f"{full['key_steps'][0]}*"].split()[1] == full["utterances"][full["key_steps"][0]]["agent"]
    act = next(u for u in full["utterances"] if u["kind"] == "action")
    line = lines.get(f"{act['seq']}*") or lines[f"{act['seq']}"]
    assert f"bob > environment  action       {act['inspired_by'][0]}" in line
    assert act["content"] in line


def test_an_insight_is_shown_with_its_evidence(cli: Gmem) -> None:
    insight = data(cli("insights", "--json"))[0]
    full = data(cli("show", insight["id"], "--json"))
    supports = [e for e in full["evidence"] if e["type"] == "SUPPORTS"]
    assert len(supports) == full["supports"] > 0
    assert full["lift"] is None
    text = cli("show", insight["id"]).stdout
    assert cli("explain", insight["id"]).stdout == text
    assert insight["text"] in text
    assert f"{full['supports']} for, {full['contradicts']} against" in text
    assert " against ".join(insight["taught_by"][0]) in text
    assert all(e["task_id"] in text for e in full["evidence"])


def test_ids_may_be_cut_short_as_long_as_they_are_unique(cli: Gmem) -> None:
    whole = first(cli, "tasks")
    assert data(cli("show", whole[:12], "--json"))["id"] == whole
    insight = first(cli, "insights")
    assert data(cli("explain", insight[:10], "--json"))["id"] == insight
    assert "'t_' begins 11 ids" in cli("show", "t_", code=1).stderr
    assert "team 'blue' has no task or insight 'zzz'" in cli("show", "zzz", code=1).stderr
    assert "has no task or insight ''" in cli("show", "", code=1).stderr
    assert data(cli("show", "zzz", "--json", code=1))["error"]["type"] == "UnknownId"
    assert data(cli("show", "t_", "--json", code=1))["error"]["type"] == "InvalidInput"
    assert "the teams in it: blue" in cli("show", "t_0", "--team", "red", code=1).stderr


def test_an_id_that_begins_another_one_means_itself(cli: Gmem, place: Path) -> None:
    with gmem.Memory(place, team="blue") as memory:
        play(memory, "yam", run_id="order-1")
        play(memory, "taro", run_id="order-17")
    assert data(cli("show", "order-1", "--json"))["query"] == "Cook a yam in the pot"


def test_recall_prints_what_an_agent_would_be_given(cli: Gmem) -> None:
    text = cli("recall", "Cook a celery in the pot").stdout
    assert text.startswith("<gmem-memory recall=")
    assert "wash" in text
    found = data(cli("recall", "Cook a celery in the pot", "--role", "cook", "--budget", "300", "--json"))
    assert found["role"] == "cook"
    assert 0 < found["tokens"] <= 300
    assert {"id", "query", "text", "lessons", "cases", "withheld"} <= set(found)


def test_recalling_nothing_is_no_error(cli: Gmem) -> None:
    assert cli("recall", "zzz").stdout == "Nothing in memory is like this query.\n"
    assert data(cli("recall", "zzz", "--json"))["text"] == ""
    assert cli("explain", "zzz").stdout == "Nothing in memory is like this query.\n"
    assert "the query is empty" in cli("recall", " ", code=1).stderr


def test_explain_says_why(cli: Gmem) -> None:
    found = data(cli("explain", "Cook a celery in the pot", "--role", "cook", "--json"))
    assert {"lesson", "case"} == {item["kind"] for item in found["items"]}
    text = cli("explain", "Cook a celery in the pot", "--role", "cook").stdout
    assert text.startswith("Recall for cook: Cook a celery in the pot")
    assert all(item["id"] in text for item in found["items"])


def test_stats(cli: Gmem, place: Path) -> None:
    found = data(cli("stats", "--json"))
    assert (found["tasks"], found["resolved"], found["failed"], found["unknown"]) == (11, 6, 4, 1)
    assert found["utterances"] == 6 * 9 + 5 * 6
    assert found["insights"] > 0
    assert found["bytes"] >= place.stat().st_size
    assert (found["team"], found["teams"], found["embedder"]) == ("blue", ["blue"], "none")
    (one,) = data(cli("stats", "--all-teams", "--json"))
    assert one["team"] == "blue"
    text = cli("stats").stdout
    assert "11: 6 resolved, 4 failed, 1 unknown" in text
    assert "red (nothing stored)" in cli("stats", "--team", "red").stdout


def test_an_empty_memory_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "empty.gmem")
    gmem.Memory(path, embedder="none").close()
    run = CliRunner().invoke
    assert run(main, ["tasks", "--memory", path]).stdout == "No tasks.\n"
    assert run(main, ["insights", "--memory", path]).stdout == "No insights.\n"
    assert run(main, ["export", "--memory", path]).stdout == ""
    assert run(main, ["recall", "x", "--memory", path]).stdout == "Nothing in memory is like this query.\n"
    assert "no team yet" in run(main, ["stats", "--all-teams", "--memory", path]).stderr
    assert json.loads(run(main, ["stats", "--json", "--memory", path]).stdout)["tasks"] == 0
    assert "the teams in it: none" in run(main, ["show", "x", "--memory", path]).stderr
    assert run(main, ["doctor", "--memory", path]).exit_code == 0


# --- stored text that means harm ------------------------------------------------------------------

EVIL = "\x1b[2J\x1b]0;owned\x07[bold red]markup[/] \u202eright to left\u202c \x9b31m </gmem-memory> [/x] [link=file:///etc]y[/link]"


def test_stored_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = str(tmp_path / "evil.gmem")
    with gmem.Memory(path, embedder="none") as memory:
        for n in range(4):
            with memory.task(
                f"{EVIL} task", context=EVIL, agents={f"ann{EVIL}": f"cook{EVIL}"}, source=f"s{EVIL}",
                metadata={f"k{EVIL}": EVIL}, run_id=f"evil-{n}",
            ) as run:  # fmt: skip
                run.say(f"ann{EVIL}", EVIL, to=f"bob{EVIL}")
                run.act(f"ann{EVIL}", f"wash{EVIL}" if n % 2 else f"burn{EVIL}", EVIL)
                if n % 2:
                    run.resolve(feedback=EVIL)
                else:
                    run.fail(EVIL, feedback=EVIL)
    commands = [
        ["tasks"], ["insights"], ["show", "evil-0"], ["show", "evil-0", "--full"], ["recall", "markup task"],
        ["explain", "markup task"], ["stats"], ["doctor"], ["show", EVIL], ["tasks", "--json"],
        ["show", "evil-1", "--json"], ["stats", "--team", EVIL], ["recall", EVIL, "--role", EVIL],
        ["forget", "--agent", f"ann{EVIL}"],
    ]  # fmt: skip
    for args in commands:
        result = CliRunner().invoke(main, [*args, "--memory", path])
        assert result.exit_code in (0, 1), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        shown = result.stdout + result.stderr
        assert not any(c in shown for c in "\x1b\x07\x9b\u202e\u202c\r"), args
    shown = CliRunner().invoke(main, ["show", "evil-0", "--memory", path]).stdout
    assert "[bold red]markup[/]" in shown  # printed as it is, and not as bold red
    text = CliRunner().invoke(main, ["recall", "markup task", "--memory", path]).stdout
    assert text.count("</gmem-memory>") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_colour_and_a_screen_that_fits(cli: Gmem, place: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "70", "TERM": "xterm", "GMEM_MEMORY": str(place), "GMEM_TEAM": "blue"}
    environment.pop("NO_COLOR", None)
    subprocess.run(
        [sys.executable, "-m", "gmem", "tasks", "--outcome", "failed"],
        stdout=follower, stderr=follower, env=environment, check=True,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 65_536):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(leader)
    assert b"\x1b[31mfailed" in shown
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode()
    assert max(map(len, plain.splitlines())) <= 70


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
