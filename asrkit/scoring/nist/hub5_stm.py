"""STM files of the Hub5 and RT telephone test sets: what is scored, categories, and plain texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from asrkit.data.stm import Segment, read_stm
from asrkit.errors import UserError
from asrkit.files import read_lines

CHANNELS = {"1": "A", "2": "B"}
LABEL = re.compile(r'^;;\s*LABEL\s+"([^"]*)"\s+"([^"]*)"')


@dataclass(frozen=True)
class Stm:
    """The segments of a test set that are scored, and the titles of its categories."""

    segments: list[Segment]
    titles: dict[str, str]


def read_hub5_stm(path: Path) -> Stm:
    """Reads an STM file; segments that it says to ignore are left out, channels are A and B.

    Raises:
        UserError: If it is missing, has a damaged line, or no segments.
    """
    segments = [_of_telephone(segment) for segment in read_stm(path) if not segment.ignored]
    if not segments:
        raise UserError(f"{path} has no segments to score")
    found = map(LABEL.match, read_lines(path))
    return Stm(segments, {label[1]: label[2] for label in found if label})


def _of_telephone(segment: Segment) -> Segment:
    channel = CHANNELS.get(segment.channel, segment.channel.upper())
    return replace(segment, channel=channel, labels=tuple(filter(None, segment.labels)))


def clean_stm(stm: Iterable[str]) -> list[str]:
    """Returns the lines of an STM file without what is known to be wrong with the published ones.

    Doubled parentheses become single, marks of asides and gaps between segments are left out, and
    channels are A and B throughout.
    """
    lines = []
    for line in stm:
        if not line.startswith(";;") and "inter_segment_gap" not in line:
            line = line.replace("((", "(").replace("<B_ASIDE>", "").replace("<E_ASIDE>", "")
            line = re.sub(r"^(\s*\S+\s+)([12])(?=\s)", lambda m: m[1] + CHANNELS[m[2]], line)
        if line.startswith(";;") or "inter_segment_gap" not in line:
            lines.append(line)
    return lines


def plain_text(text: str) -> str:
    """Returns the words of an STM text in lower case: first alternatives, optional words as any."""
    alternative = re.compile(r"\{([^{}]*)\}")
    while alternative.search(text):
        text = alternative.sub(lambda found: re.split(r"\s/\s", f" {found[1]} ")[0], text)
    return " ".join(re.sub(r"[()]", " ", text).replace("@", " ").lower().split())
