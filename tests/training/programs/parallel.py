"""Trainings of two processes in which one has less to do than the other.

python parallel.py FOLDER NAME...

FOLDER/NAME.pt gets the weights of each; the process that fails in "raises" says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossReport
from asrkit.training.exchange import Exchange, GradientAverage, ParameterAverage
from asrkit.training.trainer import Trainer
from tests.training.programs.toy import ToyModel, make_trainer


class TooLong(ToyModel):
    """Memory runs out for one utterance of each fifth batch, in its backward pass."""

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the loss."""
        report: LossReport = super().forward(batch, step)
        if self.training and any(name.endswith("2-0") for name in batch.ids):
            report["toy.loss"].total.backward()  # some parameters have their gradient already
            raise torch.cuda.OutOfMemoryError("toy")
        return report


def make(run: Path, name: str) -> Trainer:
    """Returns a trainer of five batches an epoch."""
    exchange: Exchange = ParameterAverage(2) if name == "averaged" else GradientAverage()
    trainer = make_trainer(run / name, 2 if name == "leftovers" else 1, 5, exchange=exchange)
    if name in ("memory", "alone"):
        model = TooLong()
        model.load_state_dict(trainer.model.state_dict())
        trainer.model = model
        trainer.optimizer = trainer.make_optimizer(model)
    for layer in trainer.model.modules():
        if isinstance(layer, nn.Dropout) and name != "leftovers":
            layer.p = 0.0  # halves of a batch draw other numbers
    return trainer


def main(folder: Path, names: list[str]) -> None:
    """Trains."""
    for name in names:
        trainer = make(folder, name)
        if name == "raises" and trainer.world.rank == 1:
            trainer.gradients.add = None  # type: ignore[assignment, method-assign]
        trainer.run()
        if trainer.world.rank == 0:
            state = {"model": trainer.model.state_dict(), "step": trainer.step}
            torch.save(state, folder / f"{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
