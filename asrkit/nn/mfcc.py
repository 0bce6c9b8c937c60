"""Mel-frequency cepstral coefficients, computed on the training device within the step."""

from __future__ import annotations

import torch
import torchaudio.functional as audio
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.nn.features import LogMel, NoNormalization, Normalization, feature_types
from asrkit.nn.signal_normalization import NoSignalNormalization, SignalNormalization


@feature_types.register("mfcc")
class Mfcc(LogMel):
    """Cosine transform of log-mel filter-bank energies.

    Args:
        num_cepstra: F.
        num_mels: Filters that the cepstra are made of.
        sample_rate: Samples per second.
        window: Seconds that a frame covers.
        shift: Seconds between frames.
        low_frequency: Lower edge of the first filter in Hz.
        high_frequency: Upper edge of the last filter in Hz; half the sample rate where null.
        normalization: Applied to the cepstra.
        signal_normalization: Applied to the samples first.

    Raises:
        ValueError: If there are more cepstra than filters.

    Source: Davis & Mermelstein 1980; the orthonormal transform, without lifter, as in torchaudio.
    """

    transform: Tensor

    def __init__(
        self,
        num_cepstra: int = 40,
        num_mels: int = 80,
        sample_rate: int = 16000,
        window: float = 0.025,
        shift: float = 0.010,
        low_frequency: float = 20.0,
        high_frequency: float | None = None,
        normalization: Factory[Normalization] = NoNormalization,
        signal_normalization: SignalNormalization = NoSignalNormalization(),  # noqa: B008 - has no state
    ) -> None:
        super().__init__(num_mels, sample_rate, window, shift, low_frequency, high_frequency)
        if not 0 < num_cepstra <= num_mels:
            raise ValueError(f"num_cepstra ({num_cepstra}) must be 1 to num_mels ({num_mels})")
        self.dim = num_cepstra
        with torch.device("cpu"):  # real values even in a dry build on the meta device
            transform = audio.create_dct(num_cepstra, num_mels, norm="ortho")  # (M, F)
        self.register_buffer("transform", transform, persistent=False)
        self.normalization = normalization(dim=num_cepstra)
        self.signal_normalization = signal_normalization

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns cepstra (B, T, F) and their lengths (B,)."""
        energies, frames = super().unnormalized(signal, lengths)  # (B, T, M)
        with torch.autocast(signal.device.type, enabled=False):
            return energies @ self.transform, frames
