"""What augmentation and regularisation really did is counted, and survives an interruption."""

from __future__ import annotations

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.models.heads.transducer.parts import LabelDropout
from asrkit.nn.applied import Applied, applied_in
from asrkit.nn.augment import FrameDrop, Masks, SpecAugment, Strength
from asrkit.nn.dropout import Dropout
from asrkit.nn.residual import Place, StochasticDepth
from asrkit.nn.switchout import Switchout
from asrkit.nn.volume import VolumePerturbation
from asrkit.nn.zoneout import Zoneout
from asrkit.training.applied import EVERY, AppliedTotals, Sampling
from asrkit.training.distributed import World
from asrkit.training.noise import GradientNoise, WeightDropout, WeightNoise, changed_weights
from asrkit.training.updates import Gradients, Update


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


def test_dropout_and_zoneout_have_their_probability() -> None:
    torch.manual_seed(0)
    drop = Dropout(0.3)
    drop(torch.cat([torch.ones(20, 1000), torch.zeros(20, 1000)]))  # what is 0 can't be dropped
    assert share(drop, "dropped_values") == pytest.approx(0.3, abs=0.02)
    drop.shared = frozenset(["time"])
    drop(torch.ones(4000, 5, 2))
    assert share(drop, "dropped_values") == pytest.approx(0.3, abs=0.02)
    assert drop.eval()(torch.ones(3)).sum() == 3
    assert drop.applied.take() == {}
    labels = LabelDropout(0.5)
    labels(torch.ones(3, 4000))
    assert share(labels, "dropped_values") == pytest.approx(0.5, abs=0.03)
    layer = torch.nn.LSTM(2, 50, batch_first=True)
    layer.zoneout = Zoneout(cell=0.2, output=0.1)
    layer.zoneout.run(layer, torch.ones(20, 20, 2), None)
    ((name, applied),) = applied_in(layer)
    assert name == "zoneout"
    found = applied.take()
    assert {kind: part / of for kind, (part, of) in found.items()} == {
        "kept_outputs": pytest.approx(0.1, abs=0.02),
        "kept_cells": pytest.approx(0.2, abs=0.02),
    }


def test_what_updates_do_is_counted() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(100, 100, bias=False)
    torch.nn.init.ones_(model.weight)
    applied = Applied()
    changes = {"noise": WeightNoise("weight", 0.3), "drop": WeightDropout("weight", 0.2)}
    with changed_weights(model, {"noise": changes["noise"]}, 1, applied):
        pass
    with changed_weights(model, {"drop": changes["drop"]}, 1, applied):
        pass
    model.weight.grad = torch.zeros(100, 100)
    GradientNoise(0.01).add(model, 1, 1, applied)
    assert {name: part / of for name, (part, of) in applied.take().items()} == {
        "weight_changes.noise": pytest.approx(0.3, rel=0.05),
        "weight_changes.drop": pytest.approx((0.2 / 0.8) ** 0.5, rel=0.05),
        "gradient_noise": pytest.approx(1.0),
    }
    model.weight.grad.fill_(1.0)  # of norm 100
    for longest in (50.0, 150.0):
        gradients = Gradients(World(0, 1, torch.device("cpu")), 1, Update(max_grad_norm=longest))
        gradients.add = lambda *_: []  # type: ignore[method-assign]
        gradients.make(model, torch.optim.SGD(model.parameters()), [], 0)
        totals = AppliedTotals()
        totals.collect(model, gradients.applied)
        assert totals.values() == {"update.clipped": float(longest < 100)}
        model.weight.grad.fill_(1.0)


def test_what_is_costly_is_counted_in_some_updates() -> None:
    drop, update = Dropout(0.5), Applied()
    sampling = Sampling(drop, update)
    for step in range(2 * EVERY):
        sampling.begin(step)
        drop(torch.ones(10))
    assert drop.applied.take()["dropped_values"][1] == 2 * 10


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
