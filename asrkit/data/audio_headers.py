"""Whether an audio file is as long as its own header says.

Half-copied files can still be opened: libsndfile takes what is there for the whole. So the length
in the header is read here, format by format, and compared with the size of the file. Headers that
were written before the length was known, as to a pipe, have no valid length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

SLACK = 64
"""Some writers count their own header as data; this many missing bytes don't matter."""
EMPTY_WAV = 44
"""Bytes of the shortest WAV header."""
OGG_TAIL = 65536
"""Maximum size of an Ogg page in bytes."""
WAVE64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
WAVE64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")

Order = Literal["little", "big"]


def shortfall(path: Path) -> str:
    """Returns what is missing from a file according to its header; nothing if it is complete.

    Formats without a length in their header, and unknown ones, count as complete. FLAC is not
    checked: libsndfile notices when it reads the end.

    Raises:
        OSError: If the file can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        file.seek(0)
        if start.startswith(b"OggS"):
            return _unfinished_ogg(file, size)
        end = _promised_end(file, start, size)
    if end is None or end - size <= SLACK:
        return ""
    return f"its header promises {end} bytes, the file has {size}"


def with_its_length(path: Path) -> BytesIO | None:
    """Returns a WAV file with length 0 in its header, with its actual length filled in.

    None if it has no samples, or is something else.
    """
    content = bytearray(path.read_bytes()) if path.stat().st_size > EMPTY_WAV else bytearray()
    at = content.find(b"data", 12, 4096) + 8
    if content[:4] != b"RIFF" or at < 8 or any(content[at - 4 : at]) or len(content) == at:
        return None
    content[at - 4 : at] = min(len(content) - at, 0xFFFFFFFF).to_bytes(4, "little")
    return BytesIO(bytes(content))


def _promised_end(file: BinaryIO, start: bytes, size: int) -> int | None:
    """Returns where the samples should end; None if the header does not say."""
    kind = start[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _riff_end(file, size)
    if start == WAVE64_RIFF:
        return _wave64_end(file, size)
    if kind == b"FORM":
        return next(
            (
                at + n
                for name, at, n in _chunks(file, 12, "big", size)
                if name in (b"SSND", b"BODY")
            ),
            None,
        )
    if kind == b"caff":
        return _caf_end(file, size)
    if kind in (b".snd", b"dns."):
        order: Order = "big" if kind == b".snd" else "little"
        offset, length = (int.from_bytes(start[at : at + 4], order) for at in (4, 8))
        return None if _is_open(length) else offset + length
    if start.startswith(b"NIST_1A"):
        return _sphere_end(file)
    return _mp3_end(file) if kind[:3] == b"ID3" or kind[:1] == b"\xff" else None


def _is_open(length: int) -> bool:
    """Returns whether a 32-bit length means 'until the end', as written to pipes.

    ffmpeg writes all ones, others 0; SoX and arecord round 2 GB down to whole blocks.
    """
    return length == 0 or 0x7FFF0000 <= length <= 0x80000000 or length >= 0xFFFF0000


def _chunks(
    file: BinaryIO, at: int, order: Order, size: int, wide: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, place and length of the chunks of RIFF and AIFF; open ones are left out.

    Args:
        file: Open for reading.
        at: Where the first chunk begins.
        order: "little" or "big".
        size: Of the file.
        wide: In RF64, the length to use for the data chunk instead of its own.
    """
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        name = head[:4]
        length = int.from_bytes(head[4:], order)
        if name == b"data" and wide is not None and length == 0xFFFFFFFF:
            length = wide
        elif _is_open(length) and name in (b"data", b"SSND", b"BODY"):
            return
        yield name, at + 8, length
        at += 8 + length + length % 2


def _riff_end(file: BinaryIO, size: int) -> int | None:
    kind = file.read(4)
    wide = None
    if kind in (b"RF64", b"BW64"):
        file.seek(12)
        head = file.read(24)  # "ds64", its length, then the sizes of the file and of the data
        wide = int.from_bytes(head[16:24], "little") if head[:4] == b"ds64" else None
        if wide in (0, 2**64 - 1):
            return None
    order: Order = "big" if kind == b"RIFX" else "little"
    chunks = _chunks(file, 12, order, size, wide)
    return next((at + length for name, at, length in chunks if name == b"data"), None)


def _wave64_end(file: BinaryIO, size: int) -> int | None:
    at = 40
    while at + 24 <= size:
        file.seek(at)
        head = file.read(24)
        length = int.from_bytes(head[16:], "little")  # including its own 24 bytes
        if head[:16] == WAVE64_DATA:
            return None if length <= 24 or length >= 2**63 - 1 else at + length
        if length < 24:
            return None
        at += length + -length % 8
    return None


def _caf_end(file: BinaryIO, size: int) -> int | None:
    at = 8
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data":
            return None if length <= 0 else at + 12 + length
        if length < 0:
            return None
        at += 12 + length
    return None


def _sphere_end(file: BinaryIO) -> int | None:
    """Returns where the samples of NIST SPHERE end; unknown for compressed ones."""
    lines = file.read(16384).split(b"end_head")[0].decode("latin-1").split("\n")
    fields = {m[1]: m[2] for line in lines if (m := re.match(r"(\w+) -\w+ (\S+)", line))}
    numbers = ("sample_count", "channel_count", "sample_n_bytes")
    if "," in fields.get("sample_coding", "") or len(lines) < 2:
        return None
    values = [fields.get(name, "1" if name != "sample_count" else "") for name in numbers]
    if not all(value.isdecimal() for value in [lines[1].strip(" "), *values]):
        return None
    count, channels, width = map(int, values)
    return int(lines[1]) + count * channels * width if count else None


def _unfinished_ogg(file: BinaryIO, size: int) -> str:
    """Returns what is missing from the last page of an Ogg file."""
    file.seek(max(size - 2 * OGG_TAIL, 0))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    header = tail[at : at + 27]
    if at < 0 or len(header) < 27:
        return "its last page is cut off"
    sizes = tail[at + 27 : at + 27 + header[26]]
    if len(sizes) < header[26] or at + 27 + header[26] + sum(sizes) > len(tail):
        return "its last page is cut off"
    return "" if header[5] & 4 else "its last page is not marked as the end of the stream"


def _mp3_end(file: BinaryIO) -> int | None:
    """Returns where an MP3 file ends according to its Xing or Info header, if it has one."""
    start = file.read(10)
    at = 0
    if start[:3] == b"ID3":
        at = 10 + sum(
            (byte & 127) << shift for byte, shift in zip(start[6:], (21, 14, 7, 0), strict=False)
        )
    file.seek(at)
    frame = file.read(200)
    mark = next((m for m in (b"Xing", b"Info") if 0 < frame.find(m) <= 40), None)
    if mark is None:
        return None
    place = frame.find(mark)
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    if not flags & 2:
        return None
    begin = place + 8 + (4 if flags & 1 else 0)
    length = int.from_bytes(frame[begin : begin + 4], "big")
    return at + length if length else None
