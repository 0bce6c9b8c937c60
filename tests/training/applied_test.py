"""What augmentation and regularisation really did is counted, and survives an interruption."""

from __future__ import annotations

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.nn.applied import Applied, applied_in
from asrkit.nn.augment import FrameDrop, Masks, SpecAugment, Strength
from asrkit.nn.residual import Place, StochasticDepth
from asrkit.nn.switchout import Switchout
from asrkit.nn.volume import VolumePerturbation
from asrkit.training.applied import AppliedTotals
from asrkit.training.distributed import World


def share(module: torch.nn.Module, name: str) -> float:
    ((_, applied),) = applied_in(module)
    part, of = applied.take()[name]
    return part / of


def test_masks_are_those_that_are_seen() -> None:
    torch.manual_seed(0)
    masks = SpecAugment(Masks(1, 3, 5), Masks(0, 2, 3))
    lengths = torch.tensor([40, 25])
    masked = masks(torch.ones(2, 40, 10), lengths, 0)[0] == 0  # (B, T, F)
    frames = masked.all(2)  # (B, T)
    ((_, applied),) = applied_in(masks)
    found = applied.take()
    assert found["masked_frames"] == (float(frames.sum()), 65.0)
    assert found["masked_bins"] == (float((masked & ~frames[..., None]).any(1).sum()), 20.0)
    assert applied.take() == {}


def test_masks_that_come_later_are_counted_as_none() -> None:
    masks = SpecAugment(Masks(1, 3, 5), Masks(0, 2, 3), [Strength(100)])
    masks(torch.ones(2, 40, 10), torch.tensor([40, 25]), 99)
    assert share(masks, "masked_frames") == 0.0


def test_what_is_skipped_dropped_replaced_and_changed_has_its_probability() -> None:
    torch.manual_seed(0)
    depth = StochasticDepth(Place(1, 1, 1, 1), survival=0.3, per="sequence")
    depth(torch.ones(4000, 1, 1))
    assert share(depth, "skipped") == pytest.approx(0.7, abs=0.03)
    drop = FrameDrop(0.2, min_frames=1)
    drop(torch.ones(4, 1000, 1), torch.full((4,), 1000), 0)
    assert share(drop, "dropped_frames") == pytest.approx(0.2, abs=0.03)
    switch = Switchout(0.1, num_labels=5)
    switch(torch.zeros(4000, dtype=torch.int64))
    assert share(switch, "replaced_labels") == pytest.approx(0.1, abs=0.03)
    volume = VolumePerturbation(probability=0.4)
    volume.on_samples(torch.ones(4000, 2), torch.full((4000,), 2), 0)
    assert share(volume, "changed") == pytest.approx(0.4, abs=0.03)
    depth.eval()(torch.ones(4, 1, 1))
    assert depth.applied.take() == {}  # evaluation is not training


def test_shares_are_of_what_there_was_or_of_their_group() -> None:
    applied = Applied()
    applied.count("masked", torch.tensor(3), torch.tensor(10))
    applied.count("masked", 1, 10)
    module = torch.nn.Module()
    module.applied = applied  # type: ignore[assignment]
    totals = AppliedTotals()
    none = torch.zeros(4, 1)
    batch = Batch([*"abcd"], none, none, none, none, speeds=[0.9, 1.0, 1.0, 1.1])
    totals.add_batches([batch, batch])
    totals.collect(module)
    restored = AppliedTotals()
    restored.load_state_dict(totals.state_dict())
    restored.collect(module)
    found = restored.reduced(World(0, 1, torch.device("cpu"))).values()
    assert found == {"masked": 0.2, "speed.0.9": 0.25, "speed.1": 0.5, "speed.1.1": 0.25}
