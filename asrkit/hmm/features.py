"""Features of Gaussian mixtures: cepstra, and what is made of them and of neighbouring frames.

There are N // shift frames of N samples, as many as `asrkit.nn.features.LogMel` has of the same
length, so alignments fit a network's frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torchaudio.functional as audio
from torch import Tensor
from torchaudio.compliance import kaldi


@dataclass(frozen=True)
class Mfcc:
    """Mel-frequency cepstral coefficients, Kaldi's without its energy and dither.

    Args:
        sample_rate: Samples per second.
        cepstra: D of the frames.
        mels: Filters that they are made of.
        window: Seconds that a frame covers.
        shift: Seconds between frames.
        low_frequency: Lower edge of the first filter in Hz.
        high_frequency: Upper edge of the last filter in Hz; at or below 0, so much below half the
            sample rate.

    Raises:
        ValueError: If there are more coefficients than filters.
    """

    sample_rate: int = 16000
    cepstra: int = 13
    mels: int = 23
    window: float = 0.025
    shift: float = 0.010
    low_frequency: float = 20.0
    high_frequency: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.cepstra <= self.mels:
            raise ValueError(f"expected 1 to {self.mels} cepstra (mels), got {self.cepstra}")

    def __call__(self, samples: npt.NDArray[np.int16]) -> Tensor:
        """Returns the cepstra (T, D) of 16-bit samples (N,)."""
        shift = round(self.shift * self.sample_rate)
        # Without the rest of the last frame, Kaldi's rounding gives N // shift frames.
        whole = torch.from_numpy(samples[: max(len(samples) // shift, 1) * shift]).float()
        missing = max(shift, round(self.window * self.sample_rate)) - len(whole)
        if missing > 0:
            whole = torch.nn.functional.pad(whole, (0, missing))
        found: Tensor = kaldi.mfcc(
            whole[None],
            dither=0.0,
            frame_length=1000 * self.window,
            frame_shift=1000 * self.shift,
            high_freq=self.high_frequency,
            low_freq=self.low_frequency,
            num_ceps=self.cepstra,
            num_mel_bins=self.mels,
            sample_frequency=float(self.sample_rate),
            snip_edges=False,
            use_energy=False,
        )
        return found[: max(len(samples) // shift, 1)]


class FrontEnd(Protocol):
    """Makes features of cepstra, utterance by utterance."""

    def __call__(self, cepstra: Tensor) -> Tensor:
        """Returns features (T, D) of cepstra (T, C)."""
        ...


@dataclass(frozen=True)
class Deltas:
    """Cepstra with their first and second derivatives.

    Args:
        order: How many derivatives.
        window: Frames on each side that a derivative is estimated from.
    """

    order: int = 2
    window: int = 2

    def __call__(self, cepstra: Tensor) -> Tensor:
        """Returns features (T, (1 + order) C) of cepstra (T, C)."""
        parts = [cepstra.T]
        for _ in range(self.order):
            parts.append(audio.compute_deltas(parts[-1], win_length=2 * self.window + 1))
        return torch.cat(parts).T.contiguous()


@dataclass(frozen=True)
class Projection:
    """A linear map of frames with their neighbours: LDA, MLLT.

    Args:
        matrix: (D, (1 + 2 context) C).
        context: Frames on each side.
    """

    matrix: Tensor
    context: int = 4

    def __call__(self, cepstra: Tensor) -> Tensor:
        """Returns features (T, D) of cepstra (T, C)."""
        return spliced(cepstra, self.context) @ self.matrix.T


def spliced(frames: Tensor, context: int) -> Tensor:
    """Returns frames (T, C) with their neighbours, oldest first (T, (1 + 2 context) C).

    Beyond the ends the first and the last one stand.
    """
    first, last = frames[:1].expand(context, -1), frames[-1:].expand(context, -1)
    padded = torch.cat([first, frames, last])  # (T + 2 context, C), row after row in memory
    size = frames.shape[1]
    return padded.as_strided((len(frames), (2 * context + 1) * size), (size, 1))


def normalized_by_speaker(frames: Tensor, speakers: Tensor, variance: bool = False) -> Tensor:
    """Returns frames that have mean 0 for every speaker, and variance 1 if wanted.

    Args:
        frames: (N, D).
        speakers: (N,) number of the speaker of each frame.
        variance: Whether the variance becomes 1, too.
    """
    size = int(speakers.max()) + 1 if len(speakers) else 0
    counts = torch.bincount(speakers, minlength=size).double()[:, None].clamp(min=1)
    zeros = torch.zeros(size, frames.shape[1], dtype=torch.float64)
    mean = zeros.index_add(0, speakers, frames.double()) / counts
    centred = frames - mean.float()[speakers]
    if not variance:
        return centred
    square = zeros.index_add(0, speakers, centred.double().square()) / counts
    return centred / square.clamp(min=1e-10).sqrt().float()[speakers]
