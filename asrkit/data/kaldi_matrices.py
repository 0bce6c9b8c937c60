r"""Matrices in Kaldi's archives, such as `feats.ark`: binary, compressed or text.

In binary form a matrix is `\0B`, a word for its kind, its size and its numbers. `FM` and `DM` are
floats of four and eight bytes; `CM`, `CM2` and `CM3` are compressed, in one or two bytes each. In
text it is `[`, a line of numbers for each row, and `]`. A list (`feats.scp`) says where the matrix
of each utterance begins: `KEY feats.1.ark:1234`, perhaps with a range of rows and columns, whose
ends are counted in: `[0:99]`, `[0:99,0:12]`.

Source: kaldi-asr/kaldi, src/matrix/kaldi-matrix.cc and src/matrix/compressed-matrix.cc.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from asrkit.data.audio import AudioError
from asrkit.data.lookups import costs_one_utterance

Matrix = NDArray[np.float32]
FLOATS: dict[bytes, np.dtype[Any]] = {b"FM": np.dtype("<f4"), b"DM": np.dtype("<f8")}
EXPECTED = "expected a matrix as Kaldi's `copy-feats` writes it"
OVERHANG = 2
"""Rows that a range may go beyond the end: Kaldi rounds times of segments."""
_HEADER = struct.Struct("<ffii")
_SIZE = struct.Struct("<bibi")
_PLACE = re.compile(r"(?P<path>.*?)(?::(?P<offset>\d+))?(?P<range>\[[\d:,]*\])?")
_RANGE = re.compile(r"\[(?:(\d+):(\d+)|:)(?:,(?:(\d+):(\d+)|:))?\]")
_GZIP = b"\x1f\x8b"
_LARGEST = 1 << 31


def split_place(place: str) -> tuple[str, int, str]:
    """Returns path, offset and range of what a list says of a matrix; 0 and "" without these."""
    found = _PLACE.fullmatch(place)
    assert found is not None  # any path fits
    return found["path"], int(found["offset"] or 0), found["range"] or ""


@costs_one_utterance
def read_matrix_at(path: Path, offset: int = 0, part: str = "") -> Matrix:
    """Returns a matrix (T, F) of an archive.

    Args:
        path: The archive; uncompressed unless the matrix is at its beginning.
        offset: The byte where it begins, after the key.
        part: Range of rows and columns; all where empty.

    Raises:
        AudioError: If there is none; says where.
    """
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    try:
        with _opened(path) as file:
            file.seek(offset)
            found = read_matrix(file)
        return _part(found, part) if part else found
    except (ValueError, EOFError, struct.error, zlib.error, gzip.BadGzipFile) as error:
        raise AudioError(f"{path}, byte {offset}: {error}; {EXPECTED}") from error


def read_matrices(path: Path) -> Iterator[tuple[str, Matrix]]:
    """Yields the keys and matrices (T, F) of an archive, one after the other.

    Raises:
        AudioError: If it is damaged; names the key.
    """
    if not path.is_file():
        raise AudioError(f"there is no archive {path}")
    key = ""
    try:
        with _opened(path) as file:
            while word := _word(file):
                key = word.decode()
                yield key, read_matrix(file)
    except (ValueError, EOFError, struct.error, zlib.error, gzip.BadGzipFile) as error:
        where = f"at or after utterance {key!r}" if key else "at its beginning"
        raise AudioError(f"{path}, {where}: {error}; {EXPECTED}") from error


def read_matrix(file: BinaryIO) -> Matrix:
    """Returns the matrix (T, F) that begins here.

    Raises:
        ValueError: If it is none.
    """
    first = file.read(2)
    if first != b"\0B":
        return _of_text(first, file)
    kind = _word(file)
    if kind in FLOATS:
        four, rows, again, columns = _SIZE.unpack(_bytes(file, _SIZE.size))
        if (four, again) != (4, 4):
            raise ValueError("its size is damaged")
        return _numbers(file, rows, columns, FLOATS[kind]).astype(np.float32)
    if kind not in (b"CM", b"CM2", b"CM3"):
        raise ValueError(f"its kind is {kind!r}")
    least, extent, rows, columns = _HEADER.unpack(_bytes(file, _HEADER.size))
    if kind == b"CM":
        return _by_quantiles(file, rows, columns, np.float32(least), np.float32(extent))
    levels = np.dtype("<u2" if kind == b"CM2" else "u1")
    step = np.float32(extent) * np.float32(1 / np.iinfo(levels).max)
    return np.float32(least) + _numbers(file, rows, columns, levels).astype(np.float32) * step


def _by_quantiles(
    file: BinaryIO, rows: int, columns: int, least: np.float32, extent: np.float32
) -> Matrix:
    """Returns a matrix (T, F) in bytes, which are linear between four quantiles of a column."""
    step = extent * np.float32(1 / 65535)
    marks = least + _numbers(file, columns, 4, np.dtype("<u2")).astype(np.float32) * step
    levels = _numbers(file, columns, rows, np.dtype("u1"))
    table = np.empty((columns, 256), np.float32)
    for number, (begin, end) in enumerate(((0, 64), (64, 192), (192, 255))):
        low, high = marks[:, number, None], marks[:, number + 1, None]
        share = np.arange(end - begin + 1, dtype=np.float32) * np.float32(1 / (end - begin))
        # A mark itself belongs to the lower part.
        table[:, begin + bool(begin) : end + 1] = (low + (high - low) * share)[:, bool(begin) :]
    return np.take_along_axis(table, levels.astype(np.intp), axis=1).T.copy()


def _numbers(file: BinaryIO, rows: int, columns: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Returns the next numbers (rows, columns)."""
    if min(rows, columns) < 0 or rows * columns * kind.itemsize > _LARGEST:
        raise ValueError(f"its size is damaged: {rows} x {columns}")
    content = _bytes(file, rows * columns * kind.itemsize)
    return np.frombuffer(content, kind).reshape(rows, columns)


def _of_text(first: bytes, file: BinaryIO) -> Matrix:
    """Returns a matrix of text, of which two characters have been read."""
    begin = first
    while begin.isspace() and (more := file.read(1)):
        begin += more
    begin = begin.lstrip()
    if not begin.startswith(b"["):
        raise ValueError(f"it begins with {begin[:2]!r}")
    rows = [begin[1:]]
    while b"]" not in rows[-1]:
        rows.append(file.readline())
        if not rows[-1]:
            raise ValueError("it ends too early")
    rows[-1] = rows[-1].partition(b"]")[0]
    numbers = [[float(word) for word in row.split()] for row in rows if row.strip()]
    if len({len(row) for row in numbers}) > 1:
        raise ValueError("its rows have different lengths")
    return np.array(numbers, np.float32).reshape(len(numbers), -1 if numbers else 0)


def _part(matrix: Matrix, part: str) -> Matrix:
    """Returns rows and columns of a range."""
    found = _RANGE.fullmatch(part)
    if found is None:
        raise ValueError(f"the range is {part}, expected [FIRST:LAST] or [FIRST:LAST,FIRST:LAST]")
    top, bottom, left, right = (None if word is None else int(word) for word in found.groups())
    rows, columns = matrix.shape
    if (bottom or 0) >= rows + OVERHANG or (right or 0) >= columns:
        raise ValueError(f"the range is {part}, and there are {rows} rows and {columns} columns")
    return matrix[
        top : None if bottom is None else bottom + 1, left : None if right is None else right + 1
    ]


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


def _word(file: BinaryIO) -> bytes:
    """Returns the next word, without the white space around it; empty at the end of the file."""
    word = b""
    while (character := file.read(1)) and (not word or not character.isspace()):
        word += character.strip()
    return word


def _bytes(file: BinaryIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise ValueError("it ends too early")
    return found
