"""Utterances of a corpus folder, and the headers of their audio files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import soundfile
from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.cut import MultiCut
from lhotse.cut.data import DataCut

from asrkit.data.audio import AudioError, opened, reason, require_whole
from asrkit.data.channels import Channel
from asrkit.data.cuts import MIXED
from asrkit.data.lookups import failed_lookup

OVERHANG = 0.5
"""Transcripts round times: seconds that an utterance may end after its file; it is cut off "
    "there."""


@dataclass(frozen=True)
class Source:
    """One utterance of a corpus folder: a file, or from `start` on a part of one of its channels.

    Args:
        id: Name of the utterance.
        path: The audio file.
        text: The transcript; empty if nothing is said, None if there is none.
        speaker: Who speaks.
        start: Where it starts in the file, in seconds.
        duration: Its length in seconds; up to the end of the file where None.
        channel: Its channel in the file, from 0 on, or "mix" for the mean of all; None if the file
            has only one.
    """

    id: str
    path: Path
    text: str | None
    speaker: str
    start: float = 0.0
    duration: float | None = None
    channel: Channel | None = None


@dataclass(frozen=True)
class Unusable:
    """An utterance that can't be used: which, why, and the details."""

    id: str
    reason: str
    detail: str


def with_channel(
    sources: Iterable[Source | Unusable], channel: Channel | None
) -> Iterator[Source | Unusable]:
    """Yields utterances, on the given channel if they have none."""
    for source in sources:
        if isinstance(source, Unusable) or source.channel is not None:
            yield source
        else:
            yield replace(source, channel=channel)


def inspect(source: Source | Unusable) -> DataCut | Unusable:
    """Returns the cut of an utterance, or what is wrong with it; only reads the audio header."""
    if isinstance(source, Unusable):
        return source
    header = read_header(source.path)
    if header.trouble:
        return Unusable(source.id, header.trouble, header.detail)
    if source.channel is None and header.channels > 1:
        return Unusable(
            source.id,
            "several channels",
            f"{source.path} has {header.channels} channels, and which one is heard is not said: "
            "choose a channel: first, mix or a number from 0 on (--channel)",
        )
    first, last = _span(source, header)
    problem = _outside(source, header, first, last)
    if problem:
        return Unusable(source.id, "outside the file", f"{source.path} has {problem}")
    return _cut(source, header, first, last)


def _cut(source: Source, header: Header, first: int, last: int) -> DataCut:
    """Returns samples `first` to `last` of a file as a cut; segments share its recording."""
    is_part = source.duration is not None or source.start > 0
    recording = Recording(
        id=source.path.stem if is_part else source.id,
        # Absolute: commands on the data folder are given from anywhere.
        sources=[
            AudioSource(
                type="file",
                channels=[*range(header.channels)],
                source=str(source.path.absolute()),
            )
        ],
        sampling_rate=header.rate,
        num_samples=header.frames,
        duration=header.frames / header.rate,
    )
    is_mixed = source.channel == "mix" and header.channels > 1
    channel = source.channel if isinstance(source.channel, int) else 0
    heard = {"channel": [*range(header.channels)] if is_mixed else channel}
    seconds = (last - first) / header.rate
    segment = SupervisionSegment(
        id=source.id,
        recording_id=recording.id,
        start=0.0,  # counted from the start of the cut
        duration=seconds,
        text=source.text,
        speaker=source.speaker,
        **heard,
    )
    kind = MultiCut if is_mixed else MonoCut
    return kind(
        id=source.id,
        start=first / header.rate,
        duration=seconds,
        recording=recording,
        supervisions=[segment],
        custom={MIXED: True} if is_mixed else None,
        **heard,
    )


@dataclass(frozen=True)
class Header:
    """The header of an audio file; or what is wrong with it, and the details."""

    frames: int = 0
    rate: int = 0
    channels: int = 0
    trouble: str = ""
    detail: str = ""


@lru_cache(maxsize=8)  # a talk has hundreds of consecutive segments
def read_header(path: Path) -> Header:
    """Returns the header of an audio file."""
    try:
        return _read_header(path)
    except OSError as error:
        return Header(trouble="unreadable audio", detail=failed_lookup(error))


def _read_header(path: Path) -> Header:
    if not path.is_file():
        return Header(trouble="missing audio", detail=f"{path} is missing")
    try:
        with opened(path) as file:
            frames, rate, channels = file.frames, file.samplerate, file.channels
            require_whole(path)
            _require_end(path, file)
    except AudioError as error:
        return Header(trouble="cut off", detail=str(error))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        detail = f"{path} can't be read: {reason(path, error)}"
        return Header(trouble="unreadable audio", detail=detail)
    if not frames:
        return Header(trouble="no samples", detail=f"{path} has no samples")
    return Header(frames, rate, channels)


def _require_end(path: Path, file: soundfile.SoundFile) -> None:
    """Checks that the last sample of FLAC can be read; its frames vary in length.

    Raises:
        AudioError: If it can't.
    """
    if file.format != "FLAC" or not file.frames:
        return
    try:
        file.seek(file.frames - 1)
        there = len(file.read(1, dtype="int16"))
    except (soundfile.LibsndfileError, RuntimeError):
        there = 0
    if not there:
        raise AudioError(
            f"{path} is cut off or damaged: the last of the {file.frames} samples that its "
            "header promises can't be read; copy it again"
        )


def _span(source: Source, header: Header) -> tuple[int, int]:
    """Returns the first sample of an utterance and the one after its last."""
    first = round(source.start * header.rate)
    if source.duration is None:
        return first, header.frames
    last = round((source.start + source.duration) * header.rate)
    overhang = last - header.frames
    return first, header.frames if 0 < overhang <= OVERHANG * header.rate else last


def _outside(source: Source, header: Header, first: int, last: int) -> str:
    """Returns what a file has instead of the utterance; nothing if all of it is there."""
    if isinstance(source.channel, int) and not 0 <= source.channel < header.channels:
        return f"{header.channels} channels, the utterance is on number {source.channel + 1}"
    if not 0 <= first < last <= header.frames:
        whole, end = header.frames / header.rate, last / header.rate
        return f"{whole:.3f} s, the utterance goes from {source.start:.3f} to {end:.3f} s"
    return ""
