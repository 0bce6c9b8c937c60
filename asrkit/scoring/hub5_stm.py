"""STM files of the Hub5 and RT telephone test sets: segments, their categories, their texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.errors import UserError

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
CHANNELS = {"1": "A", "2": "B"}
LABEL = re.compile(r'^;;\s*LABEL\s+"([^"]*)"\s+"([^"]*)"')
SEGMENT = re.compile(r"^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+<([^>]*)>)?(.*)$")


@dataclass(frozen=True)
class Segment:
    """One line of an STM file: who says what, when, on which channel (A or B) of a recording.

    Args:
        labels: Categories that the segment belongs to, such as O, en and F.
    """

    recording: str
    channel: str
    speaker: str
    start: float
    end: float
    labels: tuple[str, ...]
    text: str

    @property
    def id(self) -> str:
        """The name of the utterance in manifests: recording, channel, and times in milliseconds."""
        times = f"{round(self.start * 1000):07d}-{round(self.end * 1000):07d}"
        return f"{self.recording}-{self.channel}-{times}"


@dataclass
class Stm:
    """The segments of a test set that are scored, and the titles of its categories."""

    segments: list[Segment] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)


def read_stm(path: Path) -> Stm:
    """Reads an STM file; segments that it says to ignore are left out.

    Raises:
        UserError: If it is missing, has a damaged line, or no segments.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: scoring by segments needs the STM file")
    stm = Stm()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label = LABEL.match(line)
        if label:
            stm.titles[label[1]] = label[2]
        elif line.strip() and not line.startswith(";;"):
            segment = _segment(path, number, line)
            if segment.text != IGNORED:
                stm.segments.append(segment)
    if not stm.segments:
        raise UserError(f"{path} has no segments to score")
    return stm


def _segment(path: Path, number: int, line: str) -> Segment:
    found = SEGMENT.match(line.strip())
    try:
        if found is None:
            raise ValueError("expected: recording channel speaker start end <labels> words")
        recording, channel, speaker, start, end, labels, text = found.groups()
        channel = CHANNELS.get(channel, channel.upper())
        groups = tuple(label for label in (labels or "").split(",") if label)
        words = " ".join(text.split())
        return Segment(recording, channel, speaker, float(start), float(end), groups, words)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: {line!r} is no segment: {error}") from error


def clean_stm(text: str) -> str:
    """Returns an STM file without what is known to be wrong with the published ones.

    Doubled parentheses become single, marks of asides and gaps between segments are left out, and
    channels are A and B throughout.
    """
    lines = []
    for line in text.splitlines():
        if not line.startswith(";;") and "inter_segment_gap" not in line:
            line = line.replace("((", "(").replace("<B_ASIDE>", "").replace("<E_ASIDE>", "")
            line = re.sub(r"^(\s*\S+\s+)([12])(?=\s)", lambda m: m[1] + CHANNELS[m[2]], line)
        if line.startswith(";;") or "inter_segment_gap" not in line:
            lines.append(line)
    return "".join(line + "\n" for line in lines)


def plain_text(text: str) -> str:
    """Returns the words of an STM text in lower case: first alternatives, optional words as any."""
    alternative = re.compile(r"\{([^{}]*)\}")
    while alternative.search(text):
        text = alternative.sub(lambda found: re.split(r"\s/\s", f" {found[1]} ")[0], text)
    return " ".join(re.sub(r"[()]", " ", text).replace("@", " ").lower().split())
