"""JSON files are read into types; what is damaged is one message with file, line and key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from asrkit import records
from asrkit.errors import UserError
from asrkit.records import Amount, Count, parse_json, read_json, read_json_lines


class Part(TypedDict):
    words: Count
    rate: Amount
    kind: NotRequired[Literal["a", "b"]]


@dataclass(frozen=True)
class Whole:
    name: str
    parts: list[Part]
    scores: dict[str, float]
    span: tuple[int, float] | None = None
    anything: Any = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the name is empty")


RIGHT = '{"name": "n", "parts": [{"words": 1, "rate": 2}], "scores": {"x": -1e-3}, "span": [1, 2]}'


def test_what_is_right_gets_its_types() -> None:
    whole = parse_json(RIGHT, Whole, "x")
    assert whole == Whole("n", [{"words": 1, "rate": 2.0}], {"x": -1e-3}, (1, 2.0))


def test_keys_of_newer_versions_do_no_harm() -> None:
    assert parse_json('{"words": 1, "rate": 2, "new": 3}', Part, "x") == {
        "words": 1,
        "rate": 2.0,
        "new": 3,
    }
    assert parse_json('{"name": "n", "parts": [], "scores": {}, "new": 3}', Whole, "x").name == "n"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (RIGHT, "[]", r"^x is damaged: expected a mapping with name, parts.*, got a list of 0"),
        (RIGHT, "5", "^x is damaged: expected a mapping .*got 5"),
        (RIGHT, "", "^x is damaged: not JSON"),
        (RIGHT, RIGHT[:-20], "^x is damaged: not JSON"),
        (RIGHT, "[" * 100_000, "^x is damaged: not readable as JSON: too deep"),
        ("1e-3", "9" * 5000, "^x is damaged: not readable as JSON"),
        ('"name": "n", ', "", "^x is damaged: the key 'name' is missing"),
        ('"n"', '""', "^x is damaged: the name is empty"),
        ('"n"', "null", "^x is damaged: name: expected a text, got null"),
        (
            '"words": 1',
            '"words": -1',
            r"parts\[0\].words: expected at least 0, got -1",
        ),
        (
            '"words": 1',
            '"words": 1.0',
            r"parts\[0\].words: expected a whole number, got 1.0",
        ),
        ('"words": 1', '"words": true', "expected a whole number, got true"),
        ('"words": 1', f'"words": 1{"0" * 30}', "expected a whole number, got 10000"),
        (
            '"rate": 2',
            '"rate": NaN',
            r"parts\[0\].rate: expected a finite number, got NaN",
        ),
        ('"rate": 2', f'"rate": 1{"0" * 400}', "expected a number"),
        ('"rate": 2', '"rate": 2, "kind": "c"', r"parts\[0\].kind: expected one of 'a', 'b'"),
        ("-1e-3", '"x"', '^x is damaged: scores.x: expected a number, got "x"'),
        ("[1, 2]", "[1]", "^x is damaged: span: expected a list of 2, got a list of 1"),
        ("[1, 2]", "[1, null]", r"^x is damaged: span\[1\]: expected a number, got null"),
    ],
)
def test_what_is_wrong_is_named(right: str, wrong: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_json(RIGHT.replace(right, wrong), Whole, "x")


@pytest.mark.parametrize("wrong", ["[]", "5", "null", '"x"'])
def test_something_else_than_a_mapping_is_named(wrong: str) -> None:
    with pytest.raises(UserError, match="^x is damaged: expected a mapping with words, rate, kind"):
        parse_json(wrong, Part, "x")


def test_lines_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\ufeff{"words": 1, "rate": 2}\n\n{"words": 1, "rate": 2}\n{"words": 1')
    found = read_json_lines(path, Part)
    assert [next(found)["words"], next(found)["words"]] == [1, 1]
    with pytest.raises(UserError, match=r"x.jsonl:4 is damaged: not JSON.*create it again"):
        next(found)
    found = read_json_lines(path, Part, cut_off=True)
    assert len(list(found)) == 2
    path.write_bytes(b'{"words": 1, "rate": 2}\n{"words": "\xff"}\n')
    with pytest.raises(UserError, match=r"x.jsonl:2 is damaged: not UTF-8 text"):
        list(read_json_lines(path, Part))
    path.write_text('{"words": 1,\n"rate": 2\n')
    with pytest.raises(UserError, match=r"x.jsonl:3 is damaged: not JSON"):
        read_json(path, Part)


def test_files_that_can_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "none", tmp_path / "link"):
        with pytest.raises(UserError, match="is missing"):
            read_json(place, Part)
    with pytest.raises(UserError, match="can't be read: Is a directory"):
        list(read_json_lines(tmp_path, Part))
    monkeypatch.setattr(records, "MAX_LINE", 1 << 20)
    (tmp_path / "zeros").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(UserError, match=r"zeros:1: more than 1 MB"):
        list(read_json_lines(tmp_path / "zeros", Part))
