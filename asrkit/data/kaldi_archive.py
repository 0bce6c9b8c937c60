r"""Kaldi's archives of integers, such as `ali.1.gz` or the output of `ali-to-pdf`.

An archive has a key and a vector for each utterance. In text that is a line: `KEY 3 3 7`. In
binary form, `KEY \0B`, the number of integers, and these; each is four bytes, after `\4`, which
says so. Either may be compressed (gzip).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.errors import UserError
from asrkit.files import replaced

Integers = NDArray[np.int32]
_BINARY = b"\0B\4"
_GZIP = b"\x1f\x8b"
_SIZE = np.dtype("<i4")
_INTEGER = np.dtype([("bytes", "u1"), ("value", "<i4")])


def read_integers(path: Path) -> Iterator[tuple[str, Integers]]:
    """Yields the keys and vectors of an archive.

    Raises:
        UserError: If it is missing or damaged; names the key.
    """
    data = _content(path)
    at, key = 0, ""
    try:
        while at < len(data):
            end = _end_of_key(data, at)
            key = data[at:end].decode()
            if data.startswith(_BINARY, end + 1):
                begin = end + 1 + len(_BINARY) + _SIZE.itemsize
                size = int(np.frombuffer(data, _SIZE, 1, begin - _SIZE.itemsize)[0])
                found = np.frombuffer(data, _INTEGER, size, begin)
                if (found["bytes"] != _SIZE.itemsize).any():
                    raise ValueError("its numbers are not integers of four bytes")
                yield key, found["value"].astype(np.int32)
                at = begin + found.nbytes
            else:
                stop = data.find(b"\n", end)
                if stop < 0:
                    raise ValueError("its last line has no end: was the file cut off?")
                if key:
                    yield key, np.array(_integers(data[end:stop]), np.int32)
                at = stop + 1
    except (ValueError, IndexError, OverflowError) as error:
        after = f" at or after utterance {key!r}" if key else ""
        raise UserError(
            f"{path} is not an archive of integers{after}: {error}; expected what Kaldi's "
            "`ali-to-pdf` writes, or `ali.*.gz`"
        ) from error


def write_integers(path: Path, vectors: Iterable[tuple[str, Integers]], binary: bool) -> None:
    """Writes an archive, wholly or not at all; compressed where the path ends in .gz.

    Raises:
        UserError: If a key has white space.
    """
    pieces = []
    for key, vector in vectors:
        if not key or key.split() != [key]:
            raise UserError(f"utterance {key!r} can't be in an archive of Kaldi: white space")
        if binary:
            size = np.array([len(vector)], _SIZE).tobytes()
            values = np.empty(len(vector), _INTEGER)
            values["bytes"], values["value"] = _SIZE.itemsize, vector
            pieces.append(key.encode() + b" " + _BINARY + size + values.tobytes())
        else:
            pieces.append(" ".join([key, *map(str, vector.tolist())]).encode() + b"\n")
    content = b"".join(pieces)
    with replaced(path) as partial:
        partial.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"there is no archive {path}")
    data = path.read_bytes()
    try:
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} can't be uncompressed: {error}") from error


def _integers(line: bytes) -> list[int]:
    words = line.split()
    for word in words:
        if not word.removeprefix(b"-").isdigit():
            raise ValueError(f"{word.decode(errors='replace')!r} is not an integer")
    return [int(word) for word in words]


def _end_of_key(data: bytes, at: int) -> int:
    """Returns where the key that begins at a place ends."""
    line = data.find(b"\n", at)
    space = data.find(b" ", at)
    ends = [end for end in (line, space) if end >= 0]
    return min(ends, default=len(data))
