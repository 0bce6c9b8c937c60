"""Gammatone features: magnitudes behind filters like those of the inner ear, compressed.

Source: Schlüter et al. 2007, "Gammatone features and feature combination for large vocabulary
speech recognition", sections 2 and 3; centre frequencies by Greenwood 1990, bandwidths by Glasberg
& Moore 1990; the chain of steps as in rwth-i6/i6_core, `features/gammatone.py`. Filters are finite,
as in rwth-i6/returnn_common, `asr/gt.py`; unlike there, they are convolved, not correlated.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.features import (
    Features,
    NoNormalization,
    Normalization,
    feature_types,
    whole_shifts,
)
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.signal_normalization import NoSignalNormalization, SignalNormalization

FILTERS_AT_ONCE = 10
"""Bounds memory: each filter's output is as long as the signal."""


@feature_types.register("gammatone")
class Gammatone(Features):
    """Magnitudes of gammatone filters, averaged over windows, compressed and cosine transformed.

    Frame t covers the samples from t · shift on; there are N // shift frames.

    Args:
        num_filters: F.
        sample_rate: Samples per second.
        window: Seconds over which a Hann window averages each filter's magnitude.
        shift: Seconds between frames.
        low_frequency: Centre of the first filter in Hz.
        high_frequency: Centre of the last filter in Hz.
        filter_length: Seconds of each filter's impulse response.
        exponent: To which power averages are raised.
        normalization: Applied last.
        signal_normalization: Applied to the samples first.

    Raises:
        ValueError: If the filters' centres are not between 0 Hz and half the sample rate.
    """

    responses: Tensor
    taper: Tensor
    transform: Tensor

    def __init__(
        self,
        num_filters: int = 50,
        sample_rate: int = 16000,
        window: float = 0.025,
        shift: float = 0.010,
        low_frequency: float = 100.0,
        high_frequency: float = 7500.0,
        filter_length: float = 0.040,
        exponent: float = 0.1,
        normalization: Factory[Normalization] = NoNormalization,
        signal_normalization: SignalNormalization = NoSignalNormalization(),  # noqa: B008 - has no state
    ) -> None:
        super().__init__()
        if not 0 < low_frequency < high_frequency < sample_rate / 2:
            raise ValueError(
                f"low_frequency ({low_frequency}) and high_frequency ({high_frequency}) must rise "
                f"between 0 and half the sample rate ({sample_rate / 2:g})"
            )
        self.dim, self.sample_rate, self.frame_shift = num_filters, sample_rate, shift
        self.window_samples = round(window * sample_rate)
        self.shift_samples = round(shift * sample_rate)
        self.exponent = exponent
        with torch.device("cpu"):  # real values even in a dry build on the meta device
            centres = centre_frequencies(num_filters, low_frequency, high_frequency)
            responses = impulse_responses(centres, sample_rate, round(filter_length * sample_rate))
            taper = torch.hann_window(self.window_samples, periodic=False)
            transform = cosine_transform(num_filters)
        self.register_buffer("responses", responses.float(), persistent=False)
        self.register_buffer("taper", taper, persistent=False)
        self.register_buffer("transform", transform.float(), persistent=False)
        self.normalization = normalization(dim=num_filters)
        self.signal_normalization = signal_normalization

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Returns N // shift, at least one frame."""
        return whole_shifts(num_samples, self.shift_samples)

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (B, T, F) of a signal (B, N), and their lengths (B,)."""
        with torch.autocast(signal.device.type, enabled=False):
            samples = self.samples_of(signal, lengths)
            valid = length_mask(lengths, samples.shape[1])
            samples = zero_padding(emphasised(samples), valid)
            num_frames = self.num_frames(lengths)
            averages = self._averages(samples, int(num_frames.max()))  # (B, F, T)
            compressed = (averages + 1e-6).pow(self.exponent)
            return compressed.transpose(1, 2) @ self.transform, num_frames  # (B, T, F)

    def _averages(self, samples: Tensor, num_frames: int) -> Tensor:
        """Returns each filter's magnitudes (B, F, T) over windows of samples (B, N)."""
        needed = (num_frames - 1) * self.shift_samples + self.window_samples
        samples = nn.functional.pad(samples, (0, max(0, needed - samples.shape[1])))[:, :needed]
        size = samples.shape[1] + self.responses.shape[1] - 1
        spectrum = torch.fft.rfft(samples, n=size)[:, None]  # (B, 1, N/2+1)
        parts = []
        for responses in self.responses.split(FILTERS_AT_ONCE):
            product = spectrum * torch.fft.rfft(responses, n=size)  # (B, f, N/2+1)
            magnitudes = torch.fft.irfft(product, n=size)[..., : samples.shape[1]].abs()
            flat = magnitudes.flatten(0, 1)[:, None]  # (B f, 1, N)
            averaged = nn.functional.conv1d(flat, self.taper[None, None], stride=self.shift_samples)
            parts.append(averaged.view(*magnitudes.shape[:2], -1))
        return torch.cat(parts, 1)


def emphasised(samples: Tensor) -> Tensor:
    """Returns the differences between successive samples (B, N); the first one is as it is."""
    return torch.cat([samples[:, :1], samples[:, 1:] - samples[:, :-1]], 1)


def centre_frequencies(count: int, low: float, high: float) -> Tensor:
    """Returns frequencies (F,) in Hz at equal distances along the cochlea.

    Source: Greenwood 1990, equation 1, with the constants for humans.
    """
    scale, offset, slope = 165.4, 0.88, 2.1
    ends = [math.log10(frequency / scale + offset) / slope for frequency in (low, high)]
    places = torch.linspace(ends[0], ends[1], count, dtype=torch.float64)
    frequencies: Tensor = scale * (10 ** (slope * places) - offset)
    return frequencies


def impulse_responses(centres: Tensor, sample_rate: int, size: int) -> Tensor:
    """Returns filters (F, size), scaled to a largest gain of 1.

    Source: Schlüter et al. 2007, equation 1, of order 4; bandwidths of Glasberg & Moore 1990,
        equation 3.
    """
    times = torch.arange(1, size + 1, dtype=torch.float64) / sample_rate  # (size,)
    bandwidths = 24.7 * (centres / (24.7 * 9.264491981582191) + 1)[:, None]  # (F, 1)
    envelope = times**3 * torch.exp(-2 * math.pi * bandwidths * times)
    responses = envelope * torch.cos(2 * math.pi * centres[:, None] * times)  # (F, size)
    gains = torch.fft.rfft(responses, n=8 * size).abs().amax(1, keepdim=True)  # (F, 1)
    scaled: Tensor = responses / gains
    return scaled


def cosine_transform(size: int) -> Tensor:
    """Returns the orthonormal discrete cosine transform (F, F) of type 2; column k is output k."""
    places = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (places[:, None] + 0.5) * places)  # (F, F)
    basis[:, 0] *= math.sqrt(0.5)
    return basis * math.sqrt(2 / size)
