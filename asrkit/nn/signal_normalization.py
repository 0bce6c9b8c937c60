"""How loud utterances are when features are computed of them: as recorded, or all with one peak."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.nn.masking import length_mask, zero_padding


class SignalNormalization(ABC):
    """Changes the samples of utterances before features are computed of them."""

    why_whole: str = ""
    """Why it needs whole utterances; empty where it needs none."""
    undoes_volume: bool = False
    """Whether utterances that only differ in volume are the same afterwards."""

    @abstractmethod
    def __call__(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Returns changed samples (B, N); those beyond the lengths (B,) may become anything."""


signal_normalizations: Registry[SignalNormalization] = Registry(
    "signal_normalization", SignalNormalization
)


@signal_normalizations.register("none")
class NoSignalNormalization(SignalNormalization):
    """Utterances are as loud as they were recorded."""

    def __call__(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Returns the same samples (B, N)."""
        return samples


@signal_normalizations.register("peak")
class PeakNormalization(SignalNormalization):
    """Divides each utterance by its largest absolute sample; silence stays as it is.

    Args:
        level: What the largest absolute sample is afterwards, where 1 is full scale.

    Raises:
        ValueError: If the level is not above 0.

    Source: option `peak_normalization` of rwth-i6/returnn, datasets/util/feature_extraction.py,
        where speed is changed after that; here the samples have their speed already.
    """

    why_whole = "the peak of a recording is known at its end only"
    undoes_volume = True

    def __init__(self, level: float = 1.0) -> None:
        if level <= 0:
            raise ValueError(f"level ({level}) must be above 0")
        self.level = level

    def __call__(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Returns samples (B, N) of that peak, with zeros in the padding."""
        samples = zero_padding(samples, length_mask(lengths, samples.shape[1]))
        if not samples.shape[1]:
            return samples
        peaks = samples.abs().amax(1, keepdim=True)  # (B, 1)
        return samples * self.level / peaks.masked_fill(peaks == 0, self.level)
