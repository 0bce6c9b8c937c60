"""Reads audio files as 16-bit samples: FLAC, WAV, NIST SPHERE, Opus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


class AudioError(Exception):
    """An audio file can't be used; the message names the file and the reason."""


def read_samples(
    path: Path, sample_rate: int | None = None, start: int = 0, count: int | None = None
) -> NDArray[np.int16]:
    """Returns the samples (N,) of a file's first channel, or of a part of it.

    Only the wanted samples are read: an utterance of an hour's talk costs what it is long.

    Args:
        path: The audio file.
        sample_rate: What the caller expects, if anything.
        start: First sample.
        count: Number of samples; all to the end where None.

    Raises:
        AudioError: If the file is missing, empty, damaged, too short, or has another sample rate.
    """
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    try:
        with soundfile.SoundFile(path) as file:
            total, rate = len(file), file.samplerate
            _check_part(path, total, rate, sample_rate, start, count)
            if start:
                file.seek(start)
            samples: NDArray[np.int16] = file.read(
                frames=-1 if count is None else count, dtype="int16", always_2d=True
            )[:, 0]
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {_reason(path, error)}") from error
    expected = total - start if count is None else count
    if len(samples) != expected:
        raise AudioError(f"{path} is cut off: {len(samples)} of {expected} samples can be read")
    return samples


def _check_part(
    path: Path, total: int, rate: int, sample_rate: int | None, start: int, count: int | None
) -> None:
    if not total:
        raise AudioError(f"{path} has no samples")
    if sample_rate is not None and rate != sample_rate:
        raise AudioError(f"{path} has {rate} samples per second, expected {sample_rate}")
    end = total if count is None else start + count
    if not 0 <= start < end <= total:
        raise AudioError(f"{path} has {total} samples, expected some from {start} to {end}")


def _reason(path: Path, error: Exception) -> str:
    if not path.stat().st_size:
        return "the file is empty"
    with path.open("rb") as file:
        header = file.read(1024)
    if header.startswith(b"NIST_1A") and b"shorten" in header:
        return "it is shorten-compressed SPHERE; expand it with `sph2pipe` or `shorten -x` first"
    return str(error)
