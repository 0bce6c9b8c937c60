"""Reads lines, plain or compressed; writes files completely or not at all.

A file is first written under another name in the same folder and then renamed. Whatever stops a
process or a machine in between, a path has its old content or its new one, never half of it.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import json
import logging
import lzma
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

from asrkit.errors import UserError
from asrkit.owners import Process, is_gone, this_process

BYTE_ORDER_MARK = "\ufeff"
REPLACEMENT = "\ufffd"
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Errors of disks, quotas and limits that are full."""
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}

log = logging.getLogger(__name__)


def read_lines(path: Path, errors: str = "strict") -> Iterator[str]:
    """Yields the lines of a text file without their ends; it may be compressed (.gz, .xz).

    Every file of lines is read in this way. Lines end as in editors: at LF or CR LF, or at CR in a
    file without LF; other separators of Unicode (form feed, U+0085, U+2028) are characters of the
    text. A byte order mark at the beginning of a line, left there by an editor or by concatenating
    files, is dropped.

    Args:
        path: The file.
        errors: How to treat bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        UserError: If it is missing or not UTF-8 text; names the line.
    """
    if not path.is_file():
        raise UserError(f"there is no text file {path}")
    number = damaged = 0
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            for line in _raw_lines(file):
                number += 1
                text: str = line.decode("utf-8", errors)
                damaged += REPLACEMENT in text and REPLACEMENT.encode() not in line
                yield text.removeprefix(BYTE_ORDER_MARK)
        if damaged:
            log.warning("%s: %d lines have bytes that are not UTF-8, read as U+FFFD", path, damaged)
    except UnicodeDecodeError as error:
        utf16 = number <= 1 and error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = "it looks like UTF-16" if utf16 else str(error)
        where = f"{path}:{max(number, 1)}"
        raise UserError(
            f"{where}: can't be read as UTF-8 text: {hint}; save it as UTF-8"
        ) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: can't be read: {error}") from error


def _raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yields the lines of a file as bytes, without their ends."""
    first = next(file, b"")
    if first and not first.endswith(b"\n"):  # a single line, unless lines end as on old Macs
        yield from first.removesuffix(b"\r").split(b"\r")
        return
    if first:
        yield _without_end(first)
    yield from map(_without_end, file)


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def matching(folder: Path, pattern: str) -> list[Path]:
    """Returns the paths below a folder that match a pattern, sorted, without hidden ones.

    Names that begin with a dot are not data: macOS adds `._NAME` to every NAME on foreign disks.

    Args:
        folder: Where to look; may be missing.
        pattern: As `Path.glob` takes it, such as `*/*.flac` or `**/*`.
    """
    return sorted(p for p in folder.glob(pattern) if not is_hidden(p.relative_to(folder)))


def is_hidden(path: Path) -> bool:
    """Returns whether a part of a relative path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives a path with the same ending to write to, which is renamed to `path` at the end.

    The folder is made if needed. If writing fails, the new file is removed and `path` is as before.
    Its name is hidden and unique to this process; files left by killed processes are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{escape(path.stem)}.partial-*{escape(path.suffix)}"):
        if (writer := _writer_of(left)) is not None and is_gone(writer):
            left.unlink(missing_ok=True)
    name = f".{path.stem}.partial-{this_process().name}-{secrets.token_hex(3)}{path.suffix}"
    partial = path.with_name(name)
    try:
        yield partial
        # Some libraries (safetensors) write files that their owner alone can read.
        partial.chmod(0o666 & ~_mask())
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            error.filename = str(path)  # writing to an open file does not say it
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, wholly or not at all."""
    with replaced(target) as partial:
        shutil.copyfile(source, partial)


@cache
def _mask() -> int:
    """Returns the rights that new files of this process do not give."""
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _writer_of(partial: Path) -> Process | None:
    """Returns the process on this machine that was writing a file; None if on another one."""
    name = partial.name.rpartition(".partial-")[2].removesuffix(partial.suffix)
    number, _, rest = name.partition("-")
    me = this_process()
    born, _, _ = rest.partition("-")
    writer = Process(me.host, me.place, int(number) if number.isdecimal() else 0, born)
    return writer if name.startswith(writer.name + "-") else None


def write_text(path: Path, text: str) -> None:
    """Writes a file of UTF-8 text, completely or not at all."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a file of UTF-8 lines, given without their ends, completely or not at all."""
    with replaced(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def json_line(value: Any) -> str:
    """Returns a value as a line of JSON in UTF-8, with other scripts readable."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return json.dumps(value)
    return text


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
