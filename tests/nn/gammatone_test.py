"""Gammatone features against a literal filter bank in double precision."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.nn.features import Division
from asrkit.nn.gammatone import Gammatone, centre_frequencies, cosine_transform, impulse_responses
from tests.devices import DEVICES


def literal(
    samples: np.ndarray, features: int, rate: int, frames: int, high: float = 3500.0
) -> np.ndarray:
    """Returns features (T, F) by the published formulae, one filter and frame after the other."""
    difference = np.append(samples[:1], np.diff(samples))
    length, window, shift = round(0.04 * rate), round(0.025 * rate), round(0.01 * rate)
    difference = np.append(difference, np.zeros(window))
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / (window - 1)) for n in range(window)]
    ends = [math.log10(f / 165.4 + 0.88) / 2.1 for f in (100.0, high)]
    averages = np.zeros((frames, features))
    for number in range(features):
        place = ends[0] + (ends[1] - ends[0]) * number / (features - 1)
        centre = 165.4 * (10 ** (2.1 * place) - 0.88)
        bandwidth = 24.7 + centre / 9.264491981582191
        times = [(n + 1) / rate for n in range(length)]
        response = np.array(
            [
                t**3 * math.exp(-2 * math.pi * bandwidth * t) * math.cos(2 * math.pi * centre * t)
                for t in times
            ]
        )
        response /= np.abs(np.fft.rfft(response, 8 * length)).max()
        heard = np.abs(np.convolve(difference, response)[: len(difference)])
        for frame in range(frames):
            averages[frame, number] = heard[frame * shift : frame * shift + window] @ hann
    compressed = (averages + 1e-6) ** 0.1
    result = np.zeros_like(compressed)
    for k in range(features):
        scale = math.sqrt((1 if k == 0 else 2) / features)
        waves = [math.cos(math.pi * k * (n + 0.5) / features) for n in range(features)]
        result[:, k] = scale * compressed @ waves
    return result


def small() -> Gammatone:
    return Gammatone(num_filters=12, sample_rate=8000, high_frequency=3500.0)


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_those_of_the_formulae(device: str) -> None:
    samples = np.random.default_rng(0).normal(size=3000) * 0.1
    expected = literal(samples, 12, 8000, frames=37)
    signal = torch.tensor(samples, dtype=torch.float32, device=device)[None]
    found, lengths = small().to(device).unnormalized(signal, torch.tensor([3000], device=device))
    assert lengths.tolist() == [37]
    np.testing.assert_allclose(found[0].cpu().double().numpy(), expected, atol=2e-5)


@pytest.mark.parametrize(("filters", "rate", "high"), [(50, 16000, 7500.0), (40, 8000, 3800.0)])
def test_those_of_the_published_systems_are_too(filters: int, rate: int, high: float) -> None:
    samples = np.random.default_rng(1).normal(size=rate // 20) * 0.1
    expected = literal(samples, filters, rate, frames=5, high=high) / 3
    divided = partial(Division, divisor=3.0)
    made = Gammatone(filters, rate, high_frequency=high, normalization=divided)
    signal = torch.tensor(samples, dtype=torch.float32)[None]
    found, _ = made(signal, torch.tensor([len(samples)]))
    np.testing.assert_allclose(found[0].double().numpy(), expected, atol=2e-5)


def test_padding_and_the_rest_of_the_batch_change_nothing() -> None:
    signal = 0.1 * torch.randn(3, 4000)
    lengths = torch.tensor([4000, 2345, 900])
    together, frames = small()(signal, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, own = small()(signal[row : row + 1, :length], torch.tensor([length]))
        assert own.tolist() == [int(frames[row])]
        torch.testing.assert_close(together[row, : int(own)], alone[0], atol=1e-5, rtol=1e-5)


def test_integers_are_scaled_as_floats_are() -> None:
    signal = torch.randint(-9000, 9000, (1, 2000), dtype=torch.int16)
    lengths = torch.tensor([2000])
    torch.testing.assert_close(
        small()(signal, lengths)[0], small()(signal.float() / 32768, lengths)[0]
    )


def test_each_filter_passes_its_own_frequency_best() -> None:
    centres = centre_frequencies(50, 100.0, 7500.0)
    assert [float(centres[0]), float(centres[-1])] == pytest.approx([100.0, 7500.0])
    responses = impulse_responses(centres, 16000, 640)
    gains = torch.fft.rfft(responses, n=16000).abs()
    torch.testing.assert_close(gains.amax(1), torch.ones(50).double(), atol=5e-3, rtol=0.0)
    peaks = gains.argmax(1).double()  # bins of 1 Hz
    assert ((peaks - centres).abs() < 0.06 * centres + 5).all()


def test_the_transform_keeps_lengths() -> None:
    basis = cosine_transform(9)
    torch.testing.assert_close(basis.T @ basis, torch.eye(9).double())


def test_filters_beyond_half_the_sample_rate_are_refused() -> None:
    with pytest.raises(ValueError, match="half the sample rate"):
        Gammatone(sample_rate=8000)


def test_a_silent_signal_gives_finite_features() -> None:
    found: Tensor = small()(torch.zeros(1, 800), torch.tensor([800]))[0]
    assert bool(found.isfinite().all())
