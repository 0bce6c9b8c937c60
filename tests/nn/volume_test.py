"""Volume perturbation: factors by utterance, in training only, before features are made."""

from __future__ import annotations

import math

import pytest
import torch

from asrkit.config.ordered import Ordered
from asrkit.models.asr_model import AsrModel
from asrkit.nn.augment import Augment
from asrkit.nn.features import LogMel
from asrkit.nn.ready_made import ReadyMade
from asrkit.nn.signal_normalization import PeakNormalization
from asrkit.nn.volume import VolumePerturbation
from asrkit.text.vocabulary import Vocabulary
from tests.models.asr_model_test import BATCH, CTC, Halves, Pairs


def signals(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(-9000, 9000, (count, 1600), dtype=torch.int16, generator=draw)


def test_factors_are_uniform_between_both_ends_and_differ_by_utterance() -> None:
    torch.manual_seed(0)
    heard = signals(2000)
    lengths = torch.full((2000,), 1600)
    changed = VolumePerturbation()(heard.float(), lengths, 0)[0]
    assert torch.equal(changed, heard.float()), "features stay as they are"
    found = VolumePerturbation().on_samples(heard, lengths, 0)
    factors = found.norm(dim=1) / (heard.float() / 32768).norm(dim=1)
    torch.testing.assert_close(found, heard.float() / 32768 * factors[:, None])
    assert 0.125 <= float(factors.min()) < 0.15
    assert 1.97 < float(factors.max()) <= 2.0 + 1e-5
    assert abs(float(factors.mean()) - 1.0625) < 0.03
    assert float(factors.std()) == pytest.approx(1.875 / math.sqrt(12), rel=0.05)


def test_some_utterances_stay_as_they_are() -> None:
    torch.manual_seed(0)
    heard = signals(1000)
    found = VolumePerturbation(probability=0.3).on_samples(heard, torch.full((1000,), 1600), 0)
    same = (found == heard.float() / 32768).all(dim=1)
    assert 0.65 < float(same.float().mean()) < 0.75


def test_log_energies_rise_by_twice_the_logarithm() -> None:
    heard, lengths = signals(3), torch.tensor([1600, 1600, 900])
    mel = LogMel(num_mels=8)
    louder = VolumePerturbation(1.5, 1.5).on_samples(heard, lengths, 0)
    before, frames = mel(heard, lengths)
    after, same = mel(louder, lengths)
    assert torch.equal(frames, same)
    rise = (after - before)[0]
    torch.testing.assert_close(rise, torch.full_like(rise, 2 * math.log(1.5)), atol=1e-3, rtol=0)


def test_it_acts_in_training_only_and_draws_as_the_seed_says() -> None:
    torch.manual_seed(0)
    volume: Ordered[Augment] = Ordered(volume=VolumePerturbation(3.0, 4.0))
    model = AsrModel(Vocabulary(["a", "b"]), Pairs(), Halves, {"ctc": CTC}, volume)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return float(model(BATCH)["ctc.loss"].total.detach())

    assert loss(1) == loss(1) != loss(2)
    model.eval()
    assert loss(1) == loss(2)


def test_impossible_factors_and_features_that_it_can_not_change_are_refused() -> None:
    for numbers in ((0.0, 1.0), (2.0, 1.0), (0.5, 1.0, 1.5)):
        with pytest.raises(ValueError, match="expected 0 < low"):
            VolumePerturbation(*numbers)
    volume: Ordered[Augment] = Ordered(volume=VolumePerturbation())
    with pytest.raises(ValueError, match="VolumePerturbation changes samples, and features of"):
        AsrModel(Vocabulary(["a", "b"]), ReadyMade(1), Halves, {"ctc": CTC}, volume)
    equally_loud = LogMel(num_mels=8, signal_normalization=PeakNormalization())
    with pytest.raises(ValueError, match=r"no effect, since features\.signal_normalization \(Peak"):
        AsrModel(Vocabulary(["a", "b"]), equally_loud, Halves, {"ctc": CTC}, volume)
