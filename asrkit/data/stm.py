"""STM files of NIST: who said what and when, one segment of a recording per line.

    AlGore_2009 1 AlGore_2009 14.99 16.92 <o,f0,male> and i can 't emphasise that enough

The category tag in angle brackets may be missing; lines that start with `;;` are comments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines, write_lines
from asrkit.text.normalization import normalized

IGNORED = "ignore_time_segment_in_scoring"
"""Stands in place of words where nothing is recognised or scored."""
COMMENT = ";;"
TAG = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True)
class Segment:
    """One line of an STM file.

    Args:
        recording: Name of the recording; its file name without folder and suffix.
        channel: Channel of the recording, such as 1 or A.
        speaker: Who speaks.
        start: In seconds.
        end: In seconds.
        text: Words, including any marks between them.
        labels: Categories, such as ("o", "f0", "male").
    """

    recording: str
    channel: str
    speaker: str
    start: float
    end: float
    text: str
    labels: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the utterance: recording, channel, start and end in milliseconds."""
        times = (f"{round(1000 * seconds):08d}" for seconds in (self.start, self.end))
        return "-".join([self.recording, self.channel, *times])

    @property
    def ignored(self) -> bool:
        """Whether the segment is left out of scoring."""
        return IGNORED in self.text.lower()


def read_stm(path: Path) -> Iterator[Segment]:
    """Yields the segments of a file, in order.

    Raises:
        UserError: If the file is missing, or a line is not a segment; names file and line.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: expected an STM file")
    for number, line in enumerate(map(str.strip, read_lines(path)), 1):
        try:
            if line and not line.startswith(COMMENT):
                yield parse_segment(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from error


def parse_segment(line: str) -> Segment:
    """Returns the segment of one line.

    Raises:
        ValueError: If a field is missing, or a time is not valid.
    """
    recording, channel, speaker, start, end, *rest = _fields(line)
    times = seconds_of(start), seconds_of(end)
    if times[1] < times[0]:
        raise ValueError(f"the segment ends at {end} s, before its start at {start} s")
    labels, text = "", rest[0] if rest else ""
    if text.startswith("<"):
        found = TAG.match(text)
        if found is None:
            raise ValueError(f"the category tag {text.split()[0]!r} has no closing '>'")
        labels, text = found[1], text[found.end() :]
    names = tuple(labels.split(",")) if labels else ()
    return Segment(recording, channel, speaker, *times, normalized(text), names)


def _fields(line: str) -> list[str]:
    fields = line.split(maxsplit=5)
    if len(fields) < 5:
        raise ValueError(
            f"expected `recording channel speaker start end <categories> words`, got {line!r}"
        )
    return fields


def seconds_of(field: str, start: str = "recording") -> float:
    """Returns the seconds that a field gives.

    Args:
        field: The text.
        start: From whose start they count, for the message.

    Raises:
        ValueError: If it is not a number, or is negative or infinite.
    """
    try:
        seconds = float(field)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise ValueError(f"expected seconds from the start of the {start}, got {field!r}")
    return seconds


def format_segment(segment: Segment) -> str:
    """Returns the line of a segment; its times are exact."""
    labels = [f"<{','.join(segment.labels)}>"] if segment.labels else []
    fields = [segment.recording, segment.channel, segment.speaker]
    return " ".join([*fields, repr(segment.start), repr(segment.end), *labels, segment.text])


def write_stm(path: Path, segments: Iterable[Segment], comments: Sequence[str] = ()) -> None:
    """Writes segments in the given order, after comments (given without `;;`)."""
    rows = [f"{COMMENT} {comment}".rstrip() for comment in comments]
    rows += [format_segment(segment).rstrip() for segment in segments]
    write_lines(path, rows)
