"""NIST's hubscr.pl (SCTK) as the counter of errors, where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asrkit.data.stm import Segment
from asrkit.errors import UserError
from asrkit.scoring.edits import Errors
from asrkit.scoring.nist.ctm import CtmWord, spread, write_ctm

SCORED = re.compile(
    r'^<PATH .*file="(?P<file>[^"]*)" channel="(?P<channel>[^"]*)".*'
    r'R_T1="(?P<start>[^"]*)" R_T2="(?P<end>[^"]*)".*>\n(?P<words>.*)',
    re.MULTILINE,
)
EDIT = re.compile(r"(?:^|:)([CSDI]),")
Place = tuple[str, str, int, int]
"""Recording and channel in lower case, beginning and end in milliseconds."""


def ctm_words(segments: Iterable[Segment], texts: Mapping[str, str]) -> list[CtmWord]:
    """Returns the recognised words in the order that sclite needs, by recording and time.

    Args:
        segments: Those of the STM file.
        texts: The recognised text of each segment, by its name.

    Raises:
        UserError: If a segment has words, but no duration.
    """
    ordered = sorted(segments, key=lambda s: (s.recording, s.channel, s.start))
    return [word for segment in ordered for word in spread(segment, texts[segment.id])]


def run_hubscr(
    segments: Sequence[Segment], texts: Mapping[str, str], stm: Path, glm: Path, out: Path
) -> list[Errors]:
    """Returns the errors of each segment as hubscr.pl counts them; its reports go to a folder.

    Args:
        segments: Those of the STM file.
        texts: The recognised text of each segment, by its name.
        stm: The STM file.
        glm: The mapping rules.
        out: Folder for the reports.

    Raises:
        UserError: If hubscr.pl fails; says what it said last.
    """
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stm, out / "reference.stm")
    write_ctm(out / "hypotheses.ctm", ctm_words(segments, texts))
    command = ["hubscr.pl", "-V", "-l", "english", "-h", "hub5", "-g", str(glm.resolve())]
    command += ["-r", "reference.stm", "hypotheses.ctm"]
    done = subprocess.run(command, cwd=out, capture_output=True, check=False)
    report = out / "hypotheses.ctm.filt.sgml"
    if done.returncode or not report.is_file():
        said = (done.stdout + done.stderr).decode("utf-8", errors="replace")
        said = "\n".join(said.strip().split("\n")[-5:])
        raise UserError(f"{' '.join(command)} failed in {out}:\n{said}")
    found = counted(report.read_text(encoding="utf-8"))
    return [found.get(place_of(segment), Errors()) for segment in segments]


def place_of(segment: Segment) -> Place:
    """Returns what identifies a segment in sclite's reports."""
    name = (segment.recording.lower(), segment.channel.lower())
    return (*name, round(segment.start * 1000), round(segment.end * 1000))


def counted(sgml: str) -> dict[Place, Errors]:
    """Returns the errors of each segment of sclite's SGML report."""
    result = {}
    for found in SCORED.finditer(sgml):
        kinds = EDIT.findall(found["words"])
        start, end = (round(float(found[name]) * 1000) for name in ("start", "end"))
        words = len(kinds) - kinds.count("I")
        errors = Errors(kinds.count("S"), kinds.count("D"), kinds.count("I"), words)
        result[found["file"].lower(), found["channel"].lower(), start, end] = errors
    return result
