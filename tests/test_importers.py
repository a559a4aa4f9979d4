"""Importers: what lands, as what, what is refused and why; and that doing it again changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gmem
from gmem import export
from gmem.errors import InvalidInput
from gmem.ids import digest
from gmem.importers import Refused, Trace, ag2, detect, import_files, jsonl, whowhen
from gmem.model import Suspect, Task, Utterance

DATA = Path(__file__).parents[2] / "shared" / "data"
TRACES = sorted((DATA / "traces").glob("*.jsonl.gz"))
RAW = DATA / "raw" / "whowhen.tar.gz"
with_data = pytest.mark.skipif(not TRACES, reason="the collection of real traces is not here")

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

SMALL: dict[str, Any] = {
    "id": "one",
    "task": "Refund order 17",
    "source": "desk",
    "outcome": "success",
    "messages": [
        {"agent": "ann", "to": ["bob"], "content": "I refund one payment."},
        {"agent": "bob", "to": ["ann"], "content": "Checked."},
    ],
}


def write(path: Path, *tasks: dict[str, Any] | str | bytes) -> Path:
    """Write tasks, or lines as they are, one a line."""
    with path.open("wb") as out:
        for task in tasks:
            line = json.dumps(task) if isinstance(task, dict) else task
            out.write((line.encode() if isinstance(line, str) else line) + b"\n")
    return path


def exported(memory: gmem.Memory) -> list[dict[str, Any]]:
    return list(export.lines(memory.store, memory.team))


def only(memory: gmem.Memory) -> tuple[Task, tuple[Utterance, ...]]:
    """Give the one task that is there, with its utterances."""
    (task,) = memory.tasks()
    return task, memory.interaction(task.id).utterances


def imported(memory: gmem.Memory, path: Path, **changes: Any) -> tuple[Task, tuple[Utterance, ...]]:
    """Import one changed copy of the small task, and give it as it was stored."""
    report = import_files(memory, [write(path, {**SMALL, **changes})])
    assert [r.reason for r in report.refused] == []
    return only(memory)


def refusal(memory: gmem.Memory, path: Path, **changes: Any) -> str:
    """Give the reason for which a changed copy of the small task is refused, beside a good one that lands."""
    good = {**SMALL, "id": "good"}
    report = import_files(memory, [write(path, {**SMALL, **changes}, good)])
    (refused,) = report.refused
    assert (report.added, refused.where) == (1, f"{path}:1")
    assert len(memory.tasks()) == 1
    return refused.reason


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


# --- Who&When -------------------------------------------------------------------------------------

RUN: dict[str, Any] = {
    "question": "How many awnings?",
    "question_ID": "q-1",
    "ground_truth": "8",
    "is_corrected": False,
    "history": [
        {"role": "human", "content": "How many awnings?"},
        {"role": "Orchestrator (thought)", "content": "Look it up."},
        {"role": "Orchestrator (-> WebSurfer)", "content": "Search."},
        {"role": "WebSurfer", "content": ""},
        {"role": "WebSurfer", "content": "It is 7."},
    ],
    "mistake_agent": "WebSurfer",
    "mistake_step": "4",
    "mistake_reason": "It misread the page.",
}


def test_whowhen_runs_keep_the_judgement_of_people(words: gmem.Memory, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RUN, indent=2), encoding="utf-8")
    report = import_files(words, [path])
    assert (report.files[0].format, report.added, report.files[0].left_out) == ("whowhen", 1, {"empty messages": 1})
    task, said = only(words)
    assert [(u.agent, u.kind, u.to) for u in said] == [
        ("human", "message", ()),
        ("Orchestrator", "thought", ()),
        ("Orchestrator", "message", ("WebSurfer",)),
        ("WebSurfer", "message", ()),
    ]
    assert task.blame == (Suspect("WebSurfer", 3, "It misread the page.", 1.0),)
    assert (task.outcome, task.reason) == ("failed", "It misread the page.")
    assert task.metadata == {"ground_truth": "8"}
    assert task.source == "import:whowhen"


@with_data
def test_the_archive_of_whowhen_gives_the_same_runs_as_its_jsonl(words: gmem.Memory) -> None:
    def shape(found: Trace | Refused) -> Any:
        assert isinstance(found, Trace)
        return (
            found.query, found.outcome, found.reason, found.blame, [(s.agent, s.text, s.upstream) for s in found.said]
        )  # fmt: skip

    raw = {repr(shape(t)) for t in whowhen.parse(RAW)}
    lines = {repr(shape(t)) for t in jsonl.parse(DATA / "traces" / "whowhen.jsonl.gz")}
    assert len(raw) == 118
    assert len(raw & lines) >= 110  # in some, the two editions do not name the same message


def test_a_message_of_nobody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**RUN, "history": [{"content": "x"}]}), encoding="utf-8")
    (refused,) = whowhen.parse(path)
    assert isinstance(refused, Refused)
    assert "who spoke" in refused.reason


# --- AG2 and AutoGen ------------------------------------------------------------------------------

CHAT = [
    {"role": "user", "name": "boss", "content": "What is 6 times 7?"},
    {
        "role": "assistant", "name": "solver", "content": "",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "times", "arguments": '{"a": 6}'}},
            {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
        ],
    },
    {
        "role": "tool", "name": "boss", "content": "42",
        "tool_responses": [
            {"tool_call_id": "c2", "role": "tool", "content": ""},
            {"tool_call_id": "c1", "role": "tool", "content": "42"},
        ],
    },
    {"role": "assistant", "name": "solver", "content": [{"type": "text", "text": "It is 42."}, {"type": "image_url"}]},
]  # fmt: skip

RESULT = {
    "messages": [
        {"source": "user", "models_usage": None, "content": "What is 6 times 7?", "type": "TextMessage",
         "created_at": "2025-04-14T21:35:45Z"},
        {"source": "solver", "type": "ThoughtEvent", "content": "I multiply."},
        {"source": "solver", "type": "ToolCallRequestEvent",
         "models_usage": {"prompt_tokens": 30, "completion_tokens": 12},
         "content": [{"id": "c1", "name": "times", "arguments": "{}"}]},
        {"source": "solver", "type": "ToolCallExecutionEvent",
         "content": [{"call_id": "c1", "name": "times", "content": "42", "is_error": False}]},
        {"source": "solver", "type": "ToolCallSummaryMessage", "content": "42", "tool_calls": [{"name": "times"}]},
        {"source": "solver", "type": "HandoffMessage", "target": "boss", "content": "Over to you."},
        {"source": "user", "type": "UserInputRequestedEvent", "content": ""},
        {"source": "boss", "type": "StructuredMessage", "content": {"answer": 42}},
    ],
    "stop_reason": "Text 'TERMINATE' mentioned",
}  # fmt: skip


def save(path: Path, found: object) -> Path:
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_ag2_chats_keep_tool_calls_and_what_they_answer(words: gmem.Memory, tmp_path: Path) -> None:
    report = import_files(words, [save(tmp_path / "chat.json", CHAT)])
    assert (report.files[0].format, report.files[0].left_out) == ("ag2", {"parts that are not text": 1})
    task, said = only(words)
    assert (task.query, task.outcome, task.source) == ("What is 6 times 7?", "unknown", "import:ag2")
    assert [(u.agent, u.kind, u.content, u.inspired_by) for u in said] == [
        ("boss", "message", "What is 6 times 7?", ()),
        ("solver", "tool_call", 'times({"a": 6})', (0,)),
        ("solver", "tool_call", "clock({})", (0,)),
        ("clock", "tool_result", "(no answer)", (2,)),
        ("times", "tool_result", "42", (1,)),
        ("solver", "message", "It is 42.", (3, 4)),
    ]


def test_agentchat_results_keep_thoughts_handoffs_times_and_tokens(words: gmem.Memory, tmp_path: Path) -> None:
    report = import_files(words, [save(tmp_path / "result.json", RESULT)])
    assert report.files[0].left_out == {"empty messages": 1}
    task, said = only(words)
    assert [(u.agent, u.kind, u.to) for u in said] == [
        ("user", "message", ()),
        ("solver", "thought", ()),
        ("solver", "tool_call", ("times",)),
        ("times", "tool_result", ("solver",)),
        ("solver", "message", ()),
        ("solver", "handoff", ("boss",)),
        ("boss", "message", ()),
    ]
    assert said[6].content == "42"
    assert (task.cost.tokens, task.cost.calls) == (42, 1)
    assert said[0].time == task.started == 1744666545.0
    assert task.metadata == {"stop_reason": "Text 'TERMINATE' mentioned"}


def test_a_file_may_hold_several_chats_with_their_outcomes(words: gmem.Memory, tmp_path: Path) -> None:
    chats = [
        {"chat_id": 1, "chat_history": CHAT, "summary": "It is 42.", "success": True},
        {"task": "Sing", "messages": [{"role": "assistant", "content": "La."}], "outcome": "failure", "score": 0},
    ]
    path = save(tmp_path / "chats.json", chats)
    assert import_files(words, [path]).added == 2
    assert [(t.query, t.outcome, t.score) for t in words.tasks()] == [
        ("Sing", "failed", 0),
        ("What is 6 times 7?", "resolved", None),
    ]
    assert import_files(words, [path]).present == 2


def test_a_chat_without_a_task_is_refused(tmp_path: Path) -> None:
    (refused,) = ag2.parse(save(tmp_path / "chat.json", [{"role": "user", "content": ""}]))
    assert isinstance(refused, Refused)
    assert "nobody says what the task is" in refused.reason


# --- files ----------------------------------------------------------------------------------------


def test_formats_are_told_by_looking(tmp_path: Path) -> None:
    line = json.dumps(SMALL).encode()
    for name, content, format in [
        ("a.jsonl", line, "jsonl"),
        ("b.json", line + b"\n" + line, "jsonl"),
        ("c.dat", gzip.compress(line), "jsonl"),
        ("d.jsonl", b"{broken\n" + line, "jsonl"),
        ("e.json", json.dumps(CHAT).encode(), "ag2"),
        ("f.json", json.dumps(RESULT, indent=1).encode(), "ag2"),
        ("g.json", json.dumps(RUN).encode(), "whowhen"),
        ("h.json.gz", gzip.compress(json.dumps(RUN, indent=1).encode()), "whowhen"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        assert (name, detect(path)) == (name, format)


def test_a_forced_format_is_kept_to(words: gmem.Memory, tmp_path: Path) -> None:
    report = import_files(words, [save(tmp_path / "chat.json", CHAT)], format="whowhen")
    assert (report.files[0].format, report.added) == ("whowhen", 0)
    assert "not a Who&When run" in report.refused[0].reason


def test_folders_and_archives_are_read_in_order_and_never_unpacked(words: gmem.Memory, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    write(folder.parent / "z.jsonl", SMALL)
    (folder / "notes.txt").write_text("not a trace", encoding="utf-8")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for name, found in [("../evil.json", RUN), ("x.json", {**RUN, "question": "Why?"}), ("broken.json", "{")]:
            body = (found if isinstance(found, str) else json.dumps(found)).encode()
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    report = import_files(words, [tmp_path / "in"])
    assert [(Path(f.path).name, f.added.total(), len(f.refused)) for f in report.files] == [
        ("a.tar.gz", 2, 1),
        ("z.jsonl", 1, 0),
    ]
    assert report.refused[0].where.endswith("a.tar.gz:broken.json")
    assert not list(tmp_path.rglob("evil.json"))


def test_progress_reaches_the_end(words: gmem.Memory, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", *({**SMALL, "id": str(i)} for i in range(5)))
    seen: list[tuple[int, int, int]] = []
    import_files(words, [path], lambda *figures: seen.append(figures))
    size = path.stat().st_size
    assert seen[-1] == (size, size, 5)
    assert seen == sorted(seen)


# --- export ---------------------------------------------------------------------------------------


@pytest.fixture
def again(tmp_path: Path) -> Iterator[gmem.Memory]:
    """A second, empty memory."""
    with gmem.Memory(tmp_path / "again.gmem", team="blue", embedder="none") as memory:
        yield memory


def carried(words: gmem.Memory, again: gmem.Memory, path: Path) -> tuple[bytes, bytes]:
    """Export one memory, import it into the other, export that; give both exports."""
    export.export_file(words.store, words.team, path)
    report = import_files(again, [path])
    assert (report.refused, report.added) == ([], len(words.tasks()))
    second = path.with_name("second.jsonl")
    export.export_file(again.store, again.team, second)
    return path.read_bytes(), second.read_bytes()


def test_everything_recorded_survives_export_and_import(words: gmem.Memory, again: gmem.Memory, tmp_path: Path) -> None:
    with words.task("Wash the leek", agents={"ann": "planner", "eve": "idle"}) as run:
        run.say("ann", "Scrub the leek under cold running water for one minute.", to=["bob", "carl"])
        run.resolve(1)
    with words.task(
        "Wash the leek again",
        context="a kitchen",
        agents={"ann": "planner"},
        trust=0.5,
        source="live",
        metadata={"k": "v"},
    ) as run:
        help = run.recall()
        assert help.solved
        first = run.say("ann", "Scrub the leek under cold running water for one minute.")
        run.say("bob", "Who am I?", inspired_by=())
        run.say("bob", "The cook.", role="cook", inspired_by=[first, 1])
        run.act("bob", "scrub leek", "clean", reward=-0.1)
        run.tool("bob", "clock", "now", "")
        run.handoff("bob", "ann")
        run.think("ann", "done")
        run.spent(tokens=17, calls=2)
        run.fail("too slow", score=0.3, feedback="late", blame=("bob", 2, "dawdled"))
    with pytest.raises(RuntimeError, match="out of gas"), words.task("Boil the leek") as run:
        run.say("ann", "Light the stove.")
        raise RuntimeError("out of gas")
    first_export, second_export = carried(words, again, tmp_path / "t.jsonl")
    assert first_export == second_export
    for mine, theirs in zip(words.tasks(), again.tasks(), strict=True):
        assert mine == theirs
        assert words.interaction(mine.id) == again.interaction(theirs.id)
    assert [u.echo for u in again.interaction(words.tasks()[1].id).utterances][:2] == [True, False]


@with_data
def test_real_traces_survive_export_and_import(words: gmem.Memory, again: gmem.Memory, tmp_path: Path) -> None:
    import_files(words, [TRACES[2], RAW])
    first, second = carried(words, again, tmp_path / "t.jsonl.gz")
    assert gzip.decompress(first) == second


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30).filter(
    str.strip
)
figures = st.none() | st.floats(allow_nan=False, allow_infinity=False)
utterances = st.lists(
    st.tuples(texts, texts, st.lists(texts, max_size=2), figures, st.booleans(), st.floats(0, 2e9)), max_size=5
)


@settings(max_examples=40)
@given(
    query=texts, context=texts, said=utterances, score=figures, feedback=texts, metadata=st.dictionaries(texts, texts)
)
def test_any_run_survives_export_and_import(
    query: str, context: str, said: list[Any], score: float | None, feedback: str, metadata: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    with (
        gmem.Memory(folder / "a.gmem", embedder="none") as words,
        gmem.Memory(folder / "b.gmem", embedder="none") as again,
    ):
        with words.task(query, context=context, metadata=metadata) as run:
            for agent, text, to, reward, alone, at in said:
                run.say(agent, text, to=to, reward=reward, time=at, inspired_by=() if alone else None)
            run.fail(score=score, feedback=feedback)
        first, second = carried(words, again, folder / "t.jsonl")
        assert first == second
        assert words.get(run.id) == again.get(run.id)


def test_export_replaces_nothing_unless_told_and_leaves_nothing_behind(words: gmem.Memory, tmp_path: Path) -> None:
    import_files(words, [write(tmp_path / "t.jsonl", SMALL)])
    goal = tmp_path / "out.jsonl.gz"
    assert export.export_file(words.store, "blue", goal) == 1
    before = goal.read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        export.export_file(words.store, "blue", goal)
    time.sleep(0.01)
    export.export_file(words.store, "blue", goal, replace=True)
    assert goal.read_bytes() == before
    with pytest.raises(InvalidInput, match="cannot be written"):
        export.export_file(words.store, "blue", tmp_path / "nowhere" / "out.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir() if "out" in p.name) == ["out.jsonl.gz"]
