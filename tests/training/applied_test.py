"""What augmentation and regularisation really did is counted, and survives an interruption."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy
from asrkit.losses.ctc import smoothed_ctc_loss
from asrkit.losses.frame_loss import frame_losses
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank
from asrkit.models.heads.transducer.parts import LabelDropout
from asrkit.nn.applied import Applied, applied_in
from asrkit.nn.attention import attend
from asrkit.nn.augment import FrameDrop, Masks, SpecAugment, Strength
from asrkit.nn.constraints import SemiOrthogonalLinear, constrain
from asrkit.nn.dense_warp import DenseWarp, Flow
from asrkit.nn.dropout import ContinuousDropout, Dropout
from asrkit.nn.fused_attention import count_dropped_keys
from asrkit.nn.residual import Place, StochasticDepth
from asrkit.nn.score_gradients import DistanceGradient
from asrkit.nn.switchout import Switchout
from asrkit.nn.volume import VolumePerturbation
from asrkit.nn.zoneout import Zoneout
from asrkit.training.applied import EVERY, AppliedTotals, Sampling
from asrkit.training.decay import count_decay
from asrkit.training.distributed import World
from asrkit.training.noise import GradientNoise, WeightDropout, WeightNoise, changed_weights
from asrkit.training.optimizers import Adam, AdamW
from asrkit.training.updates import Gradients, Update
from tests.devices import DEVICES


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


def attended(applied: Applied, shared: bool = False) -> torch.Tensor:
    """Attends to 40 or 25 of 40 frames with dropout of 0.3."""
    query, key, value = torch.randn(3, 2, 4, 40, 8).unbind(0)
    allowed = (torch.arange(40) < torch.tensor([[40], [25]]))[:, None, None]  # (B, 1, 1, T)
    options: dict[str, Any] = {"share_dropout": shared, "applied": applied}
    return attend(query, key, value, allowed, dropout_probability=0.3, **options)


def test_dropout_of_attention_weights_has_its_probability() -> None:
    torch.manual_seed(0)
    applied = Applied()
    attended(applied)
    part, of = applied.take()["dropped_values"]
    assert of == 4 * 40 * (40 + 25)
    assert part / of == pytest.approx(0.3, abs=0.02)
    attended(applied, shared=True)
    part, of = applied.take()["dropped_values"]
    assert part / of == pytest.approx(0.3, abs=0.25)  # of 40 frames
    applied.sampled = False
    attended(applied)
    assert applied.take() == {}


@pytest.mark.parametrize("device", DEVICES)
def test_dropout_of_fused_attention_is_counted_and_draws_nothing(device: str) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 4, 40, 8, device=device).unbind(0)
    allowed = torch.ones(3, 1, 40, 40, dtype=torch.bool, device=device)
    allowed[0, ..., 24:] = False
    allowed[0, :, 7] = False  # where nothing is seen, nothing is dropped
    places = [torch.device(device)] if device == "cuda" else []
    with torch.random.fork_rng(places):
        expected = torch.rand(5, device=device)
    applied = Applied()
    count_dropped_keys(query, key, allowed, 0.3, applied)
    assert torch.equal(torch.rand(5, device=device), expected)
    part, of = applied.take()["dropped_values"]
    assert of == 4 * 39 * 24
    assert part / of == pytest.approx(0.3, abs=0.03)
    applied.sampled = False
    count_dropped_keys(query, key, allowed, 0.3, applied)
    assert applied.take() == {}


def test_smoothed_targets_and_focal_losses_are_counted() -> None:
    torch.manual_seed(0)
    applied = Applied()
    logits, mask = torch.randn(2, 5, 7), torch.arange(5) < torch.tensor([[5], [3]])
    plain = cross_entropy(logits, torch.zeros(2, 5).long(), mask, applied=applied)
    assert applied.take() == {}
    focal = cross_entropy(logits, torch.zeros(2, 5).long(), mask, 0.0, 2.0, applied)
    assert applied.take()["focal_loss"] == pytest.approx(
        (float((plain - focal).sum()), float(plain.sum()))
    )
    cross_entropy(logits, torch.zeros(2, 5).long(), mask, 0.2, applied=applied)
    assert applied.take()["smoothed_probability"] == pytest.approx((0.2 * 8, 8.0))
    labels, sizes = torch.tensor([[0, 1], [2, 2]]), torch.tensor([2, 1])
    given = (logits.log_softmax(2), torch.tensor([5, 3]), labels, sizes)
    smoothed_ctc_loss(*given, 0.2, "symbols", applied)
    part, of = applied.take()["smoothed_probability"]
    assert of == pytest.approx(8.0)
    assert 0.05 < part / of <= 0.2  # what is spread already has less to give
    symbols = torch.tensor([[0, 6, 2, 3, 6]])  # blank is 6
    for blank, share in (
        (SoftmaxBlank(0.2), 0.2),
        (SigmoidBlank(0.2, "symbols"), 0.2),
        (SigmoidBlank(0.2, "labels"), 0.2),
        (SoftmaxBlank(), None),
    ):
        scores = torch.randn(1, 5, 7, requires_grad=True)
        frame_losses(scores, symbols, blank).sum().backward()
        found = blank.applied.take()
        assert (found == {}) == (share is None)
        if share is not None:
            part, of = found["smoothed_probability"]
            assert part / of == pytest.approx(share, rel=0.2), blank


def test_changes_of_features_gradients_and_matrices_are_counted() -> None:
    torch.manual_seed(0)
    drop = ContinuousDropout(0.2)
    drop(torch.ones(200, 3, 20))
    assert share(drop, "change") == pytest.approx(0.2, rel=0.1)
    warp = DenseWarp([Flow(10, time=2.0)], frame_spacing=1)
    features, lengths = torch.randn(2, 400, 8), torch.tensor([400, 300])
    warp(features, lengths, 9)
    assert share(warp, "shift") == 0.0
    warp(features, lengths, 10)
    counts = warp.applied.take()
    assert counts["shift"][0] / counts["shift"][1] == pytest.approx(1.6, rel=0.1)  # mean of |x|
    assert counts["feature_shift"][0] == 0.0
    gradient = DistanceGradient(0.0, dropout=0.5)
    gradient.factors(60, torch.device("cpu"))
    part, of = gradient.applied.take()["change"]
    assert part / of == pytest.approx(1.0)  # 0 or 2 instead of 1
    layer = SemiOrthogonalLinear(8, 4, interval=2)
    before = layer.weight.detach().clone()
    constrain(layer, 1)
    assert layer.applied.take() == {}
    constrain(layer, 2)
    moved = float((layer.weight.detach() - before).norm())
    assert layer.applied.take()["moved"] == pytest.approx((moved, float(before.norm())))


def test_weight_decay_is_a_share_of_weights_or_of_the_gradient() -> None:
    model = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.ones_(model.weight)
    for factory, name, expected in (
        (AdamW(weight_decay=0.1), "weight_decay", 0.5 * 0.1),
        (Adam(weight_decay=0.1), "l2_gradient", 0.1 * 1.0 / 2.0),
        (Adam(), "", 0.0),
    ):
        optimizer = factory(model)
        optimizer.param_groups[0]["lr"] = 0.5
        model.weight.grad = torch.full((3, 3), 2.0)
        applied = Applied()
        count_decay(optimizer, factory.is_decoupled(), applied)
        found = {key: part / of for key, (part, of) in applied.take().items()}
        assert found == ({name: pytest.approx(expected)} if name else {})


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
    lengths = torch.tensor([1, 2, 3, 6])
    batch = Batch([*"abcd"], none, none, none, lengths, speeds=[0.9, 1.0, 1.0, 1.1])
    totals.add_batches([batch, batch])
    totals.collect(module)
    restored = AppliedTotals()
    restored.load_state_dict(totals.state_dict())
    restored.collect(module)
    found = restored.reduced(World(0, 1, torch.device("cpu"))).values()
    assert found.pop("labels_per_utterance") == 3.0
    assert found == {"masked": 0.2, "speed.0.9": 0.25, "speed.1": 0.5, "speed.1.1": 0.25}
