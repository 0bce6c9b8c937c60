"""What a lhotse cut holds: its samples, played at a speed, its transcript and speaker."""

from __future__ import annotations

from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio.functional as audio
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.audio import read_samples
from asrkit.data.lookups import costs_one_utterance
from asrkit.text.normalization import normalized
from asrkit.text.tokenizers import Tokenizer


@costs_one_utterance
def read_cut(cut: Any, sample_rate: int) -> NDArray[np.int16]:
    """Returns the samples of a lhotse cut, which may be a part of its recording.

    Raises:
        AudioError: If they can't be read.
    """
    start, count = round(cut.start * sample_rate), round(cut.duration * sample_rate)
    path = Path(cut.recording.sources[0].source)
    return read_samples(path, sample_rate, start, count, int(cut.channel))


def num_labels(cut: Any, tokenizer: Tokenizer) -> int:
    """Returns the labels of a cut's transcript; 0 where it has unknown symbols.

    Such a cut is reported once its batch is read.
    """
    return len(tokenizer.encode_if_known(text_of(cut)) or [])


def text_of(cut: Any) -> str:
    """Returns the transcript of a lhotse cut, with single spaces between its words."""
    return normalized(" ".join(s.text for s in cut.supervisions if s.text))


def speaker_of(cut: Any) -> str:
    """Returns the speaker of a lhotse cut."""
    return next((str(s.speaker) for s in cut.supervisions if s.speaker), "unknown")


def at_speed(samples: Tensor, speed: float, resolution: int = 100) -> Tensor:
    """Returns int16 samples played faster (above 1) or slower, pitch included.

    Source: Ko et al. 2015; speeds are rounded to hundredths.
    """
    resampled = audio.resample(
        samples.float(), round(speed * resolution), resolution, lowpass_filter_width=6
    )
    played: Tensor = resampled.round().clamp(-32768, 32767).to(torch.int16)
    return played


def num_samples_at(num_samples: int, speed: float, resolution: int = 100) -> int:
    """Returns how many samples `at_speed` gives."""
    if speed == 1.0:
        return num_samples
    pace = round(speed * resolution)
    common = gcd(pace, resolution)
    return -(-num_samples * (resolution // common) // (pace // common))
