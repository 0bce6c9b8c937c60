"""Checkpoints are kept by several dev scores, and averaging says which are gone."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import LossPart, LossReport
from asrkit.training.averaging import Averaged, average_run
from asrkit.training.checkpoints import load, read_index
from asrkit.training.keeping import Checkpoints
from asrkit.training.trainer import Trainer
from tests.training.programs.toy import ToyModel, ToySource, make_job
from tests.training.stops import make_trainer, stop_after_an_update

SCORES = {  # by epoch: the first is what the training is judged by
    1: (1.0, {"ctc.loss": 6.0, "attention.loss": 9.0}),
    2: (4.0, {"ctc.loss": 2.0, "attention.loss": 8.0}),
    3: (2.0, {"ctc.loss": math.nan, "attention.loss": 3.0}),
    4: (3.0, {"ctc.loss": 2.0}),
    5: (5.0, {"ctc.loss": 5.0, "attention.loss": 4.0}),
    6: (6.0, {"ctc.loss": 7.0, "attention.loss": 7.0}),
}


def keep(run: Path, checkpoints: Checkpoints) -> list[int]:
    """Saves an epoch after the other, as a training does; returns which are kept."""
    store = checkpoints.store(run / "checkpoints")
    lines = []
    for epoch, (score, dev) in SCORES.items():
        saved = {"model": {"w": torch.full((2,), float(epoch))}}
        store.save(saved, 10 * epoch, epoch, None)
        entry = {"epoch": epoch, "seconds": 1, "step": epoch, "lr": 1, "train": {}, "dev": dev}
        lines.append(json.dumps(entry) + "\n")
        (run / "log.jsonl").write_text("".join(lines))
        store.save(saved, 10 * epoch, epoch, score)
    return [entry.epoch for entry in read_index(run / "checkpoints")]


@pytest.mark.parametrize(
    ("count", "by", "kept"),
    [
        (1, [], [1, 6]),
        (1, ["ctc.loss"], [1, 4, 6]),  # the newer one of equal ones
        (1, ["ctc.loss", "attention.loss"], [1, 3, 4, 6]),
        (2, ["ctc.loss"], [1, 2, 3, 4, 6]),
        (2, ["attention.loss"], [1, 3, 5, 6]),
    ],
)
def test_the_best_by_each_score_are_kept(
    tmp_path: Path, count: int, by: list[str], kept: list[int]
) -> None:
    settings = Checkpoints(keep_best=count, keep_best_by=by, keep_last=1)
    assert keep(tmp_path, settings) == kept


def test_averaging_names_the_epochs_that_are_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, Checkpoints(keep_best=1, keep_last=2))
    which = Averaged(best=1, by=["ctc.loss", "attention.loss"])
    with caplog.at_level(logging.WARNING):
        names = load(average_run(tmp_path, which))["averaged"]
    assert names == ["step-00000050.pt"]
    first, second = caplog.messages
    assert first.startswith(
        "ctc.loss: the best 1 include epochs that are no longer kept: epoch 4 (2); averaged "
        "instead: epoch 5 (5); training.checkpoints.keep_best_by: [ctc.loss] keeps"
    )
    assert "attention.loss: the best 1" in second
    assert "epoch 3 (3); averaged instead: epoch 5 (4);" in second


def test_averaging_is_silent_about_what_is_kept_or_not_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["ctc.loss", "attention.loss"]
    keep(tmp_path, Checkpoints(keep_best=1, keep_best_by=names, keep_last=2))
    with caplog.at_level(logging.WARNING):
        average_run(tmp_path, Averaged(best=1, by=names))
        average_run(tmp_path, Averaged(best=2, within=0.3, by=names))  # epochs 5 and 6
        assert caplog.messages == []
        average_run(tmp_path, Averaged(best=2, by=["ctc.loss"]))
    (told,) = caplog.messages
    assert "no longer kept: epoch 2 (2); averaged instead: epoch 5 (5);" in told


class TwoScores(ToyModel):
    """One falls with the updates, one rises."""

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        report = super().forward(batch, step)
        none = report["toy.loss"].total.detach() * 0
        rising, falling = (LossPart(none + n, 1, weight=0.0) for n in (step, 100.0 - step))
        return {**report, "toy.rising": rising, "toy.falling": falling}


def two_scores(run: Path, checkpoints: Checkpoints, **settings: Any) -> Trainer:
    trainer = make_trainer(run, checkpoints=checkpoints, judged_by="toy.falling", **settings)
    model = TwoScores()
    model.load_state_dict(trainer.model.state_dict())
    trainer.model = model
    return trainer


def test_a_training_keeps_by_scores_from_when_it_is_asked_to(tmp_path: Path) -> None:
    without, by = Checkpoints(keep_best=1), Checkpoints(keep_best=1, keep_best_by=["toy.rising"])
    for run, settings, kept in (("one", without, [3, 4]), ("two", by, [1, 3, 4])):
        two_scores(tmp_path / run, settings, epochs=4).run()
        assert [e.epoch for e in read_index(tmp_path / run / "checkpoints")] == kept
    two_scores(tmp_path / "one", by, epochs=6).run()  # what is gone does not come back
    assert [e.epoch for e in read_index(tmp_path / "one" / "checkpoints")] == [3, 5, 6]


def test_a_training_that_is_stopped_keeps_the_same(tmp_path: Path) -> None:
    settings = Checkpoints(keep_best=1, keep_best_by=["toy.rising"], keep_last=1)
    trainer = two_scores(tmp_path, settings, epochs=3)
    stops = 0
    while trainer.epoch < 4:
        stop_after_an_update(trainer)
        try:
            trainer.run()
        except UserError:
            stops += 1
            trainer = two_scores(tmp_path, settings, epochs=3)
    assert stops > 1
    assert [e.epoch for e in read_index(trainer.store.folder)] == [1, 3]


def test_scores_that_cannot_be_are_refused(tmp_path: Path) -> None:
    unknown = two_scores(tmp_path, Checkpoints(keep_best_by=["toy.rising", "toy.rsing"]))
    message = r"keep_best_by: unknown score 'toy.rsing'; this model has toy.falling, toy.loss"
    with pytest.raises(UserError, match=message):
        unknown.run()
    assert unknown.step == 0
    job = make_job(tmp_path)
    nothing = type(job)(job.train, ToySource(0), tmp_path, seed=1)
    with pytest.raises(ValueError, match="checkpoints.keep_best_by needs a dev set"):
        make_trainer(tmp_path, job=nothing, checkpoints=Checkpoints(keep_best_by=["toy.loss"]))
    with pytest.raises(ValueError, match="keep_best is 0, so that nothing is kept by toy.loss"):
        Checkpoints(keep_best=0, keep_best_by=["toy.loss"])
