"""RASR's caches: for every segment, an allophone and a state of each frame, or its features.

A cache begins with `SP_ARC1` and a byte that says whether a table of its entries is at the end; the
last eight bytes tell where. An entry is its size, its compressed size (0: as it is), a checksum,
and the content: a name, a flag, `ALIGNRLE`, the number of frames, and these, run by run: a positive
byte n, and n numbers; a negative one -n, and one number that n frames have; or 0, and the time that
follows. A number is the line of the allophone, and from bit 26 on the state.

Source: rwth-i6/i6_core, lib/rasr_cache.py.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asrkit.data.kaldi_archive import Integers
from asrkit.errors import UserError

MAGIC = b"SP_ARC1\0"
STATE_BIT = 26
"""Where the state begins in a number."""
FEATURES = b"vector-f32"
Content = TypeVar("Content")
_BEGIN, _END = 0xAA55AA55, 0x55AA55AA
_TYPES = (b"ALIGNRLE", b"AALPHRLE")
_WEIGHTED = 1 << 31
_ATTRIBUTES = ".attribs"
"""End of the names of entries that are about others."""


def is_cache(path: Path) -> bool:
    """Returns whether a file begins as RASR's caches do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_cache(path: Path) -> Iterator[tuple[str, Integers]]:
    """Yields the names of segments and the numbers of their frames.

    Raises:
        UserError: If the file is damaged, or has weighted alignments; names the segment.
    """
    yield from _contents(path, "alignments", _alignment)


def read_features(path: Path) -> Iterator[tuple[str, TimedFrames]]:
    """Yields the names of segments and their features.

    Raises:
        UserError: If the file is damaged, or has something else; names the segment.
    """
    yield from _contents(path, "features", _features)


@dataclass(frozen=True)
class TimedFrames:
    """The features of a segment.

    Args:
        frames: (T, F).
        shift: Seconds between frames; 0 if there are fewer than two.
    """

    frames: NDArray[np.float32]
    shift: float


def _contents(
    path: Path, kind: str, parse: Callable[[_Bytes], Content]
) -> Iterator[tuple[str, Content]]:
    """Yields the names of entries, and what they hold."""
    name = ""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as all_:
            data = _Bytes(all_)
            for name, position in _entries(data):
                if not name.endswith(_ATTRIBUTES):
                    yield name, parse(_content(data, position))
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        after = f" at {name}" if name else ""
        raise UserError(f"{path} is not a cache of {kind}{after}: {error}") from error


@dataclass
class _Bytes:
    """Bytes that are read one after the other."""

    data: bytes | mmap.mmap
    at: int = 0

    def take(self, form: str) -> int:
        """Returns the next number of a form of `struct`."""
        (found,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return int(found)

    def text(self, size: int) -> bytes:
        """Returns the next bytes."""
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise ValueError("it ends too early")
        self.at += size
        return found


def _entries(data: _Bytes) -> Iterator[tuple[str, int]]:
    """Yields names and positions of entries."""
    if data.text(len(MAGIC)) != MAGIC:
        raise ValueError("it does not begin with SP_ARC1")
    if not data.take("b"):
        yield from _scanned(data)
        return
    data.at = len(data.data) - 8
    data.at = data.take("Q")
    found = []
    for _ in range(data.take("I")):
        name = data.text(data.take("I")).decode()
        found.append((name, data.take("Q")))
        data.at += 8  # sizes, which the entry repeats
    yield from found


def _scanned(data: _Bytes) -> Iterator[tuple[str, int]]:
    """Yields the entries of a cache without a table, from the first to the last."""
    at = data.at
    while at < len(data.data):
        data.at = at
        if data.take("I") != _BEGIN:
            raise ValueError(f"no entry begins at byte {at}")
        name = data.text(data.take("I")).decode()
        position = data.at
        size, packed = data.take("I"), data.take("I")
        data.at += 4 + (packed or size)
        if data.take("I") != _END:
            raise ValueError("it ends too early")
        at = data.at
        yield name, position


def _content(data: _Bytes, position: int) -> _Bytes:
    data.at = position
    size, packed = data.take("I"), data.take("I")
    data.at += 4  # the checksum
    if packed:
        return _Bytes(zlib.decompress(data.text(packed), 15 + 32))
    return _Bytes(data.text(size))


def _alignment(data: _Bytes) -> Integers:
    """Returns the numbers of the frames (T,)."""
    kind = data.text(data.take("I"))
    data.at += 4
    if kind != b"flow-alignment" or data.text(8) not in _TYPES:
        raise ValueError(f"expected an alignment, got {kind!r}")
    size = data.take("I")
    if size >= _WEIGHTED:
        raise ValueError("weighted alignments are not read: write the best path alone")
    found: list[int] = []
    while len(found) < size:
        run = data.take("b")
        if run > 0:
            found += [data.take("I") for _ in range(run)]
        elif run < 0:
            found += [data.take("I")] * -run
        elif (time := data.take("I")) != len(found):
            raise ValueError(f"frame {time} follows after {len(found)} frames")
    return np.array(found, np.uint32).astype(np.int32)


def _features(data: _Bytes) -> TimedFrames:
    kind = data.text(data.take("I"))
    if kind != FEATURES:
        raise ValueError(f"expected {FEATURES.decode()}, got {kind!r}")
    count, dim = data.take("I"), 0
    if count:
        (dim,) = struct.unpack_from("<I", data.data, data.at)
    row = np.dtype([("dim", "<u4"), ("values", "<f4", (dim,)), ("begin", "<f8"), ("end", "<f8")])
    # A copy, since the file is closed before it is used.
    rows = np.frombuffer(data.text(count * row.itemsize), row).copy()
    if (rows["dim"] != dim).any():
        raise ValueError(f"its frames have {dim} features, or {rows['dim'][rows['dim'] != dim][0]}")
    begins = rows["begin"]
    shift = float(begins[-1] - begins[0]) / (count - 1) if count > 1 else 0.0
    return TimedFrames(rows["values"].astype(np.float32), shift)
