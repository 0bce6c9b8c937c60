"""Checks the samples of an utterance: silence, a constant, clipping, a DC offset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16] | NDArray[np.float32]

SILENT = "silent audio"
QUIET = "very quiet"
CLIPPED = "clipped"
OFFSET = "DC offset"

DITHER = 2
"""Largest difference between samples of dithered silence."""
QUIET_PEAK = 33
"""-60 dB of full scale: speech is 30 dB and more above it."""
CLIPPED_SHARE = 2e-4
"""Percent of samples at a peak; in unclipped speech, chance gives less than a tenth of this."""
CLIPPED_COUNT = 10
CLIPPED_PEAK = 1024
"""Lower peaks may be the smallest steps of mu-law."""
OFFSET_SHARE = 0.1
"""Mean relative to the standard deviation; below 0.03 in 99 % of AN4 and LibriSpeech."""
OFFSET_LEAST = 33


def silence(samples: Samples) -> str:
    """Returns why samples (N,) contain no sound; nothing if they do, or are features (T, F)."""
    if not len(samples):
        return "there are no samples"
    if samples.ndim > 1:
        return ""
    low, high = int(samples.min()), int(samples.max())
    if high - low > DITHER:
        return ""
    if abs(low) <= DITHER and abs(high) <= DITHER:
        return f"all {len(samples)} samples are 0, or differ from it by {DITHER} at most"
    return f"all {len(samples)} samples are constant at {low}"


def oddities(samples: Samples) -> list[tuple[str, str]]:
    """Returns what is odd about samples (N,) that contain sound; nothing is about features."""
    if samples.ndim > 1:
        return []
    low, high = int(samples.min()), int(samples.max())
    found = []
    if max(-low, high) <= QUIET_PEAK:
        found.append((QUIET, f"the loudest sample is {max(-low, high)} of 32768"))
    clipped = clipped_samples(samples, low, high)
    if clipped >= max(CLIPPED_COUNT, CLIPPED_SHARE * len(samples)):
        share = 100 * clipped / len(samples)
        found.append((CLIPPED, f"{share:.2f} % of its samples lie at the peaks {low} and {high}"))
    mean, spread = float(samples.mean()), float(samples.std(dtype=np.float32))
    if abs(mean) >= max(OFFSET_LEAST, OFFSET_SHARE * spread):
        found.append((OFFSET, f"the mean is {mean:.0f}, the standard deviation {spread:.0f}"))
    return found


def clipped_samples(samples: Samples, low: int, high: int) -> int:
    """Returns how many samples (N,) are at the lowest or highest value, like their successor."""
    places = [np.flatnonzero(samples == peak) for peak in (low, high) if abs(peak) >= CLIPPED_PEAK]
    return sum(int((np.diff(at) == 1).sum()) for at in places)
