"""Log-mel features, computed on the training device within the step, and their normalisation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torchaudio.functional as audio
from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.signal_normalization import NoSignalNormalization, SignalNormalization


class Normalization(nn.Module):
    """Normalises the mean and variance of features (B, T, F)."""

    needs_statistics = False

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised features (B, T, F)."""
        return features

    def accumulate(self, features: Tensor, mask: Tensor) -> None:
        """Counts the valid frames of a batch in, where statistics are needed."""

    def finish(self) -> None:
        """Turns what was accumulated into mean and standard deviation."""


normalizations: Registry[Normalization] = Registry(
    "normalization", Normalization, late=("dim",), default="none"
)


@normalizations.register("none")
class NoNormalization(Normalization):
    """No normalisation.

    Args:
        dim: F, not needed here.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()


@normalizations.register("division")
class Division(Normalization):
    """Divides features by a number that is known beforehand.

    Args:
        dim: F, not needed here.
        divisor: What they are divided by, such as the deviation of features of this kind.

    Raises:
        ValueError: If the divisor is 0.
    """

    def __init__(self, dim: int, divisor: float) -> None:
        super().__init__()
        if divisor == 0:
            raise ValueError("divisor must not be 0")
        self.divisor = divisor

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Returns divided features (B, T, F)."""
        return features / self.divisor


@normalizations.register("utterance")
class UtteranceNormalization(Normalization):
    """Normalises each feature to mean 0 and variance 1 within each utterance.

    Args:
        dim: F, not needed here.
        eps: Added to the standard deviation.
        variance: Whether the variance is normalised, too.
    """

    def __init__(self, dim: int, eps: float = 1e-5, variance: bool = True) -> None:
        super().__init__()
        self.eps, self.variance = eps, variance

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised features (B, T, F)."""
        valid = mask.unsqueeze(2)
        count = valid.sum(1, keepdim=True).clamp(min=1)
        mean = features.masked_fill(~valid, 0.0).sum(1, keepdim=True) / count
        centered = (features - mean).masked_fill(~valid, 0.0)
        if not self.variance:
            return centered
        deviation = (centered.square().sum(1, keepdim=True) / count).sqrt()
        return centered / (deviation + self.eps)


@normalizations.register("global")
class GlobalNormalization(Normalization):
    """Normalises each feature by its mean and variance over the training set.

    Args:
        dim: F.
    """

    needs_statistics = True
    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        self._sums = torch.zeros(2, dim, dtype=torch.float64, device="cpu")
        self._count = 0

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised features (B, T, F)."""
        return (features - self.mean) / self.deviation

    def accumulate(self, features: Tensor, mask: Tensor) -> None:
        """Counts the valid frames of a batch in."""
        frames = features[mask].double().cpu()
        self._sums += torch.stack([frames.sum(0), frames.square().sum(0)])
        self._count += frames.shape[0]

    def finish(self) -> None:
        """Turns what was accumulated into mean and standard deviation.

        Raises:
            ValueError: If no frame was accumulated.
        """
        if not self._count:
            raise ValueError("no frames were seen: feature statistics need training speech")
        mean = self._sums[0] / self._count
        variance = (self._sums[1] / self._count - mean.square()).clamp(min=1e-10)
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt())


class Features(nn.Module, ABC):
    """Samples (B, N) to features (B, T, F); implementations set the attributes."""

    dim: int
    frame_shift: float
    """Seconds between frames."""
    sample_rate: int
    normalization: Normalization
    of_samples: bool = True
    """Whether they are made of samples."""
    signal_normalization: SignalNormalization = NoSignalNormalization()
    """Applied to the samples."""

    @abstractmethod
    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the number of frames (B,) of signals with (B,) samples."""

    @abstractmethod
    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (B, T, F) before normalisation, and their lengths (B,)."""

    def samples_of(self, signal: Tensor, lengths: Tensor) -> Tensor:
        """Returns normalised samples (B, N) of signals with lengths (B,), in single precision."""
        return self.signal_normalization(as_floats(signal), lengths)

    def noise(self, lengths: Tensor) -> Tensor:
        """Returns noise that features can be made of: samples (B, N) with lengths (B,)."""
        return torch.randint(-3000, 3000, (len(lengths), int(lengths.max())), dtype=torch.int16)

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns normalised features (B, T, F), zero in the padding, and their lengths (B,)."""
        features, lengths = self.unnormalized(signal, lengths)
        mask = length_mask(lengths, features.shape[1])
        return zero_padding(self.normalization(features, mask), mask), lengths


def as_floats(signal: Tensor) -> Tensor:
    """Returns samples (B, N) in single precision, 16-bit integers scaled to -1 .. 1."""
    samples = signal.float()
    return samples / 32768.0 if signal.dtype == torch.int16 else samples


def whole_shifts(num_samples: Tensor, shift_samples: int) -> Tensor:
    """Returns how many frames (B,) signals of (B,) samples have: N // shift, at least one."""
    return torch.div(num_samples, shift_samples, rounding_mode="floor").clamp(min=1)


feature_types: Registry[Features] = Registry("features", Features)


@feature_types.register("log_mel")
class LogMel(Features):
    """Log-mel filter-bank energies.

    Frame t covers the samples from t · shift on; there are N // shift frames, the last of them
    padded with zeros, unless only whole windows count.

    Args:
        num_mels: F.
        sample_rate: Samples per second.
        window: Seconds that a frame covers.
        shift: Seconds between frames.
        low_frequency: Lower edge of the first filter in Hz.
        high_frequency: Upper edge of the last filter in Hz; half the sample rate where null.
        normalization: Applied to the log energies.
        log_base: Of the logarithm, such as 10; natural where null.
        whole_windows: Whether only frames count whose samples are all there, (N - window) // shift
            + 1 of them, at least one.
        signal_normalization: Applied to the samples first.

    Raises:
        ValueError: If there is no logarithm of such a base.
    """

    def __init__(
        self,
        num_mels: int = 80,
        sample_rate: int = 16000,
        window: float = 0.025,
        shift: float = 0.010,
        low_frequency: float = 20.0,
        high_frequency: float | None = None,
        normalization: Factory[Normalization] = NoNormalization,
        log_base: float | None = None,
        whole_windows: bool = False,
        signal_normalization: SignalNormalization = NoSignalNormalization(),  # noqa: B008 - has no state
    ) -> None:
        super().__init__()
        if log_base is not None and log_base <= 1:
            raise ValueError(f"log_base ({log_base}) must be above 1, or null")
        self.log_scale = 1.0 if log_base is None else 1 / math.log(log_base)
        self.whole_windows = whole_windows
        self.dim = num_mels
        self.sample_rate = sample_rate
        self.frame_shift = shift
        self.window_samples = round(window * sample_rate)
        self.shift_samples = round(shift * sample_rate)
        self.fft_size = 1 << (self.window_samples - 1).bit_length()
        highest = sample_rate / 2 if high_frequency is None else high_frequency
        with torch.device("cpu"):  # real values even in a dry build on the meta device
            filters = audio.melscale_fbanks(
                self.fft_size // 2 + 1, low_frequency, highest, num_mels, sample_rate
            )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("taper", torch.hann_window(self.window_samples), persistent=False)
        self.normalization = normalization(dim=num_mels)
        self.signal_normalization = signal_normalization

    filters: Tensor
    taper: Tensor

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Returns N // shift, or how many whole windows there are; at least one frame."""
        if self.whole_windows:
            num_samples = num_samples - self.window_samples + self.shift_samples
        return whole_shifts(num_samples, self.shift_samples)

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-mel features (B, T, F) and their lengths (B,)."""
        with torch.autocast(signal.device.type, enabled=False):
            samples = self.samples_of(signal, lengths)
            samples = zero_padding(samples, length_mask(lengths, samples.shape[1]))
            padded = nn.functional.pad(samples, (0, self.window_samples))
            frames = padded.unfold(1, self.window_samples, self.shift_samples) * self.taper
            num_frames = self.num_frames(lengths)
            frames = frames[:, : int(num_frames.max())]
            spectrum = torch.fft.rfft(frames, n=self.fft_size)  # (B, T, fft/2+1)
            power = spectrum.real.square() + spectrum.imag.square()  # abs() would take square roots
            energies = (power @ self.filters).clamp(min=1e-10).log()
            return energies if self.log_scale == 1.0 else energies * self.log_scale, num_frames
