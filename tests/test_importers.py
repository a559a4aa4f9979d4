"""Importers: what lands, as what, what is refused and why; and that doing it again changes nothing."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from traces import DATA, RAW, SMALL, TRACES, exported, imported, refusal, with_data, write

import gmem
from gmem.errors import InvalidInput
from gmem.ids import digest
from gmem.importers import import_files
from gmem.model import Suspect

LANDED = {
    "gmemory_alfworld": (66, 12, 0),
    "gmemory_fever": (37, 26, 0),
    "gmemory_pddl": (1, 37, 0),
    "masft_ag2": (2266, 250, 0),
    "masft_ag2_annotated": (4, 11, 0),
    "masft_hyperagent": (0, 0, 75),
    "masft_metagpt": (0, 0, 20),
    "masft_small": (3, 2, 5),
    "whowhen": (0, 118, 0),
}


# --- the whole collection -----------------------------------------------------------------------


@with_data
@pytest.mark.slow
def test_all_real_traces_land(memory: gmem.Memory) -> None:
    report = import_files(memory, TRACES)
    assert report.refused == []
    assert {
        Path(f.path).name.partition(".")[0]: tuple(f.added[k] for k in ("resolved", "failed", "unknown"))
        for f in report.files
    } == LANDED
    left_out: Counter[str] = Counter()
    for f in report.files:
        left_out.update(f.left_out)
    assert left_out["empty messages"] == 97
    stats = memory.stats()
    assert (stats.tasks, stats.unlearned) == (2933, 100)
    assert stats.utterances == sum(f.utterances for f in report.files) == 31_052 - 97
    assert stats.bytes / stats.tasks < 12_000


@with_data
def test_importing_again_changes_nothing(memory: gmem.Memory) -> None:
    files = [TRACES[2], TRACES[6], RAW]
    first = import_files(memory, files)
    stats, before = memory.stats(), exported(memory)
    insights = memory.insights()
    second = import_files(memory, files)
    assert (first.added, first.present) == (176, 0)
    assert (second.added, second.present, second.refused) == (0, 176, [])
    assert (memory.stats(), exported(memory), memory.insights()) == (stats, before, insights)


@with_data
def test_an_import_that_was_killed_is_completed_by_a_second(tmp_path: Path) -> None:
    source, target = TRACES[2], tmp_path / "killed.gmem"
    program = (
        "import sys; from gmem import Memory; from gmem.importers import import_files\n"
        "with Memory(sys.argv[1], embedder='none') as memory:\n"
        "    import_files(memory, sys.argv[2:], lambda done, total, seen: print(seen, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(target), str(source)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 10:
                process.kill()
                break
        process.wait()
    with gmem.Memory(target, embedder="none") as memory:
        kept = memory.stats().tasks
        assert 10 <= kept < 38
        report = import_files(memory, [source])
        assert (report.added, report.present, report.refused) == (38 - kept, kept, [])
        completed, stats = exported(memory), memory.stats()
        assert memory.store.check() == []
    with gmem.Memory(tmp_path / "whole.gmem", embedder="none") as memory:
        import_files(memory, [source])
        assert exported(memory) == completed
        assert (memory.stats().insights, memory.stats().similar) == (stats.insights, stats.similar)


# --- gmem JSONL ---------------------------------------------------------------------------------


@with_data
def test_steps_become_actions_and_observations_with_their_rewards(words: gmem.Memory) -> None:
    import_files(words, [TRACES[0]])
    task = words.tasks()[-1]
    assert task.query == "look at bowl under the desklamp."
    said = words.interaction(task.id).utterances
    assert [(u.kind, u.agent, u.reward) for u in said[:6]] == [
        ("thought", "solver", -1),
        ("observation", "env", None),
        ("thought", "solver", -1),
        ("observation", "env", None),
        ("action", "solver", 0),
        ("observation", "env", None),
    ]
    assert said[4].content == "go to shelf 1"
    assert said[5].inspired_by == (4,)
    assert task.context.startswith("You are in the middle of a room.")
    assert task.source == "import:gmemory-log/alfworld/autogen/qwen2.5-14b-instruct"
    assert task.agents["solver"] == "solver"
    assert (task.started, said[0].time) == (1744666537.0, 1744666545.0)
    assert task.metadata["group"] == "look_at_obj"


@with_data
def test_real_roles_stay_and_empty_messages_are_passed_through(words: gmem.Memory) -> None:
    import_files(words, [DATA / "traces" / "masft_metagpt.jsonl.gz"])
    task = next(t for t in words.tasks() if t.query == "develop a program to convert text files to PDF")
    said = words.interaction(task.id).utterances
    assert task.agents == {"Alice": "SimpleCoder", "Bob": "SimpleTester"}  # all that Charlie said is empty
    assert [(u.agent, u.inspired_by) for u in said] == [("Alice", ()), ("Bob", (0,)), ("Bob", (1,))]


def test_references_pass_through_empty_messages(words: gmem.Memory, tmp_path: Path) -> None:
    messages = [
        {"agent": "a", "content": "first", "upstream": []},
        {"agent": "b", "content": "second", "upstream": None},
        {"agent": "c", "content": " \n", "upstream": [0, 1]},
        {"agent": "d", "content": "", "upstream": [2]},
        {"agent": "e", "content": "on both", "upstream": [3]},
        {"agent": "f", "content": "on nothing", "upstream": []},
        {"agent": "g", "content": "on the one before"},
    ]
    _, said = imported(words, tmp_path / "t.jsonl", messages=messages)
    assert [(u.agent, u.inspired_by) for u in said] == [
        ("a", ()),
        ("b", (0,)),
        ("e", (0, 1)),
        ("f", ()),
        ("g", (3,)),
    ]


def test_prompts_are_facts_and_not_roles(words: gmem.Memory, tmp_path: Path) -> None:
    prompts = {"ann": "You check refunds.", "bob": "You are careful. " * 500}
    (task, _), report = (
        imported(words, tmp_path / "t.jsonl", agents=prompts, ground_truth=17, level=None),
        import_files(words, [write(tmp_path / "u.jsonl", {**SMALL, "id": "two", "agents": prompts})]),
    )
    assert task.agents == {"ann": "ann", "bob": "bob"}
    assert task.metadata == {"ground_truth": "17", "prompt of ann": "You check refunds."}
    assert report.files[0].left_out == {"facts longer than 2,000 characters": 1}


def test_chat_roles_are_no_roles_and_kinds_are_read(words: gmem.Memory, tmp_path: Path) -> None:
    messages = [
        {"agent": "ann", "role": "user", "content": "x"},
        {"agent": "ann", "role": "thought", "content": "x"},
        {"agent": "env", "role": "observation", "content": "x"},
        {"agent": "bob", "role": "Reviewer", "content": "x"},
        {"agent": "bob", "kind": "handoff", "to": "ann", "content": "x", "reward": 0.5},
    ]
    _, said = imported(words, tmp_path / "t.jsonl", messages=messages)
    assert [(u.kind, u.role, u.to, u.reward) for u in said] == [
        ("message", "", (), None),
        ("thought", "", (), None),
        ("observation", "", (), None),
        ("message", "Reviewer", (), None),
        ("handoff", "Reviewer", ("ann",), 0.5),
    ]


def test_steps_alone_are_enough(words: gmem.Memory, tmp_path: Path) -> None:
    steps = [{"action": "look", "observation": "a room", "reward": 1}, {"action": "go", "observation": "", "reward": 0}]
    _, said = imported(words, tmp_path / "t.jsonl", messages=None, steps=steps)
    assert [(u.agent, u.kind, u.content, u.reward) for u in said] == [
        ("agent", "action", "look", 1),
        ("environment", "observation", "a room", None),
        ("agent", "action", "go", 0),
    ]


def test_steps_that_match_no_message_are_counted(words: gmem.Memory, tmp_path: Path) -> None:
    report = import_files(
        words, [write(tmp_path / "t.jsonl", {**SMALL, "steps": [{"action": "?", "observation": "!"}]})]
    )
    assert report.files[0].left_out == {"steps that are not among the messages": 1}


@pytest.mark.parametrize(
    ("given", "stored"),
    [("success", "resolved"), ("FAILED", "failed"), (True, "resolved"), (None, "unknown"), ("unknown", "unknown")],
)
def test_outcomes(words: gmem.Memory, tmp_path: Path, given: object, stored: str) -> None:
    assert imported(words, tmp_path / "t.jsonl", outcome=given)[0].outcome == stored


@pytest.mark.parametrize("name", ["score", "reward"])
def test_a_figure_is_the_score(words: gmem.Memory, tmp_path: Path, name: str) -> None:
    assert imported(words, tmp_path / "t.jsonl", **{name: 0.25})[0].score == 0.25


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2025-04-14 21:35:45", 1744666545.0),
        ("2025-04-14T21:35:45.5Z", 1744666545.5),
        ("2025-04-14T23:35:45.123456789+02:00", 1744666545.123456),
        (1744666545, 1744666545.0),
    ],
)
def test_times(words: gmem.Memory, tmp_path: Path, given: object, stored: float) -> None:
    task, said = imported(words, tmp_path / "t.jsonl", messages=[{"agent": "a", "content": "x", "ts": given}])
    assert said[0].time == task.started == task.ended == stored


def test_without_times_none_are_made_up(words: gmem.Memory, tmp_path: Path) -> None:
    task, said = imported(words, tmp_path / "t.jsonl", messages=[{"agent": "a", "content": "x", "ts": "noon"}])
    assert (task.started, task.ended, task.cost.seconds, said[0].time) == (0, 0, 0, 0)


def test_a_persons_blame_is_kept(words: gmem.Memory, tmp_path: Path) -> None:
    task, _ = imported(
        words, tmp_path / "t.jsonl", outcome="failure", feedback="He did not look.", mistake_agent="bob", mistake_step=1
    )
    assert task.blame == (Suspect("bob", 1, "He did not look.", 1.0),)
    assert (task.reason, task.feedback) == ("He did not look.", "")


def test_a_description_that_says_the_same_is_no_context(words: gmem.Memory, tmp_path: Path) -> None:
    assert imported(words, tmp_path / "t.jsonl", description=" Refund order 17")[0].context == ""


def test_tasks_without_id_are_named_by_their_content(words: gmem.Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {k: v for k, v in SMALL.items() if k != "id"})
    assert import_files(words, [path]).added == 1
    assert import_files(words, [path]).present == 1


def test_another_source_makes_another_task(words: gmem.Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", SMALL)
    import_files(words, [path])
    assert import_files(words, [path], source="night shift").added == 1
    assert [t.source for t in words.tasks()] == ["import:night shift", "import:desk"]


# --- what is refused ------------------------------------------------------------------------------


def message(**changes: Any) -> list[dict[str, Any]]:
    return [{"agent": "a", "content": "x", **changes}]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": message(content="a\0b")}, "NUL character at position 1"),
    ({"messages": message(content="a\ud800b")}, "half a surrogate pair at position 1"),
    ({"messages": message(content="x" * 262_145)}, "262,145 bytes long; at most 262,144"),
    ({"task": ""}, "the query is empty"),
    ({"task": 7}, "task must be text, not int"),
    ({"task": "x" * 65_537}, "at most 65,536"),
    ({"messages": message(reward=float("nan"))}, "reward must be a finite number"),
    ({"messages": message(reward="high")}, "reward must be a number"),
    ({"messages": message(reward=True)}, "reward must be a number"),
    ({"score": "good"}, "score must be a number"),
    ({"messages": message(upstream=[0])}, "message 0 builds on 0, which is not the number of an earlier message"),
    ({"messages": message(upstream=[-1])}, "builds on -1"),
    ({"messages": message(upstream=3)}, "it must be null or a list of numbers"),
    ({"messages": message(kind="song")}, "is of kind 'song'"),
    ({"messages": message(agent="")}, "agent is empty"),
    ({"messages": message(agent=None)}, "agent must be a str"),
    ({"messages": [{"content": "x"}]}, "message 0 has no `agent`"),
    ({"messages": message(to=7)}, "addressed to 7"),
    ({"messages": message(to=[7])}, "to must be a str"),
    ({"messages": "x"}, "messages must be a list of objects"),
    ({"messages": message() * 10_001}, "at most 10,000 utterances"),
    ({"outcome": "fine"}, "outcome must be success, failure or null, not 'fine'"),
    ({"outcome": 1}, "outcome must be success, failure or null, not 1"),
    ({"agents": ["ann"]}, "agents must be an object, not a list"),
    ({"trust": 2}, "trust must lie between 0 and 1"),
    ({"started": 2, "ended": -1, "gmem": 1}, "before it started"),
    ({"gmem": 99}, "written in trace format 99"),
    ({"gmem": 1, "id": "a b"}, "run_id must be 1 to 128 letters"),
    ({"outcome": "failure", "blame": [{"agent": "a", "step": 9}]}, "blame names step 9"),
    ({"cost": {"tokens": "many"}}, "tokens must be a number"),
    ({"metadata": {"x": 1}}, "metadata['x'] must be a str"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=[f"{n}: {reason[:30]}" for n, (_, reason) in enumerate(BAD)])
def test_a_bad_task_is_refused_by_name_and_the_rest_goes_on(
    words: gmem.Memory, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(words, tmp_path / "t.jsonl", **changes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"task": "x", "messages": [', "not JSON"),
        (b'{"task": "\xff\xfe", "messages": []}', "not UTF-8"),
        ("[1, 2]", "must hold a JSON object, not a list"),
        ("[" * 100_000, "nested too deeply"),
        ('{"messages": []}', "has no `task`"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(
    words: gmem.Memory, tmp_path: Path, line: str | bytes, reason: str
) -> None:
    path = write(tmp_path / "t.jsonl", SMALL, "", line, {**SMALL, "id": "two"})
    report = import_files(words, [path])
    (refused,) = report.refused
    assert (report.added, refused.where) == (2, f"{path}:3")
    assert reason in refused.reason


def test_another_task_of_the_same_id_is_refused(words: gmem.Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", SMALL, {**SMALL, "task": "Refund order 18"})
    report = import_files(words, [path])
    assert (report.added, len(report.refused)) == (1, 1)
    assert "is there already with another content" in report.refused[0].reason


def test_what_was_forgotten_does_not_come_back(words: gmem.Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", SMALL)
    import_files(words, [path])
    words.forget(everything=True)
    report = import_files(words, [path])
    assert report.added == 0
    assert "was forgotten" in report.refused[0].reason


def test_a_file_that_breaks_off_gives_what_stands_before(words: gmem.Memory, tmp_path: Path) -> None:
    lines = [json.dumps({**SMALL, "id": str(i), "note": digest(str(i))}) for i in range(400)]
    whole = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    report = import_files(words, [path])
    assert 0 < report.added < 400
    assert re.search(r"breaks off|not JSON", report.refused[-1].reason)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08garbage", b"{}", b"[]", b'{"a": 1}\n', bytes(600)])
def test_a_file_of_no_known_format_is_refused(words: gmem.Memory, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    report = import_files(words, [path])
    assert report.added == 0
    assert [r.where for r in report.refused] == [str(path)]


def test_missing_files_and_formats_are_said_before_anything_is_done(words: gmem.Memory, tmp_path: Path) -> None:
    good = write(tmp_path / "t.jsonl", SMALL)
    with pytest.raises(InvalidInput, match="there is no file"):
        import_files(words, [good, tmp_path / "none.jsonl"])
    with pytest.raises(InvalidInput, match="no importer is called 'csv'"):
        import_files(words, [good], format="csv")
    assert words.tasks() == []
