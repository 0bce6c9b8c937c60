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

    Args:
        path: The audio file.
        sample_rate: What the caller expects, if anything.
        start: The first sample; what is before it is not decoded.
        count: N at most; all up to the file's end where None.
        channel: Which channel, from 0 on.

    Raises:
        AudioError: If the file is missing, empty, damaged, or has another sample rate.
    """
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    try:
        with soundfile.SoundFile(path) as file:
            length, rate, channels = len(file), file.samplerate, file.channels
            expected = max(length - start if count is None else min(count, length - start), 0)
            if expected:
                file.seek(start)
            samples: NDArray[np.int16] = file.read(expected, dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {reason(path, error)}") from error
    if not expected:
        raise AudioError(f"{path} has no samples" + (f" from number {start} on" if start else ""))
    if len(samples) != expected:
        raise AudioError(f"{path} is cut off: {len(samples)} of {expected} samples can be read")
    if sample_rate is not None and rate != sample_rate:
        raise AudioError(f"{path} has {rate} samples per second, expected {sample_rate}")
    if channel >= channels:
        raise AudioError(f"{path} has {channels} channels, there is no number {channel + 1}")
    return np.ascontiguousarray(samples[:, channel])


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
