"""Mixup: what is kept, what is added, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asrkit.nn.mixup import Mixup

LENGTHS = torch.tensor([8, 5])


def batch(first: int) -> torch.Tensor:
    """Returns features (2, 8, 1) that count up from a number; the padding is zero."""
    features = torch.zeros(2, 8, 1)
    features[0, :, 0], features[1, :5, 0] = (
        torch.arange(first, first + 8),
        torch.arange(first + 8, first + 13),
    )
    return features


def test_the_newest_frames_are_kept_without_padding() -> None:
    mixup = Mixup(buffer_frames=20)
    mixup(batch(0), LENGTHS, 0)
    assert mixup.ring is not None
    assert (mixup.filled, mixup.ring[:13, 0].tolist()) == (13, list(range(13)))
    mixup(batch(13), LENGTHS, 0)
    assert (mixup.filled, mixup.place) == (20, 6)
    assert sorted(mixup.ring[:, 0].tolist()) == list(range(6, 26))
    small = Mixup(buffer_frames=3)
    small(batch(0), LENGTHS, 0)
    assert small.ring is not None
    assert sorted(small.ring[:, 0].tolist()) == [10, 11, 12]


def test_stretches_of_earlier_frames_are_added_with_factors_in_range() -> None:
    torch.manual_seed(0)
    mixup = Mixup(buffer_frames=13, max_stretches=1, min_share=0.2, max_share=0.3)
    first, _ = mixup(batch(0), LENGTHS, 0)
    assert torch.equal(first, batch(0))  # there was nothing to add
    starts = set()
    for _ in range(50):
        mixup.ring = None  # as after the first batch
        mixup.place = mixup.filled = 0
        mixup(batch(0), LENGTHS, 0)
        mixed, lengths = mixup(torch.zeros(2, 8, 1), LENGTHS, 0)
        assert torch.equal(lengths, LENGTHS)
        assert not mixed[1, 5:].any()
        for row, length in enumerate(LENGTHS.tolist()):
            # factor · (start + t)
            factor = float(mixed[row, 1, 0] - mixed[row, 0, 0])
            assert factor + 1e-6 >= 0.2
            assert factor - 1e-6 <= 0.3
            start = float(mixed[row, 0, 0]) / factor
            starts.add(round(start))
            expected = factor * (start + torch.arange(length))
            torch.testing.assert_close(mixed[row, :length, 0], expected, rtol=1e-4, atol=1e-4)
    assert starts == set(range(6))  # 13 frames, windows of 8


def test_factors_of_several_stretches_are_shares_of_a_sum() -> None:
    torch.manual_seed(0)
    factors = Mixup(max_stretches=4, min_share=0.4, max_share=0.4)._factors(
        400, torch.device("cpu")
    )
    torch.testing.assert_close(factors.sum(1), torch.full((400,), 0.4))
    assert {int(n) for n in (factors > 0).sum(1)} == {1, 2, 3, 4}
    loose = Mixup(max_stretches=4)._factors(400, torch.device("cpu")).sum(1)
    assert float(loose.min()) >= 0.1
    assert float(loose.max()) <= 0.4


def test_some_batches_are_left_alone() -> None:
    torch.manual_seed(0)
    never = Mixup(probability=0.0)
    for _ in range(3):
        assert torch.equal(never(batch(1), LENGTHS, 0)[0], batch(1))
    assert never.filled == 39
    assert never.applied.take() == {"mixed_frames": (0.0, 39.0)}
    always = Mixup()
    for _ in range(3):
        always(batch(1), LENGTHS, 0)
    assert always.applied.take() == {"mixed_frames": (26.0, 39.0)}


@pytest.mark.parametrize(
    "options",
    [{"buffer_frames": 0}, {"max_stretches": 0}, {"probability": 1.5}, {"min_share": 0.5}],
)
def test_wrong_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Mixup(**options)
