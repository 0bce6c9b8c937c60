"""Kaldi data folders: wav.scp and text, with segments and utt2spk where there are such files."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asrkit.corpora.folders import is_audio
from asrkit.corpora.places import Places
from asrkit.data.set_facts import DUPLICATE_NAME
from asrkit.data.sources import Source, Unusable
from asrkit.errors import UserError
from asrkit.files import matching, read_lines
from asrkit.text.normalization import normalized

log = logging.getLogger(__name__)

USED = ("wav.scp", "segments", "text", "utt2spk")
DERIVED = ("spk2utt", "frame_shift", "num_frames", "utt2num_frames", "reco2num_utts", "utt2dur")
"""What follows from other files; no one misses it."""
IN_ARCHIVE = re.compile(r"\.ark:\d+$")


@dataclass(frozen=True)
class Line:
    """The content of a line for its key, and where it is."""

    value: str
    where: str


@dataclass(frozen=True)
class Part:
    """A part of a recording, or all of it."""

    recording: str
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None


def read_kaldi(folder: Path, root: Path | None = None) -> Iterator[Source | Unusable]:
    """Yields the utterances of a Kaldi data folder, and what can't be one.

    Args:
        folder: The folder.
        root: What relative paths in wav.scp are meant from; the folder itself if None.

    Raises:
        UserError: If it is not such a folder, or a file can't be read.
    """
    _require(folder)
    problems: list[Unusable] = []
    audio, texts, speakers = (
        read_keyed(folder / name, problems, name == "text")
        for name in ("wav.scp", "text", "utt2spk")
    )
    cut = (folder / "segments").is_file()
    segments = read_keyed(folder / "segments", problems) if cut else {}
    names = segments if cut else audio
    places = Places(folder / "wav.scp", root)
    for name in names:
        speaker, text = (found.get(name) for found in (speakers, texts))
        try:
            part = _part(segments[name]) if cut else Part(name)
            path = _path(part.recording, audio, places)
        except ProblemError as problem:
            yield Unusable(name, problem.reason, str(problem))
            continue
        yield Source(
            name,
            path,
            None if text is None else normalized(text.value),
            "" if speaker is None else speaker.value,
            part.start,
            part.duration,
            part.channel,
        )
    yield from problems
    for name, line in texts.items():
        if name not in names:
            which = "segments" if cut else "wav.scp"
            yield Unusable(name, "text without audio", f"{line.where}: it is not in {which}")
    _tell_unused(folder, audio, segments, [name for name in speakers if name not in names])


class ProblemError(Exception):
    """Why an utterance can't be used."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _require(folder: Path) -> None:
    """Checks that a folder has audio.

    Raises:
        UserError: If not.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: expected a Kaldi data folder, with wav.scp")
    if (folder / "wav.scp").is_file():
        return
    there = ", ".join(path.name for path in matching(folder, "*")[:12]) or "nothing"
    features = (folder / "feats.scp").is_file()
    why = "; `asrkit data features` takes the features of its feats.scp" if features else ""
    raise UserError(f"{folder} has no wav.scp, which a Kaldi data folder has{why}; it has: {there}")


def read_keyed(path: Path, problems: list[Unusable], may_be_empty: bool = False) -> dict[str, Line]:
    """Returns the lines of a file by their key; of several with one key the first counts.

    Args:
        path: The file; may be missing.
        problems: Lines that can't be used are added here.
        may_be_empty: Whether a key may stand alone, as that of an empty transcript.
    """
    found: dict[str, Line] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(read_lines(path), 1):
        key, *rest = re.split(r"[ \t]+", line.strip(" \t"), maxsplit=1)
        where = f"{path}:{number}"
        if key in found:
            problems.append(Unusable(key, DUPLICATE_NAME, f"{where}: also {found[key].where}"))
        elif key and (rest or may_be_empty):
            found[key] = Line("".join(rest), where)
        elif key:
            problems.append(Unusable(key, "malformed line", f"{where}: nothing follows {key!r}"))
    return found


def _part(line: Line) -> Part:
    """Returns what a line of segments means: recording, start, end, perhaps a channel."""
    fields = line.value.split()
    expected = f"{line.where}: expected `utterance recording start end`, got {line.value!r} at last"
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        channel = int(fields[3]) if len(fields) == 4 else None
    except (IndexError, ValueError) as error:
        raise ProblemError("malformed line", expected) from error
    if len(fields) > 4 or not math.isfinite(start) or not math.isfinite(end):
        raise ProblemError("malformed line", expected)
    if end == -1:  # Kaldi's way to say: up to the end
        return Part(recording, start, None, channel)
    if not 0 <= start < end:
        said = f"{line.where}: it goes from {start:g} to {end:g} s"
        raise ProblemError("impossible times", said)
    return Part(recording, start, end - start, channel)


def _path(recording: str, audio: dict[str, Line], places: Places) -> Path:
    """Returns the audio file of a recording."""
    line = audio.get(recording)
    if line is None:
        raise ProblemError("missing audio", f"recording {recording} is not in {places.file}")
    value = line.value.rstrip()
    if value.endswith("|"):
        features = (places.file.parent / "feats.scp").is_file()
        hint = "; or take the features of feats.scp: `asrkit data features`" if features else ""
        raise ProblemError(
            "audio by a command",
            f"{line.where}: `{value}` is a command, and commands are not run: write what it prints "
            f"to a file, and name that; FLAC, SPHERE, MP3, Ogg and the like need none{hint}",
        )
    if IN_ARCHIVE.search(value):
        raise ProblemError(
            "audio in an archive",
            f"{line.where}: {value} lies in a Kaldi archive: unpack it to WAV files (`wav-copy`)",
        )
    return places.of(value)


def _tell_unused(
    folder: Path, audio: dict[str, Line], segments: dict[str, Line], strangers: list[str]
) -> None:
    """Tells what was there and is not used."""
    known = {*USED, *DERIVED}
    files = [path for path in matching(folder, "*") if path.is_file() and not is_audio(path)]
    others = [path.name for path in files if path.name not in known]
    if others:
        log.info("%s: not used: %s", folder, ", ".join(others))
    if strangers:
        many, first = len(strangers), strangers[0]
        log.warning("%s/utt2spk: %d names are not utterances, such as %s", folder, many, first)
    if segments:
        heard = {line.value.split()[0] for line in segments.values()}
        silent = [name for name in audio if name not in heard]
        if silent:
            said = "%s: %d of %d recordings have no segment, such as %s"
            log.warning(said, folder / "wav.scp", len(silent), len(audio), silent[0])
