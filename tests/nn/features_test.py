from __future__ import annotations

from typing import Literal

import pytest
import torch
import torchaudio
from torch import Tensor

from asrkit.nn.augment import (
    FrameDrop,
    Masks,
    SpecAugment,
    Strength,
    VocalTractPerturbation,
    draw_masks,
)
from asrkit.nn.features import Division, GlobalNormalization, LogMel, UtteranceNormalization
from asrkit.nn.masking import length_mask
from asrkit.nn.positions import shift_distances
from asrkit.nn.residual import Place, StochasticDepth


def test_log_mel_equals_torchaudio() -> None:
    torch.manual_seed(0)
    signal = torch.randn(1, 16000)
    found, lengths = LogMel(num_mels=40, low_frequency=0.0)(signal, torch.tensor([16000]))
    reference = torchaudio.transforms.MelSpectrogram(
        16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, center=False
    )
    # torchaudio centres the 400 samples of the window in the 512 of the transform.
    padded = torch.nn.functional.pad(signal, (56, 512))
    expected = reference(padded).clamp(min=1e-10).log().transpose(1, 2)[:, : found.shape[1]]
    assert lengths.tolist() == [100]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_log_mel_is_its_definition() -> None:
    torch.manual_seed(0)
    signal = torch.randn(1, 1275, dtype=torch.float64)
    features = LogMel(4, low_frequency=0.0, log_base=10.0, whole_windows=True).double()
    found, lengths = features(signal, torch.tensor([1275]))
    assert lengths.tolist() == [6]  # (1275 - 400) // 160 + 1
    few = torch.tensor([300, 400, 559, 560])
    assert features.num_frames(few).tolist() == [1, 1, 1, 2]
    place = torch.arange(400, dtype=torch.float64)
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * place / 400)
    angles = -2 * torch.pi * torch.outer(place, torch.arange(257, dtype=torch.float64)) / 512
    centres = 700 * ((1 + 8000 / 700) ** (torch.arange(6) / 5) - 1)  # of filters, and both ends
    hertz = torch.arange(257, dtype=torch.float64)[:, None] * 16000 / 512
    rising = (hertz - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - hertz) / (centres[2:] - centres[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    for frame in range(6):
        seen = signal[0, frame * 160 : frame * 160 + 400] * window
        power = (seen @ angles.cos()) ** 2 + (seen @ angles.sin()) ** 2
        expected = torch.log10(power @ filters).float()
        torch.testing.assert_close(found[0, frame].float(), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"log_base \(1.0\) must be above 1"):
        LogMel(log_base=1.0)


def test_16_bit_samples_are_scaled_and_padding_does_not_matter() -> None:
    torch.manual_seed(0)
    signal = (torch.randn(2, 4000) * 3000).to(torch.int16)
    lengths = torch.tensor([4000, 1700])
    features = LogMel(num_mels=20, normalization=UtteranceNormalization)
    found, frames = features(signal, lengths)
    as_float, _ = features(signal.float() / 32768, lengths)
    torch.testing.assert_close(found, as_float)
    alone, _ = features(signal[1:, :1700], lengths[1:])
    torch.testing.assert_close(found[1, : int(frames[1])], alone[0])
    assert float(found[1, int(frames[1]) :].abs().max()) == 0.0
    assert features.num_frames(torch.tensor([4000, 1700, 5])).tolist() == [25, 10, 1]


def test_normalisations_give_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    features, lengths = 3 + 2 * torch.randn(4, 50, 6), torch.tensor([50, 40, 30, 20])
    mask = length_mask(lengths)
    features[~mask] = 1e6
    whole = GlobalNormalization(dim=6)
    whole.accumulate(features[:2], mask[:2])
    whole.accumulate(features[2:], mask[2:])
    whole.finish()
    for normalization in (whole, UtteranceNormalization(dim=6)):
        valid = normalization(features, mask)[mask]
        torch.testing.assert_close(valid.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
        torch.testing.assert_close(valid.var(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="no frames were seen"):
        GlobalNormalization(dim=6).finish()


def runs(row: list[bool]) -> list[int]:
    """Returns the lengths of stretches of True."""
    text = "".join("x" if value else " " for value in row)
    return [len(part) for part in text.split()]


def test_masks_stay_within_their_counts_and_widths() -> None:
    torch.manual_seed(0)
    sizes = torch.tensor([100, 60, 30, 3])
    masks = Masks(min_count=1, max_count=2, max_width=5)
    counts: set[int] = set()
    for _ in range(200):
        drawn = draw_masks(masks, Strength(0), sizes, 100)
        for size, row in zip(sizes.tolist(), drawn.tolist(), strict=True):
            assert not any(row[size:])
            assert 1 <= sum(row) <= 10
            counts.add(len(runs(row)))
    assert counts == {1, 2}
    many = Masks(min_count=0, max_count=1, max_width=1, per_size=10)
    most = max(int(draw_masks(many, Strength(0), sizes, 100)[0].sum()) for _ in range(300))
    assert 6 <= most <= 10
    narrow = Masks(min_count=1, max_count=1, max_width=50, max_share=0.1)
    widest = [int(draw_masks(narrow, Strength(0), sizes, 100)[1].sum()) for _ in range(300)]
    assert max(widest) == 6
    with pytest.raises(ValueError, match="min_count"):
        Masks(min_count=3, max_count=2, max_width=1)


def test_a_batch_may_share_the_number_of_masks_of_the_utterance_with_most() -> None:
    torch.manual_seed(0)
    sizes = torch.tensor([1000, 400, 2])
    masks = Masks(min_count=0, max_count=1, max_width=1, per_size=100)
    numbers = torch.stack(
        [draw_masks(masks, Strength(0), sizes, 1000, "batch").sum(1) for _ in range(60)]
    )
    assert torch.equal(numbers[:, 0], numbers[:, 1])  # up to 10, although 400 frames alone get 4
    assert torch.equal(numbers[:, 2], numbers[:, 0].clamp(max=2))
    # The largest of three draws of 0 to 10 is 7.8 on average, half of that is the mean of one.
    assert 6.5 < float(numbers[:, 0].float().mean()) < 9
    features, lengths = torch.ones(3, 1000, 20), sizes
    augment = SpecAugment(masks, Masks(0, 5, 1), counts="batch")
    hidden = augment(features, lengths, 0)[0] == 0
    bands = hidden.all(1).sum(1)
    assert len(set(bands.tolist())) == 1


def test_numbers_of_masks_may_be_drawn_by_the_longest_utterance_or_land_in_padding() -> None:
    """Of up to 10 masks of one frame each: 5 on average, of 400 of 1000 frames 2."""
    torch.manual_seed(0)
    sizes = torch.tensor([1000, 400, 2])
    masks = Masks(min_count=0, max_count=1, max_width=1, per_size=100)

    def numbers(
        counts: Literal["utterance", "longest", "batch"], starts: Literal["utterance", "batch"]
    ) -> Tensor:
        drawn = [draw_masks(masks, Strength(0), sizes, 1000, counts, starts) for _ in range(800)]
        return torch.stack(drawn).sum(2)

    own = numbers("utterance", "utterance")
    longest, padding = numbers("longest", "utterance"), numbers("longest", "batch")
    for found, means in ((own, [5, 2]), (longest, [5, 5]), (padding, [5, 2])):
        for number, mean in enumerate(means):
            assert abs(float(found[:, number].float().mean()) - mean) < 0.5
    assert [int(found[:, 1].max()) for found in (own, longest)] == [4, 10]
    assert 7 <= int(padding[:, 1].max()) <= 10
    assert int(longest[:, 2].max()) == 2
    assert float(padding[:, 2].float().mean()) < 0.05
    # Each draws its own.
    assert abs(float(torch.corrcoef(longest[:, :2].T.float())[0, 1])) < 0.15
    shared = numbers("batch", "batch")
    assert abs(float(shared[:, 1].float().mean()) - 0.4 * float(shared[:, 0].float().mean())) < 0.4
    augment = SpecAugment(masks, Masks(0, 0, 1), counts="longest", starts="batch")
    hidden = [(augment(torch.ones(3, 1000, 2), sizes, 0)[0] == 0)[:, :, 0] for _ in range(200)]
    assert abs(float(torch.stack(hidden).sum(2).float().mean(0)[1]) - 2) < 0.6


def test_strengths_follow_the_steps() -> None:
    torch.manual_seed(0)
    augment = SpecAugment(
        time=Masks(0, 2, 3),
        frequency=Masks(0, 0, 1),
        strengths=[Strength(10, add_min=1, scale_max=0.5), Strength(20, add_min=4, scale_max=2.0)],
    )
    features, lengths = torch.ones(1, 200, 4), torch.tensor([200])
    for step, low, high in ((9, 0, 0), (10, 1, 3), (25, 4, 12)):
        totals = [int((augment(features, lengths, step)[0][0, :, 0] == 0).sum()) for _ in range(50)]
        assert low <= min(totals)
        assert max(totals) <= high


def test_dropped_frames_keep_the_order_of_the_others() -> None:
    torch.manual_seed(0)
    features = torch.arange(1.0, 41.0).repeat(2, 1).unsqueeze(2)
    lengths = torch.tensor([40, 12])
    dropped, shorter = FrameDrop(0.5, min_frames=10)(features, lengths, 0)
    for row, length in zip(dropped[:, :, 0], shorter.tolist(), strict=True):
        kept = row[:length].tolist()
        assert kept == sorted(set(kept))
    assert 10 <= int(shorter[1]) <= 12
    assert int(dropped[1, : int(shorter[1])].max()) <= 12


def test_distances_are_shifted_to_positions() -> None:
    for size in (1, 2, 5):
        scores = torch.randn(2, 3, size, 2 * size - 1)
        shifted = shift_distances(scores)
        for row in range(size):
            for column in range(size):
                expected = scores[:, :, row, size - 1 + column - row]
                assert torch.equal(shifted[:, :, row, column], expected)


@pytest.mark.parametrize(
    ("profile", "expected"), [("constant", 0.6), ("linear", 0.8), ("depth", 0.7)]
)
def test_survival_depends_on_the_place(profile: str, expected: float) -> None:
    place = Place(block=3, num_blocks=4, nth=3, num_same=5)
    keep = StochasticDepth(place, 0.6, profile)  # type: ignore[arg-type]
    assert keep.survival == pytest.approx(expected)
    branch = torch.ones(2, 3, 4)
    torch.manual_seed(0)
    kept = [float(keep(branch)[0, 0, 0]) for _ in range(2000)]
    assert set(kept) == {0.0, 1.0}
    assert sum(kept) / 2000 == pytest.approx(expected, abs=0.04)
    assert float(keep.eval()(branch)[0, 0, 0]) == pytest.approx(expected)


def test_hidden_places_can_get_the_mean_of_the_utterance() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([20, 8])
    features = 5 + torch.randn(2, 20, 3)
    features[1, 8:] = 0.0
    found, _ = SpecAugment(Masks(2, 2, 4), Masks(1, 1, 1), value="mean")(features, lengths, 0)
    for row, length in enumerate(lengths.tolist()):
        changed = found[row] != features[row]
        assert bool(changed[:length].all(1).any())
        assert bool(changed[:length].all(0).any())
        assert not bool(changed[length:].any())
        mean = features[row, :length].mean(0).expand(20, 3)
        torch.testing.assert_close(found[row][changed], mean[changed])


def test_vocal_tract_perturbation_moves_a_tone_to_its_multiple() -> None:
    seconds = torch.arange(16000) / 16000
    extract = LogMel(80)
    length = torch.tensor([16000])
    low, high = (
        extract(torch.sin(2 * torch.pi * hz * seconds)[None], length)[0] for hz in (1000.0, 1200.0)
    )
    warp = VocalTractPerturbation(0.2)
    # A new filter at f reads the old one at f · factor: energy at 1200 Hz comes to 1000 Hz.
    moved = high @ warp.interpolation(torch.tensor([1.2]), 80)
    assert moved[0, 50].argmax() == low[0, 50].argmax() != high[0, 50].argmax()
    same = warp.interpolation(torch.tensor([1.0]), 80)
    torch.testing.assert_close(same[0], torch.eye(80), atol=2e-3, rtol=0)


def test_vocal_tract_perturbation_is_monotone_and_differs_between_utterances() -> None:
    warp = VocalTractPerturbation(0.2)
    frequency = torch.linspace(20.0, 8000.0, 200)
    for factor in (0.8, 0.95, 1.2):
        warped = warp.warped(frequency, torch.tensor(factor))
        assert (warped.diff() > 0).all()
        assert float(warped[-1]) == pytest.approx(8000.0)
    features = torch.randn(1, 30, 80).expand(2, -1, -1)
    torch.manual_seed(1)
    first, second = warp(features, torch.tensor([30, 30]), 0)[0]
    assert (first - second).abs().max() > 0.1
    with pytest.raises(ValueError, match="knee"):
        VocalTractPerturbation(0.2, sample_rate=8000)


def test_division_divides() -> None:
    features = torch.randn(1, 4, 3)
    found = Division(dim=3, divisor=3.0)(features, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(found, features / 3.0)
    with pytest.raises(ValueError, match="must not be 0"):
        Division(dim=3, divisor=0.0)
