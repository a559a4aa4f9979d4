"""Reading the answers of chat models, by itself."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from gmem import answers

# --- reading answers, by themselves ----------------------------------------------------------------------


class Pair(BaseModel):
    """Two numbers."""

    a: int
    b: int


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1, "b": 2}', (1, 2)),
        ('{"a": 1} {"a": 1, "b": 2} {"b": 3}', (1, 2)),
        ('{"a": 1, "b": 2} then {"a": 3, "b": 4}', (3, 4)),
        ('the form {"a": 0, "b": 0}, so {"a": 10, "b": 20, "c": "longer"} as in {"a": 0, "b": 0}', (10, 20)),
        ('"quoted {" {"a": 5, "b": 6}', (5, 6)),
        ('[{"a": 5, "b": 6}', (5, 6)),
        ('<thinking>{"a": 0, "b": 0}</thinking>{"a": 7, "b": 8}', (7, 8)),
        ('\ufeff {"a": 1, "b": 2}\0', (1, 2)),
    ],
)
def test_the_longest_value_of_the_form_is_the_answer(text: str, found: tuple[int, int]) -> None:
    pair = answers.read(text, Pair)
    assert (pair.a, pair.b) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("<think> and so on", "empty"),
        ('{"a": 1}', "b: Field required"),
        ('{"a": NaN, "b": 1}', "a: Input should be a finite number"),
        ('{"a": 1' + "0" * 5_000 + ', "b": 1}', "broken JSON: ValueError"),
        ("{" * 70_000, "broken JSON"),
        ("x" * 70_000 + '{"a": 1, "b": 2}', "no JSON object"),
        ("[1, 2]", "no JSON object"),
    ],
)
def test_what_is_no_answer_is_said_without_quoting_it(text: str, problem: str) -> None:
    with pytest.raises(answers.Unreadable, match=problem) as caught:
        answers.read(text, Pair)
    assert len(str(caught.value)) < 400
