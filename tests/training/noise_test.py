from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asrkit.config.ordered import Ordered
from asrkit.errors import UserError
from asrkit.training.checkpoints import Entry
from asrkit.training.keeping import Checkpoints, ReloadBest
from asrkit.training.noise import (
    GradientNoise,
    WeightChange,
    WeightDropout,
    WeightNoise,
    changed_weights,
)
from asrkit.training.schedules import Constant
from asrkit.training.trainer import Trainer
from asrkit.training.updates import Update
from tests.training.trainer_test import toy


def make_trainer(run: Path, **options: Any) -> Trainer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "epochs": 2,
        "optimizer": toy.AdamW(),
        "schedule": Constant(0.01),
        "checkpoints": Checkpoints(save_steps=2),
    }
    return Trainer(toy.ToyModel(), toy.make_job(run), **{**settings, **options})


@pytest.mark.parametrize("change", [WeightNoise("weight", 0.5), WeightDropout("weight", 0.5)])
def test_weights_change_inside_and_come_back_exactly(change: WeightChange) -> None:
    model = nn.Linear(20, 20)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inside = []
    for seed in (1, 1, 2):
        with changed_weights(model, {"own": change}, seed):
            inside.append(model.weight.detach().clone())
            assert torch.equal(model.bias, before["bias"])
        assert torch.equal(model.weight, before["weight"])
    assert torch.equal(inside[0], inside[1])
    assert not torch.equal(inside[0], inside[2])
    with pytest.raises(RuntimeError), changed_weights(model, {"own": change}, 3):
        raise RuntimeError
    assert torch.equal(model.weight, before["weight"])


def test_weight_dropout_gives_the_gradient_of_masked_weights() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(5, 4), torch.randn(3, 5)
    with changed_weights(model, {"own": WeightDropout("weight", 0.4)}, seed=7):
        model(x).square().sum().backward()
    torch.manual_seed(7)
    mask = (torch.rand_like(model.weight) >= 0.4) / 0.6
    weight = model.weight.detach().clone().requires_grad_()
    nn.functional.linear(x, weight * mask, model.bias.detach()).square().sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(model.weight.grad, weight.grad)
    assert 0 < (mask == 0).sum() < mask.numel()


def test_gradient_noise_has_the_variance_of_its_step() -> None:
    model = nn.Linear(200, 200)
    for step in (1, 100):
        model.weight.grad = torch.zeros_like(model.weight)
        GradientNoise(scale=0.3).add(model, step, seed=1)
        variance = float(model.weight.grad.var())
        assert variance == pytest.approx(0.3 / step**0.55, rel=0.05)
    assert model.bias.grad is None


CHANGES = Ordered(a=WeightNoise("0.weight", 0.01), b=WeightDropout("3.weight", 0.1))
NOISY = {"update": Update(weight_changes=CHANGES, gradient_noise=GradientNoise(0.001))}


def test_a_noisy_training_that_was_interrupted_ends_the_same(tmp_path: Path) -> None:
    make_trainer(tmp_path / "plain").run()
    make_trainer(tmp_path / "whole", **NOISY).run()
    killed = make_trainer(tmp_path / "killed", **NOISY)
    killed.stop.ask()
    with pytest.raises(UserError, match="continues from here"):
        killed.run()
    make_trainer(tmp_path / "killed", **NOISY).run()
    plain, whole, again = (
        make_trainer(tmp_path / name, **NOISY) for name in ("plain", "whole", "killed")
    )
    for trainer in (plain, whole, again):
        trainer.restore()
        assert trainer.step == 24
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
        assert not torch.equal(tensor, plain.model.state_dict()[name]), name


def test_patterns_that_select_nothing_are_refused(tmp_path: Path) -> None:
    changes: Ordered[WeightChange] = Ordered(a=WeightNoise("nothing", 0.1))
    with pytest.raises(ValueError, match="'nothing' selects no trained parameter"):
        make_trainer(tmp_path, update=Update(weight_changes=changes))
    with pytest.raises(ValueError, match="above 0 and below 1"):
        WeightDropout("weight", 1.0)


def test_a_worse_epoch_is_forgotten(tmp_path: Path) -> None:
    rule = ReloadBest(last=3, margin=0.1, from_epoch=2)
    devs = {1: 0.1, 2: 1.0, 3: 2.0, 4: 3.0, 5: 1.05}
    entries = [Entry(10 * epoch, epoch, dev) for epoch, dev in devs.items()]
    chosen = [rule.choose(entries, epoch) for epoch in range(1, 6)]
    assert [e.epoch if e else None for e in chosen] == [None, None, 2, 2, None]

    kept = Checkpoints(keep_best=1, keep_last=1, save_steps=2, reload_best=ReloadBest(last=2))
    trainer = make_trainer(tmp_path, checkpoints=kept)
    trainer.schedule = Constant(0.001)
    trainer.epochs = 1
    trainer.run()
    good = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.epochs, trainer.schedule = 2, Constant(10.0)
    trainer.run()
    again = make_trainer(tmp_path, checkpoints=kept)
    again.restore()
    assert again.epoch == 3
    assert again.optimizer.state
    again.reload()
    assert not again.optimizer.state
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, good[name])


def test_accumulation_changes_with_the_epoch(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, update=Update([(1, 3), (2, 1)]))
    trainer.run()
    assert trainer.step == 4 + 12
    for wrong in (0, [], [(2, 1)], [(1, 2), (1, 3)]):
        with pytest.raises(ValueError, match="accumulate"):
            Update(wrong)
