"""Reads audio files as 16-bit samples: FLAC, WAV, NIST SPHERE, Opus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


class AudioError(Exception):
    """An audio file can't be used; the message names the file and the reason."""


def read_samples(
    path: Path,
    sample_rate: int | None = None,
    start: int = 0,
    count: int | None = None,
    channel: int = 0,
) -> NDArray[np.int16]:
    """Returns the samples (N,) of one channel of a file, or of a part of it.

    Only the wanted samples are read: an utterance of an hour's talk costs what it is long.

    Args:
        path: The audio file.
        sample_rate: What the caller expects, if anything.
        start: First sample.
        count: Number of samples; all to the end where None.
        channel: Which channel, from 0 on.

    Raises:
        AudioError: If the file is missing, empty, damaged, too short, has another sample
            rate, or has no such channel.
    """
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    try:
        with soundfile.SoundFile(path) as file:
            total = len(file)
            _check_format(path, file, sample_rate, channel)
            _check_part(path, total, start, count)
            if start:
                file.seek(start)
            samples: NDArray[np.int16] = file.read(
                frames=-1 if count is None else count, dtype="int16", always_2d=True
            )
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {reason(path, error)}") from error
    expected = total - start if count is None else count
    if len(samples) != expected:
        raise AudioError(f"{path} is cut off: {len(samples)} of {expected} samples can be read")
    return np.ascontiguousarray(samples[:, channel])


def _check_format(
    path: Path, file: soundfile.SoundFile, sample_rate: int | None, channel: int
) -> None:
    rate, channels = file.samplerate, file.channels
    if sample_rate is not None and rate != sample_rate:
        raise AudioError(f"{path} has {rate} samples per second, expected {sample_rate}")
    if not 0 <= channel < channels:
        raise AudioError(f"{path} has {channels} channels, there is no number {channel + 1}")


def _check_part(path: Path, total: int, start: int, count: int | None) -> None:
    if not total:
        raise AudioError(f"{path} has no samples")
    end = total if count is None else start + count
    if not 0 <= start < end <= total:
        raise AudioError(f"{path} has {total} samples, expected some from {start} to {end}")


def reason(path: Path, error: Exception) -> str:
    """Returns why a file can't be read, and what to do about it where that is known."""
    if not path.stat().st_size:
        return "the file is empty"
    with path.open("rb") as file:
        header = file.read(1024)
    if header.startswith(b"NIST_1A") and b"shorten" in header:
        return (
            "it is shorten-compressed SPHERE; expand it first: `sph2pipe -f sph "
            f"{path} expanded/{path.name}` keeps samples and channels as they are"
        )
    return str(error)
