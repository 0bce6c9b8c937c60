"""Log-mel features of windows around their frames, as librosa and torch.stft have them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchaudio.functional as audio
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.nn.features import (
    Features,
    NoNormalization,
    Normalization,
    feature_types,
)
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.signal_normalization import NoSignalNormalization, SignalNormalization


@feature_types.register("centred_log_mel")
class CentredLogMel(Features):
    """Log-mel filter-bank energies of windows whose middle is at the frame.

    There are N // shift + 1 frames. Before and after an utterance the samples go on as in a mirror.
    The filters are linear in frequency up to 1000 Hz, of equal areas.

    Args:
        num_mels: F.
        sample_rate: Samples per second.
        fft_size: Samples of a Fourier transform; a shorter window is in the middle of them.
        window_size: Samples that a frame covers; as many as fft_size where null.
        shift_size: Samples between frames.
        low_frequency: Lower edge of the first filter in Hz.
        high_frequency: Upper edge of the last filter in Hz; half the sample rate where null.
        normalization: Applied to the log energies.
        signal_normalization: Applied to the samples first.

    Raises:
        ValueError: If the window is longer than the transform.

    Source: torch.stft, librosa.filters.mel.
    """

    def __init__(
        self,
        num_mels: int = 80,
        sample_rate: int = 16000,
        fft_size: int = 512,
        window_size: int | None = None,
        shift_size: int = 128,
        low_frequency: float = 0.0,
        high_frequency: float | None = None,
        normalization: Factory[Normalization] = NoNormalization,
        signal_normalization: SignalNormalization = NoSignalNormalization(),  # noqa: B008 - has no state
    ) -> None:
        super().__init__()
        self.dim, self.sample_rate = num_mels, sample_rate
        self.frame_shift = shift_size / sample_rate
        self.fft_size, self.shift_size = fft_size, shift_size
        window = fft_size if window_size is None else window_size
        if window > fft_size:
            raise ValueError(f"window_size ({window}) must be at most fft_size ({fft_size})")
        highest = sample_rate / 2 if high_frequency is None else high_frequency
        with torch.device("cpu"):  # real values even in a dry build on the meta device
            filters = audio.melscale_fbanks(
                fft_size // 2 + 1,
                low_frequency,
                highest,
                num_mels,
                sample_rate,
                norm="slaney",
                mel_scale="slaney",
            )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.normalization = normalization(dim=num_mels)
        self.signal_normalization = signal_normalization

    filters: Tensor
    taper: Tensor

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Returns N // shift + 1."""
        return torch.div(num_samples, self.shift_size, rounding_mode="floor") + 1

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-mel features (B, T, F) and their lengths (B,)."""
        with torch.autocast(signal.device.type, enabled=False):
            samples = mirrored(self.samples_of(signal, lengths), lengths, self.fft_size // 2)
            windows = samples.unfold(1, self.fft_size, self.shift_size)  # (B, T, fft)
            before = (self.fft_size - len(self.taper)) // 2
            taper = F.pad(self.taper, (before, self.fft_size - len(self.taper) - before))
            num_frames = self.num_frames(lengths)
            windows = windows[:, : int(num_frames.max())] * taper
            spectrum = torch.fft.rfft(windows, n=self.fft_size)  # (B, T, fft/2+1)
            power = spectrum.real.square() + spectrum.imag.square()  # abs() would take square roots
            return (power @ self.filters).clamp(min=1e-10).log(), num_frames


def mirrored(samples: Tensor, lengths: Tensor, margin: int) -> Tensor:
    """Returns samples (B, margin + N + margin) that go on as in a mirror at both ends.

    Args:
        samples: (B, N).
        lengths: (B,) valid samples; what is further from them than the margin is zero.
        margin: How many more there are at either end.
    """
    places = torch.arange(-margin, samples.shape[1] + margin, device=samples.device)
    last = (lengths - 1).clamp(min=0)[:, None]  # (B, 1)
    period = (2 * last).clamp(min=1)
    turned = places.abs() % period  # (B, margin + N + margin): of signals shorter than it, too
    sources = torch.where(turned > last, period - turned, turned).clamp(max=samples.shape[1] - 1)
    valid = length_mask(lengths + 2 * margin, places.shape[0])
    return zero_padding(samples.gather(1, sources), valid)
