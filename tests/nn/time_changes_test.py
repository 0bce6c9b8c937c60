from __future__ import annotations

import pytest
import torch

from asrkit.nn.masking import length_mask
from asrkit.nn.time_changes import TimeResize, TimeWarp, interpolate

LENGTHS = torch.tensor([60, 25, 1])


def ramps() -> torch.Tensor:
    """Features whose value is the number of their frame, and a big number in the padding."""
    numbers = torch.arange(60.0)[None, :, None].expand(3, 60, 2).clone()
    return numbers.masked_fill(~length_mask(LENGTHS, 60).unsqueeze(2), 1e6)


def test_places_between_frames_are_interpolated_and_never_beyond_an_end() -> None:
    places = torch.tensor([[0.25, -3.0, 70.0], [23.5, 24.0, 24.9], [0.0, 0.5, 9.0]])
    expected = [[0.25, 0.0, 59.0], [23.5, 24.0, 24.0], [0.0, 0.0, 0.0]]
    assert interpolate(ramps(), places, LENGTHS)[..., 1].tolist() == expected


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_resizing_keeps_the_ends_and_an_even_pace(factor: float) -> None:
    features, lengths = TimeResize(factor, factor)(ramps(), LENGTHS, 0)
    assert lengths.tolist() == [round(60 * factor), round(25 * factor), max(round(factor), 1)]
    assert features.shape == (3, int(lengths.max()), 2)
    first = features[0, 1 : int(lengths[0]) - 1, 0]
    pace = first.diff()
    torch.testing.assert_close(pace, torch.full_like(pace, 60 / float(lengths[0])))
    assert features[length_mask(lengths, features.shape[1])].max() <= 59
    if factor == 1.0:
        torch.testing.assert_close(features[0], ramps()[0])


def test_factors_differ_and_long_utterances_are_not_stretched() -> None:
    torch.manual_seed(0)
    resize = TimeResize(0.9, 1.2, max_frames=250)
    lengths = torch.tensor([200] * 50 + [300] * 50)
    found = resize(torch.zeros(100, 300, 1), lengths, 0)[1] / lengths
    assert 1.1 < found[:50].max() <= 1.2
    assert 0.99 < found[50:].max() <= 1.0
    assert found.min() >= 0.89
    assert len(found.unique()) > 20


@pytest.mark.parametrize("shift", [1, 10, 200])
def test_warping_keeps_ends_order_and_padding_out(shift: int) -> None:
    torch.manual_seed(0)
    changed = 0.0
    for _ in range(20):
        features, lengths = TimeWarp(shift)(ramps(), LENGTHS, 0)
        assert torch.equal(lengths, LENGTHS)
        for row, length in zip(features[..., 0], LENGTHS.tolist(), strict=True):
            assert float(row[0]) == 0.0
            assert float(row[length - 1]) == pytest.approx(length - 1, abs=1e-3)
            assert (row[:length].diff() > 0).all()
            moved = (row[:length] - torch.arange(float(length))).abs().max()
            assert moved <= shift
            changed = max(changed, float(moved))
    assert changed > min(shift, 15) / 2


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low \(1.2\)"):
        TimeResize(1.2, 1.1)
    with pytest.raises(ValueError, match="max_shift"):
        TimeWarp(0)
