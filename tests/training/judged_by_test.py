"""A named dev score decides about rates and best checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import LossPart, LossReport
from asrkit.training.checkpoints import read_index
from asrkit.training.epoch_schedules import Newbob
from tests.training.programs.toy import ToyModel, ToySource, make_job
from tests.training.resume_test import read
from tests.training.stops import make_trainer


class Counting(ToyModel):
    """Its error rate falls from epoch to epoch by the number of updates."""

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        report = super().forward(batch, step)
        error = report["toy.loss"].total.detach() * 0 + 100.0 - step
        return {**report, "toy.errors": LossPart(error, 1, weight=0.0)}


def test_the_schedule_and_the_best_checkpoint_follow_the_score(tmp_path: Path) -> None:
    seen = []

    class Watching(Newbob):
        def observe(self, epoch: int, dev: float) -> None:
            seen.append(dev)
            super().observe(epoch, dev)

    trainer = make_trainer(tmp_path, schedule=Watching(start=0.01), judged_by="toy.errors")
    model = Counting()
    model.load_state_dict(trainer.model.state_dict())
    trainer.model = model
    trainer.run()
    assert seen == [95.0, 90.0]
    devs = {entry.epoch: entry.dev for entry in read_index(trainer.store.folder)}
    assert devs == {1: 95.0, 2: 90.0}
    log, _ = read(tmp_path)
    assert [entry["objective"] for entry in log] == [entry["dev"]["toy.loss"] for entry in log]
    assert trainer.best == 90.0


def test_an_unknown_score_is_refused_at_the_first_update(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, judged_by="ctc.loss")
    with pytest.raises(UserError, match=r"unknown score 'ctc.loss'; this model has toy.loss"):
        trainer.run()
    assert trainer.step == 0


def test_a_score_needs_a_dev_set(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    nothing = type(job)(job.train, ToySource(0), tmp_path, seed=1)
    with pytest.raises(ValueError, match="judged_by needs a dev set"):
        make_trainer(tmp_path, job=nothing, judged_by="toy.loss")
