from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from asrkit.training.loss_scale import LossScale, Scaler
from asrkit.training.updates import Update
from tests.training.programs.toy import make_batch
from tests.training.stops import make_trainer, require_same_ends


@pytest.fixture(autouse=True)
def half_precision_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else float32 would take its place on CPUs without instructions for it."""
    monkeypatch.setattr("asrkit.cpu.slowdown", lambda dtype: 1.0)


def test_a_stopped_training_in_half_precision_ends_the_same(tmp_path: Path) -> None:
    scaled = Update(precision="fp16", loss_scale=LossScale(2.0**20, growth_steps=3))
    state = require_same_ends(tmp_path, update=scaled)
    assert state["loss_scale"]["scale"] < 2.0**20, "gradients should have overflowed"
    assert 0 < state["optimizer"]["state"][0]["step"] < 10


def test_a_scale_that_is_a_power_of_two_changes_no_gradient(tmp_path: Path) -> None:
    norms, weights = [], []
    for number, scale in enumerate([None, LossScale(1024.0)]):
        trainer = make_trainer(tmp_path / str(number), update=Update(loss_scale=scale))
        norms.append(trainer.train_step([make_batch(3, 4)])[1])
        weights.append(trainer.model.state_dict()["layers.0.weight"])
    assert norms[0] == norms[1]
    assert torch.equal(*weights)


def test_overflows_lower_the_scale_and_change_no_weight(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scaled = Update(precision="fp16", loss_scale=LossScale(2.0**40), max_nonfinite=2)
    trainer = make_trainer(tmp_path, update=scaled)
    before = trainer.model.state_dict()["layers.0.weight"].clone()
    with caplog.at_level(logging.INFO):
        for _ in range(3):  # more than would end a training with wrong losses
            trainer.train_step([make_batch(3, 4)])
    assert trainer.gradients.scaler.scale == 2.0**37
    assert "step 3: gradients overflow; skipped, loss scale is now 1.37439e+11" in caplog.text
    assert torch.equal(trainer.model.state_dict()["layers.0.weight"], before)
    assert not trainer.totals.values()


def test_the_scale_grows_after_updates_without_an_overflow() -> None:
    scaler = Scaler(LossScale(8.0, growth_steps=2))
    for _ in range(3):
        scaler.fits()
    assert scaler.state_dict() == {"scale": 16.0, "good": 1}
    assert scaler.overflows(1)
    assert scaler.state_dict() == {"scale": 8.0, "good": 0}
    least = Scaler(LossScale(1.0))
    assert not least.overflows(1), "without any scale the reason is another"
    assert not Scaler(None).overflows(1)


def test_half_precision_needs_a_scale() -> None:
    with pytest.raises(ValueError, match="fp16 needs a loss_scale"):
        Update(precision="fp16")
