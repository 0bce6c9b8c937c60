"""CTM files of NIST, recognised words with their times, and TRN files, texts without times.

AlGore_2009 1 14.990 0.215 and
and i can't (AlGore_2009-1-00014990-00016920)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.stm import COMMENT, Segment
from asrkit.errors import UserError
from asrkit.escapes import escaped
from asrkit.files import read_lines, write_lines
from asrkit.run_files import BelievedLine


@dataclass(frozen=True)
class CtmWord:
    """One line of a CTM file.

    Args:
        recording: Name of the recording.
        channel: Its channel.
        start: In seconds.
        duration: In seconds.
        word: The word.
        confidence: How certain the recogniser is, from 0 to 1.
    """

    recording: str
    channel: str
    start: float
    duration: float
    word: str
    confidence: float | None = None


def spread(segment: Segment, text: str) -> list[CtmWord]:
    """Returns the words of a segment at even distances, as its search knows no times.

    Scoring asks only in which segment a word's middle is.

    Raises:
        UserError: If the segment has words, but no duration.
    """
    words = text.split()
    if words and segment.end <= segment.start:
        raise UserError(f"segment {segment.id} has no duration, but the hypothesis {text!r}")
    duration = (segment.end - segment.start) / max(len(words), 1)
    return [
        CtmWord(segment.recording, segment.channel, segment.start + i * duration, duration, word)
        for i, word in enumerate(words)
    ]


def placed(segment: Segment, text: str, known: BelievedLine | None) -> list[CtmWord]:
    """Returns the words of a segment with their times and confidences, or at even distances.

    Args:
        segment: Where they were said.
        text: The words.
        known: What `asrkit words` has found of them, if it was asked.

    Raises:
        UserError: If the segment has words, but no duration.
    """
    if known is None or [word.word for word in known.words] != text.split():
        return spread(segment, text)
    last = max(segment.end - segment.start, 0.0)
    return [
        CtmWord(
            segment.recording,
            segment.channel,
            segment.start + min(word.begin, last),
            min(word.duration, max(last - word.begin, 0.0)),
            word.word,
            word.confidence,
        )
        for word in known.words
    ]


def read_ctm(path: Path) -> Iterator[CtmWord]:
    """Yields the words of a CTM file in its order.

    Raises:
        UserError: If the file is missing, or a line has no word with times; names file and line.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: expected a CTM file")
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith(COMMENT):
            continue
        word = _parse(line.split())
        if word is None:
            raise UserError(
                f"{path}:{number}: expected `recording channel start duration word [confidence]`, "
                f"got {line!r}"
            )
        yield word


def _parse(fields: list[str]) -> CtmWord | None:
    if not 5 <= len(fields) <= 6:
        return None
    try:
        numbers = [float(field) for field in (*fields[2:4], *fields[5:])]
    except ValueError:
        return None
    if not all(0.0 <= number < math.inf for number in numbers):
        return None
    return CtmWord(fields[0], fields[1], numbers[0], numbers[1], fields[4], *numbers[2:])


def write_ctm(path: Path, words: Iterable[CtmWord]) -> None:
    """Writes a CTM file; times are rounded to milliseconds."""
    write_lines(path, (_format(word) for word in words))


def _format(word: CtmWord) -> str:
    fields = [word.recording, word.channel, f"{word.start:.3f}", f"{word.duration:.3f}", word.word]
    return " ".join(fields if word.confidence is None else [*fields, f"{word.confidence:.4f}"])


def write_trn(path: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Writes the names and texts of utterances as `text (name)`."""
    write_lines(path, (f"{text} ({escaped(name)})".lstrip() for name, text in texts))
