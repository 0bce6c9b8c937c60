"""Utterances with one peak: by the formula, whatever the padding, and nothing of silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.build import build
from asrkit.data.batch import Batch
from asrkit.models.asr_model import AsrModel
from asrkit.nn.centred_log_mel import CentredLogMel
from asrkit.nn.features import Features, LogMel
from asrkit.nn.gammatone import Gammatone
from asrkit.nn.mfcc import Mfcc
from asrkit.nn.signal_normalization import PeakNormalization, SignalNormalization
from asrkit.text.vocabulary import Vocabulary
from tests.devices import DEVICES
from tests.models.asr_model_test import CTC, Halves

KINDS: list[Callable[..., Features]] = [
    partial(LogMel, 8),
    partial(CentredLogMel, 8),
    partial(Mfcc, 6, 8),
    partial(Gammatone, 8),
]
LENGTHS = torch.tensor([3200, 2000, 2600])


def signals() -> Tensor:
    """Returns samples (3, 3200) of 16 bits, the padding of the second louder than all others."""
    draw = torch.Generator().manual_seed(0)
    heard = torch.randint(-900, 900, (3, 3200), dtype=torch.int16, generator=draw)
    heard[0, 7], heard[1, 3000], heard[2, 100] = -32768, 32767, 2000
    return heard


def divided(signal: Tensor, level: float = 1.0) -> Tensor:
    """Returns utterances (3, N), the samples of each divided by the largest one."""
    rows = torch.zeros(signal.shape)
    for row, length in enumerate(LENGTHS.tolist()):
        samples = signal[row, :length].double() / 32768
        rows[row, :length] = (level * samples / max(abs(x) for x in samples.tolist())).float()
    return rows


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_samples_divided_by_the_largest(
    kind: Callable[..., Features], device: str
) -> None:
    heard = signals()
    plain, peak = kind(), kind(signal_normalization=PeakNormalization()).to(device)
    expected, frames = plain(divided(heard), LENGTHS)
    for given in (heard, heard.float() / 32768):
        found, lengths = peak(given.to(device), LENGTHS.to(device))
        assert torch.equal(lengths.cpu(), frames)
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=2e-4)
    as_recorded, _ = plain(heard, LENGTHS)
    assert (as_recorded[1:] - expected[1:]).abs().max() > 0.5
    torch.testing.assert_close(as_recorded[0], expected[0])  # its peak is 1 already


@pytest.mark.parametrize("kind", KINDS)
def test_an_utterance_is_what_it_is_alone(kind: Callable[..., Features]) -> None:
    features, heard = kind(signal_normalization=PeakNormalization()), signals()
    together, frames = features(heard, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, _ = features(heard[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, : int(frames[row])], alone[0])


def test_silence_stays_as_it_is_and_its_neighbours_do_not_change() -> None:
    heard = signals()
    silent = heard.clone()
    silent[1, :2000] = 0
    change = PeakNormalization()
    found = change(silent.float() / 32768, LENGTHS)
    assert torch.equal(found[1], torch.zeros(3200))
    assert torch.equal(found[[0, 2]], change(heard.float() / 32768, LENGTHS)[[0, 2]])
    nothing = torch.zeros(2, 0)
    assert change(nothing, torch.tensor([0, 0])).shape == (2, 0)
    for normalized in (PeakNormalization(), PeakNormalization(0.3)):
        features, _ = LogMel(8, signal_normalization=normalized)(silent, LENGTHS)
        assert bool(features.isfinite().all())
        assert torch.equal(features[1], LogMel(8)(silent, LENGTHS)[0][1])


def test_the_level_is_the_peak_afterwards() -> None:
    heard = signals()
    found = PeakNormalization(0.25)(heard.float() / 32768, LENGTHS)
    assert found.abs().amax(1).tolist() == pytest.approx([0.25] * 3)
    torch.testing.assert_close(found, divided(heard, 0.25))
    with pytest.raises(ValueError, match=r"level \(0\.0\) must be above 0"):
        PeakNormalization(0.0)


def test_a_model_learns_what_it_learns_of_divided_samples() -> None:
    labels = torch.tensor([[0, 1], [1, 0], [1, 1]])

    def gradients(signal: Tensor, features: Features) -> list[Tensor]:
        torch.manual_seed(0)
        model = AsrModel(Vocabulary(["a", "b"]), features, Halves, {"ctc": CTC})
        batch = Batch(["a", "b", "c"], signal, LENGTHS, labels, torch.tensor([2, 2, 1]))
        model(batch)["ctc.loss"].total.backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    found = gradients(signals(), LogMel(8, signal_normalization=PeakNormalization()))
    expected = gradients(divided(signals()), LogMel(8))
    assert len(found) == len(expected) == 4
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("written", "level"), [("peak", 1.0), ({"type": "peak", "level": 0.5}, 0.5), ("none", None)]
)
def test_specs_name_it(written: Any, level: float | None) -> None:
    features = build(Features, {"type": "mfcc", "signal_normalization": written})
    assert isinstance(features.signal_normalization, SignalNormalization)
    assert getattr(features.signal_normalization, "level", None) == level
