"""Speech in a pack, and its conversion back to the folders of LibriSpeech.

A part has PART/SPEAKER/CHAPTER/ID.opus and PART/texts.tsv, a line for each utterance.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import soundfile

from asrkit.files import matching, read_lines, write_lines

ROOT_OF_AUDIO = "audio"
"""In a pack."""


@dataclass(frozen=True)
class Utterance:
    """Its path in a part, and its text."""

    path: Path
    text: str


def write_utterances(part: Path, utterances: Iterable[Utterance]) -> None:
    """Writes the list of a part."""
    rows = (f"{utterance.path.with_suffix('')}\t{utterance.text}" for utterance in utterances)
    write_lines(part / "texts.tsv", sorted(rows))


def unpack(pack: Path, out: Path, jobs: int) -> int:
    """Writes OUT/LibriSpeech as in the download, with FLAC files; returns their number."""
    count = 0
    for part in [path.parent for path in matching(pack / ROOT_OF_AUDIO, "*/texts.tsv")]:
        rows = [line.split("\t", 1) for line in read_lines(part / "texts.tsv")]
        folder = out / "LibriSpeech" / part.name
        with ProcessPoolExecutor(jobs) as pool:
            work = partial(_expand, part, folder)
            count += sum(pool.map(work, [name for name, _ in rows], chunksize=16))
        for chapter, found in groupby(rows, key=lambda row: Path(row[0]).parent):
            lines = [f"{Path(name).name} {text}" for name, text in found]
            title = f"{chapter.parent.name}-{chapter.name}.trans.txt"
            write_lines(folder / chapter / title, lines)
    return count


def _expand(part: Path, folder: Path, name: str) -> int:
    samples, rate = soundfile.read(part / f"{name}.opus", dtype="int16")
    path = folder / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return 1
