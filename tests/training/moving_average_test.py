from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asrkit.training.checkpoints import load, load_weights, resolve
from asrkit.training.keeping import Checkpoints, ReloadBest
from asrkit.training.moving_average import Averaging, MovingAverage
from tests.training.programs.toy import ToyModel, make_batch
from tests.training.stops import make_trainer, require_same_ends


def test_a_stopped_training_ends_with_the_same_average(tmp_path: Path) -> None:
    state = require_same_ends(tmp_path, moving_average=MovingAverage(0.8))
    assert state["averaged_updates"] == 10
    weights = load_weights(resolve(tmp_path / "stopped", "last"))
    name = "layers.0.weight"
    assert torch.equal(weights[name], state["average"][name])
    assert not torch.equal(weights[name], state["model"][name])


def test_the_average_is_that_of_its_definition(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, moving_average=MovingAverage(0.2))
    expected = torch.zeros(16, 6)
    for number in range(5):
        trainer.train_step([make_batch(number, 3)])
        weight = trainer.model.state_dict()["layers.0.weight"]
        decay = min(0.2, (1 + number) / (10 + number)) if number else 0.0
        expected = decay * expected + (1 - decay) * weight
    averaged = trainer.average.model(trainer.model).state_dict()["layers.0.weight"]
    torch.testing.assert_close(averaged, expected)


def test_the_average_is_judged_and_training_goes_on_with_the_weights(tmp_path: Path) -> None:
    plain = make_trainer(tmp_path / "plain")
    plain.run()
    averaged = make_trainer(tmp_path / "averaged", moving_average=MovingAverage(0.9))
    averaged.run()
    ends = [load(resolve(tmp_path / name, "last")) for name in ("plain", "averaged")]
    assert torch.equal(ends[0]["model"]["layers.0.weight"], ends[1]["model"]["layers.0.weight"])
    assert ends[0]["saved"]["dev"] != ends[1]["saved"]["dev"]
    assert averaged.average.model(averaged.model) is not averaged.model


def test_going_back_to_a_better_epoch_begins_a_new_average(tmp_path: Path) -> None:
    settings = {
        "moving_average": MovingAverage(0.9),
        "checkpoints": Checkpoints(reload_best=ReloadBest(last=2)),
    }
    trainer = make_trainer(tmp_path, **settings)
    trainer.train_epoch()
    trainer.finish_epoch()
    best = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train_epoch()
    with torch.no_grad():
        trainer.model.get_parameter("layers.0.weight").mul_(100.0)
    trainer.average.restart()
    trainer.average.update(trainer.model)
    trainer.finish_epoch()
    trainer.reload()
    assert torch.equal(trainer.model.state_dict()["layers.0.weight"], best["layers.0.weight"])
    trainer.average.update(trainer.model)
    assert trainer.average.state_dict()["averaged_updates"] == 1


def test_no_setting_is_no_average() -> None:
    model = ToyModel()
    none = Averaging(None, model)
    none.update(model)
    assert none.model(model) is model
    assert none.state_dict() == {}
    with pytest.raises(ValueError, match=r"decay \(1.0\) must be below 1"):
        MovingAverage(1.0)
