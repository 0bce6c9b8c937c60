"""What is only shown costs no epoch: each is saved before, and told once."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import TrainableModel
from asrkit.training.checkpoints import read_index
from asrkit.training.metrics import read_log
from asrkit.training.signals import InterruptedTrainingError
from tests.training.trainer_test import toy


def finished(run: Path) -> list[int]:
    return [e.epoch for e in read_index(run / "checkpoints") if e.dev is not None]


def test_pictures_that_fail_are_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def describe(model: TrainableModel, writer: Any, epoch: int) -> None:
        raise ValueError("no TeX")

    trainer = toy.make_trainer(tmp_path, 1)
    trainer.describe = describe
    with caplog.at_level(logging.WARNING):
        trainer.run()
    assert finished(tmp_path) == [1, 2, 3]
    assert caplog.text.count("pictures of dev can't be shown: no TeX") == 1


def test_tensorboard_without_a_folder_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tensorboard").write_text("a file is here")
    with caplog.at_level(logging.WARNING):
        toy.make_trainer(tmp_path, 1).run()
    assert finished(tmp_path) == [1, 2, 3]
    assert caplog.text.count("TensorBoard can't be shown") == 1


def test_a_writer_that_fails_later_is_a_warning_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = toy.make_trainer(tmp_path, 1)

    def describe(model: TrainableModel, writer: Any, epoch: int) -> None:
        def full(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        writer.file_writer.event_writer._async_writer._writer.write = full

    trainer.describe = describe
    with caplog.at_level(logging.WARNING):
        trainer.run()
    assert finished(tmp_path) == [1, 2, 3]
    assert caplog.text.count("TensorBoard can't be shown: [Errno 28]") == 1
    assert "Traceback" not in capsys.readouterr().err


def shown(run: Path) -> tuple[list[int], list[int]]:
    """Returns the steps of points and the epochs of texts."""
    size = {"scalars": 0, "tensors": 0}
    events = EventAccumulator(str(run / "tensorboard"), size_guidance=size)
    events.Reload()
    points, texts = events.Scalars("dev/toy.loss"), events.Tensors("dev/text/text_summary")
    return [event.step for event in points], [event.step for event in texts]


def test_tensorboard_has_every_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files of one second and process are read in the order of their names: 100 before 99.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))

    def describe(model: TrainableModel, writer: Any, epoch: int) -> None:
        writer.add_text("dev/text", "text", epoch)

    def train(epochs: int) -> None:
        trainer = toy.make_trainer(tmp_path, 1)
        trainer.epochs, trainer.describe = epochs, describe
        trainer.run()

    for epochs in (1, 2, 3):
        train(epochs)
    assert shown(tmp_path) == ([12, 24, 36], [1, 2, 3])
    for step in (24, 36, 34):  # it goes back to epoch 1, whatever was shown of others
        (tmp_path / "checkpoints" / f"step-000000{step}.pt").write_bytes(b"")
    train(3)
    assert shown(tmp_path) == ([12, 24, 36], [1, 2, 3])
    assert [entry["epoch"] for entry in read_log(tmp_path / "log.jsonl")] == [1, 2, 3]


class Dev:
    """A dev set that fails, or in which a signal comes."""

    def __init__(self, whole: Any, trainer: Any, fails: bool) -> None:
        self.whole, self.trainer, self.fails = whole, trainer, fails
        self.used = 0

    def num_batches(self, epoch: int) -> int:
        count: int = self.whole.num_batches(epoch)
        return count

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in self.whole.batches(epoch):
            self.used += 1
            if self.fails:
                raise UserError("memory is short")
            self.trainer.stop.ask(signal.SIGHUP)
            yield batch


@pytest.mark.parametrize("fails", [True, False])
def test_an_evaluation_that_fails_or_is_stopped_costs_no_training(
    tmp_path: Path, fails: bool
) -> None:
    toy.make_trainer(tmp_path / "whole", 1).run()
    trainer = toy.make_trainer(tmp_path / "run", 1)
    dev = trainer.dev = Dev(trainer.dev, trainer, fails)
    expected = UserError if fails else InterruptedTrainingError
    with pytest.raises(expected):
        trainer.run()
    assert dev.used == 1, "of four batches"
    again = toy.make_trainer(tmp_path / "run", 1)
    again.restore()
    assert (again.epoch, again.batch) == (1, 12)
    again = toy.make_trainer(tmp_path / "run", 1)
    again.run()
    steps = [entry["step"] for entry in read_log(tmp_path / "run" / "log.jsonl")]
    assert steps == [12, 24, 36]
    whole = toy.make_trainer(tmp_path / "whole", 1)
    whole.restore()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
