"""Audio that someone wants to know the words of: a file, or samples from anywhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkit.data.audio import read_recording, to_int16
from asrkit.data.channels import Channel
from asrkit.data.signals import SILENT, oddities, silence
from asrkit.errors import UserError

log = logging.getLogger(__name__)

Samples = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.float64]
Heard = tuple[NDArray[np.int16], int]
"""Samples (N,) and how many there are per second."""


def from_file(path: Path, sample_rate: int | None, channel: Channel | None) -> Heard:
    """Returns the samples (N,) of a file, and how many there are per second.

    Raises:
        AudioError: If it can't be read.
        UserError: If a rate is given, too.
    """
    if sample_rate is not None:
        raise UserError(f"sample_rate is for samples; {path} says its own")
    return read_recording(path, "mix" if channel is None else channel)


def from_samples(samples: Samples, sample_rate: int, channel: Channel | None) -> Heard:
    """Returns samples (N,) as 16-bit integers, and how many there are per second.

    Raises:
        AudioError: If some are NaN.
        UserError: If they are of another kind or shape.
    """
    if channel is not None:
        raise UserError("channel is for files; give the samples of one channel, (N,)")
    if sample_rate <= 0:
        raise UserError(f"sample_rate must be positive, got {sample_rate}")
    return _as_int16(samples), sample_rate


def tell_oddities(name: str, samples: NDArray[np.int16], rate: int, wanted: int) -> None:
    """Warns of audio that may well not be understood."""
    if rate < wanted:
        empty = 100 - 100 * rate // wanted
        log.warning(
            "%s has %d samples per second, the model hears %d: the upper %d %% of the spectrum are "
            "empty, which it may not know",
            name,
            rate,
            wanted,
            empty,
        )
    silent = silence(samples)
    found = [(SILENT, silent)] if silent else oddities(samples)
    for reason, detail in found:
        log.warning("%s: %s: %s", name, reason, detail)


def _as_int16(samples: Samples) -> NDArray[np.int16]:
    """Returns samples (N,) as 16-bit integers.

    Raises:
        UserError: If they are of another kind or shape.
    """
    given: NDArray[Any] = np.asarray(samples)
    if given.ndim != 1 or not len(given):
        raise UserError(f"expected samples of one channel, (N,), got shape {given.shape}")
    if given.dtype == np.int16:
        return given
    if given.dtype.kind != "f":
        raise UserError(f"expected 16-bit integers or floats of -1 to 1, got {given.dtype}")
    return to_int16(given, "the audio")
