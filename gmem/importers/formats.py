"""Telling what a file holds by looking into it."""

from __future__ import annotations

from pathlib import Path

from gmem.errors import InvalidInput
from gmem.importers import ag2, jsonl, whowhen
from gmem.importers.reading import documents, is_tar, lines, load

__all__ = ["FORMATS", "detect"]

FORMATS = ("jsonl", "whowhen", "ag2")


def detect(path: Path) -> str:
    """Tell which format a file holds, by looking into it.

    Raises:
        InvalidInput: It is none that can be imported, or cannot be opened.
    """
    if not is_tar(path):
        first = next(((n, line) for n, line in lines(path) if isinstance(line, InvalidInput) or line.strip()), None)
        if first is None:
            raise InvalidInput("the file is empty")
        try:
            one = load(first[1])
        except InvalidInput:
            one = None
        if jsonl.looks(one) or (not isinstance(one, list) and _named_jsonl(path) and not ag2.looks(one)):
            return "jsonl"
    found, why = None, ""
    try:
        found = next((load(body) for _, body in documents(path)), None)
    except InvalidInput as error:
        why = f"; it is {error}" if str(error).startswith("not") else f"; {error}"
    for name, looks in (("whowhen", whowhen.looks), ("ag2", ag2.looks)):
        if looks(found):
            return name
    raise InvalidInput(
        "looks like none of the formats that gmem imports: gmem JSONL (one task a line), Who&When JSON "
        f"(question, history, mistake_agent), AG2 or AutoGen chat JSON (messages with role or source){why}"
    )


def _named_jsonl(path: Path) -> bool:
    return path.name.lower().endswith((".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"))
