"""Reads lines, plain or compressed; writes files that are whole or not there.

What is written stands beside its place first and is then renamed onto it. Whatever stops a process
or a machine in between, a path holds its old content or its new one, never half of it.
"""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrkit.errors import UserError

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a text file without their ends; it may be compressed (.gz, .xz).

    Raises:
        UserError: If it is missing or no UTF-8 text; names the line.
    """
    if not path.is_file():
        raise UserError(f"there is no text file {path}")
    number = 0
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            for line in file:
                number += 1
                yield line.decode().strip()
    except (UnicodeDecodeError, OSError, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path}:{number}: can't be read as UTF-8 text: {error}") from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives the path to write to instead, of the same ending, and renames it at the end.

    The folder is made if needed. If writing fails, nothing of it stays and `path` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file of UTF-8 text, wholly or not at all."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a file of UTF-8 lines, given without their ends, wholly or not at all."""
    with replaced(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
