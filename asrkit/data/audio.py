"""Reads audio files as 16-bit samples: FLAC, WAV, NIST SPHERE, Opus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


class AudioError(Exception):
    """An audio file can't be used; the message names the file and the reason."""


def read_samples(path: Path, sample_rate: int | None = None) -> NDArray[np.int16]:
    """Returns the samples (N,) of a file's first channel.

    Args:
        path: The audio file.
        sample_rate: What the caller expects, if anything.

    Raises:
        AudioError: If the file is missing, empty, damaged, or has another sample rate.
    """
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    try:
        with soundfile.SoundFile(path) as file:
            expected, rate = len(file), file.samplerate
            samples: NDArray[np.int16] = file.read(dtype="int16", always_2d=True)[:, 0]
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {_reason(path, error)}") from error
    if not len(samples):
        raise AudioError(f"{path} has no samples")
    if len(samples) != expected:
        raise AudioError(f"{path} is cut off: {len(samples)} of {expected} samples can be read")
    if sample_rate is not None and rate != sample_rate:
        raise AudioError(f"{path} has {rate} samples per second, expected {sample_rate}")
    return samples


def _reason(path: Path, error: Exception) -> str:
    if not path.stat().st_size:
        return "the file is empty"
    with path.open("rb") as file:
        header = file.read(1024)
    if header.startswith(b"NIST_1A") and b"shorten" in header:
        return "it is shorten-compressed SPHERE; expand it with `sph2pipe` or `shorten -x` first"
    return str(error)
