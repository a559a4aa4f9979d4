"""Importers of other formats, and of folders and archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from traces import DATA, RAW, SMALL, only, with_data, write

import gmem
from gmem.importers import Refused, Trace, ag2, detect, import_files, jsonl, whowhen
from gmem.model import Suspect

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
