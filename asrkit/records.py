"""Reads JSON files into checked types, so that a damaged file is one message and no traceback.

A kind of file is described once, by a `TypedDict` or a dataclass; what is read has its keys and
types, or a `UserError` names file, line, key, what is there and what was expected. Keys that the
type does not name are kept in a `TypedDict` and dropped in a dataclass: newer versions write more.

    class Summary(TypedDict):
        utterances: Count
        rtf: Amount
        note: NotRequired[str]

    read_json(folder / "summary.json", Summary)["rtf"]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from asrkit.config.key_paths import join
from asrkit.errors import UserError
from asrkit.typed_values import Amount, Count, WrongError, check_of

__all__ = ["Amount", "Count", "parse_json", "read_json", "read_json_lines"]

T = TypeVar("T")

MAX_DOCUMENT = 1 << 26
"""Bytes of a file that is one JSON value."""
MAX_LINE = 1 << 24
"""Bytes of a line, where each line is a JSON value."""
REMEDY = "the file is damaged: delete it and make it again"


def read_json(path: Path, kind: type[T], remedy: str = REMEDY) -> T:
    """Returns what a JSON file holds.

    Args:
        path: The file.
        kind: What it must hold: a `TypedDict`, a dataclass, or such as `list[float]`.
        remedy: What messages say that is to be done.

    Raises:
        UserError: If it is missing, can't be read, or holds something else.
    """
    raw = b"".join(_pieces(path, MAX_DOCUMENT, lines=False))
    return _parsed(raw, kind, str(path), 1, remedy)


def read_json_lines(path: Path, kind: type[T], remedy: str = REMEDY) -> Iterator[T]:
    """Yields what each line of a file holds; empty lines are skipped.

    Args:
        path: The file.
        kind: What each line must hold.
        remedy: What messages say that is to be done.

    Raises:
        UserError: If it is missing, can't be read, or a line holds something else.
    """
    for number, raw in enumerate(_pieces(path, MAX_LINE, lines=True), start=1):
        if raw.strip():
            yield _parsed(raw, kind, str(path), number, remedy)


def parse_json(raw: bytes | str, kind: type[T], where: str) -> T:
    """Returns what a JSON text holds.

    Args:
        raw: The text.
        kind: What it must hold.
        where: What messages name.

    Raises:
        UserError: If it holds something else.
    """
    return _checked(_value(raw, where, REMEDY), kind, where, REMEDY)


def _pieces(path: Path, limit: int, lines: bool) -> Iterator[bytes]:
    """Yields the lines of a file, or all of it, as long as they are no longer than `limit`."""
    try:
        with path.open("rb") as file:
            number = 1
            while raw := file.readline(limit + 1) if lines else file.read(limit + 1):
                if len(raw) > limit:
                    raise UserError(f"{path}:{number}: more than {limit >> 20} MB; is it the file?")
                yield raw
                number += 1
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error


def _parsed(raw: bytes, kind: type[T], path: str, line: int, remedy: str) -> T:
    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += raw[: error.start].count(b"\n")
        raise UserError(f"{path}:{line}: no UTF-8 text ({error.reason}); {remedy}") from error
    return _checked(_value(text, f"{path}:{line}", remedy), kind, f"{path}:{line}", remedy)


def _value(text: str | bytes, where: str, remedy: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        path, _, line = where.rpartition(":")
        if path and line.isdecimal():
            where = f"{path}:{int(line) + error.lineno - 1}"
        raise UserError(f"{where}: no JSON: {error.msg} ({error.colno}); {remedy}") from error
    except (ValueError, RecursionError) as error:  # thousands of digits or brackets
        said = "too deep" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{where}: no JSON that can be read: {said}; {remedy}") from error


def _checked(value: Any, kind: type[T], where: str, remedy: str) -> T:
    try:
        found: T = check_of(kind)(value)
        return found
    except WrongError as wrong:
        key = ""
        for step in reversed(wrong.steps):
            key = join(key, step)
        place = f"{where}: {key}" if key else where
        raise UserError(f"{place}: {wrong}; {remedy}") from None
