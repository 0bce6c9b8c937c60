"""Speech that mixtures can learn: a tone for each letter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PITCHES = {"a": 500, "b": 900, "c": 1500, "d": 2400, "f": 3300, "m": 4500}


def spoken(text: str, shift: float, draw: np.random.Generator) -> NDArray[np.int16]:
    """Returns samples of a text: a tone for each letter, silence between words."""
    parts = [np.zeros(1600)]
    for letter in text:
        time = np.arange(int(16000 * draw.uniform(0.07, 0.11))) / 16000
        tone = np.sin(2 * np.pi * shift * PITCHES[letter] * time) if letter != " " else 0 * time
        parts.append(6000 * tone)
    samples = np.concatenate([*parts, np.zeros(1600)])
    return (samples + draw.normal(0, 60, len(samples))).astype(np.int16)
