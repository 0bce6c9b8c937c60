"""Reads JSON files into checked types: a damaged file gives one message and no traceback.

A kind of file is described once, by a `TypedDict` or a dataclass. The result has its keys and
types, or a `UserError` names file, line, key, what was found and what was expected. Unknown keys
are kept in a `TypedDict` and dropped in a dataclass: newer versions may write more.

    class Summary(TypedDict):
        utterances: Count
        rtf: Amount
        note: NotRequired[str]

    read_json(folder / "summary.json", Summary)["rtf"]
"""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from asrkit.errors import UserError
from asrkit.typed_values import Amount, AnyFloat, Count, WrongError, check_of

__all__ = ["Amount", "AnyFloat", "Count", "parse_json", "read_json", "read_json_lines"]

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_DOCUMENT = 1 << 26
"""Maximum size in bytes of a file with one JSON value."""
MAX_LINE = 1 << 24
"""Maximum size in bytes of a line with one JSON value."""
REMEDY = "delete it and create it again"


def read_json(path: Path, kind: type[T], remedy: str = REMEDY) -> T:
    """Returns the content of a JSON file.

    Args:
        path: The file.
        kind: Its expected type: a `TypedDict`, a dataclass, or a type such as `list[float]`.
        remedy: What messages tell users to do.

    Raises:
        UserError: If it is missing, can't be read, or has other content.
    """
    raw = b"".join(_pieces(path, MAX_DOCUMENT, lines=False))
    return _parsed(raw, kind, str(path), 1, remedy)


def read_json_lines(
    path: Path, kind: type[T], remedy: str = REMEDY, cut_off: bool = False
) -> Iterator[T]:
    """Yields the content of each line of a file of JSON lines; empty lines are skipped.

    Args:
        path: The file.
        kind: Expected type of each line.
        remedy: What messages tell users to do.
        cut_off: Whether an incomplete last line may be left out, with a warning: the process that
            wrote it was killed.

    Raises:
        UserError: If it is missing, can't be read, or a line has other content.
    """
    for number, raw in enumerate(_pieces(path, MAX_LINE, lines=True), start=1):
        if not raw.strip():
            continue
        try:
            yield _parsed(raw, kind, str(path), number, remedy)
        except UserError as error:
            begun = raw.lstrip().startswith(b"{") and not raw.endswith(b"\n")
            if not cut_off or not begun:
                raise
            log.warning("%s:%d was cut off and is left out: %s", path, number, error)


def parse_json(raw: bytes | str, kind: type[T], where: str) -> T:
    """Returns the content of a JSON text.

    Args:
        raw: The text.
        kind: Its expected type.
        where: What messages call it.

    Raises:
        UserError: If it has other content.
    """
    return _checked(_value(raw, where, 0, REMEDY), kind, where, REMEDY)


def _pieces(path: Path, limit: int, lines: bool) -> Iterator[bytes]:
    """Yields the lines of a file, or all of it, if they are not longer than `limit`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            number = 1
            while raw := file.readline(limit + 1) if lines else file.read(limit + 1):
                if len(raw) > limit:
                    raise UserError(
                        f"{path}:{number}: more than {limit >> 20} MB; is this the right file?"
                    )
                yield raw
                number += 1
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, EOFError, zlib.error) as error:  # errors of gzip have no strerror
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} can't be read: {reason}") from error


def _parsed(raw: bytes, kind: type[T], path: str, line: int, remedy: str) -> T:
    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += raw[: error.start].count(b"\n")
        raise _damaged(f"{path}:{line}", f"not UTF-8 text ({error.reason})", remedy) from error
    where = f"{path}:{line}"
    return _checked(_value(text, path, line, remedy), kind, where, remedy)


def _value(text: str | bytes, path: str, line: int, remedy: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{line + error.lineno - 1}" if line else path
        raise _damaged(where, f"not JSON: {error.msg} (column {error.colno})", remedy) from error
    except (ValueError, RecursionError) as error:  # thousands of digits or brackets
        said = "too deep" if isinstance(error, RecursionError) else str(error)
        where = f"{path}:{line}" if line else path
        raise _damaged(where, f"not readable as JSON: {said}", remedy) from error


def _checked(value: Any, kind: type[T], where: str, remedy: str) -> T:
    try:
        found: T = check_of(kind)(value)
        return found
    except WrongError as wrong:
        raise _damaged(where, wrong.told(), remedy) from None


def _damaged(where: str, what: str, remedy: str) -> UserError:
    return UserError(f"{where} is damaged: {what}; {remedy}")
