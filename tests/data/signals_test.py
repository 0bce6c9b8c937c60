from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkit.data.signals import CLIPPED, OFFSET, QUIET, oddities, silence


def speech(scale: float = 2000.0) -> NDArray[np.int16]:
    return np.random.default_rng(1).normal(0, scale, 16000).clip(-32768, 32767).astype(np.int16)


def names(samples: NDArray[Any]) -> list[str]:
    return [name for name, _ in oddities(samples.clip(-32768, 32767).astype(np.int16))]


def test_silence_and_constants_are_told_from_sound() -> None:
    assert "are 0" in silence(np.zeros(100, np.int16))
    assert "are constant at 700" in silence(np.full(100, 700, np.int16))
    dither = np.random.default_rng(1).integers(-1, 2, 1000).astype(np.int16)
    assert "differ from it by 2 at most" in silence(dither)
    assert "no samples" in silence(np.zeros(0, np.int16))
    assert not silence(speech())


def test_plain_speech_is_not_odd() -> None:
    assert names(speech()) == []


def test_each_oddity_is_named() -> None:
    assert names(speech(6.0)) == [QUIET]
    assert names(speech() * 20.0) == [CLIPPED]
    assert names(speech().clip(-2500, 2500)) == [CLIPPED]
    assert names(speech() + 900.0) == [OFFSET]


def test_a_single_peak_at_full_scale_and_pauses_are_not_clipping() -> None:
    samples = speech()
    samples[100] = 32767
    samples[8000:] = 0
    assert names(samples) == []


def test_one_sided_sound_with_pauses_is_an_offset_only() -> None:
    samples = np.abs(speech())
    samples[8000:] = 0
    assert names(samples) == [OFFSET]
