"""A tiny training run, for tests that kill it or start it several times.

python toy.py RUN ACCUMULATE PAUSE [STEPS AVERAGED]

With STEPS, processes average their parameters every so many steps, or all that AVERAGED says, and
the run is stopped and started again in its first epoch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossPart, LossReport, TrainableModel
from asrkit.training.distributed import init_distributed
from asrkit.training.exchange import Exchange, GradientAverage, ParameterAverage
from asrkit.training.job import Job
from asrkit.training.keeping import Checkpoints
from asrkit.training.optimizers import AdamW
from asrkit.training.schedules import Noam
from asrkit.training.signals import InterruptedTrainingError
from asrkit.training.trainer import Trainer
from asrkit.training.updates import Update


class ToyModel(TrainableModel):
    """Regression with dropout, so that randomness matters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        error = (self.layers(batch.signal).squeeze(2) - batch.signal.sum(2)).square().sum(1)
        count = int(batch.label_lengths.sum())
        return {"toy.loss": LossPart(error.sum(), count, 1.0, error.detach())}


class NormedModel(ToyModel):
    """The same with batch norm, whose statistics differ between processes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        signal = self.norm(batch.signal.transpose(1, 2)).transpose(1, 2)
        return super().forward(replace(batch, signal=signal), step)


class ToySource:
    """Random batches, a function of epoch and number only."""

    def __init__(self, per_epoch: int, rank: int = 0, size: int = 1, pause: float = 0.0) -> None:
        self.numbers = range(rank, per_epoch, size)
        self.pause = pause

    def num_batches(self, epoch: int) -> int:
        return len(self.numbers)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for number in self.numbers[start:]:
            time.sleep(self.pause)
            yield make_batch(1000 * epoch + number, 2 + number % 3)


def make_batch(seed: int, size: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(size, 3, 6, generator=generator)
    lengths = torch.full((size,), 3)
    return Batch([f"u{seed}-{i}" for i in range(size)], signal, lengths, lengths[:, None], lengths)


def make_job(run: Path, per_epoch: int = 12, pause: float = 0.0) -> Job:
    world = init_distributed()
    train = ToySource(per_epoch, world.rank, world.size, pause)
    return Job(train, ToySource(4, world.rank, world.size), run, seed=1)


def make_trainer(
    run: Path,
    accumulate: int,
    per_epoch: int = 12,
    pause: float = 0.0,
    exchange: Exchange = GradientAverage(),  # noqa: B008 - has no state
    save_steps: int = 2,
    kind: type[ToyModel] = ToyModel,
) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        kind(),
        make_job(run, per_epoch, pause),
        epochs=3,
        optimizer=AdamW(),
        schedule=Noam(peak=0.01, warmup_steps=5),
        update=Update(accumulate, exchange=exchange),
        checkpoints=Checkpoints(save_steps=save_steps),
    )


def run_with_a_stop(
    run: Path, accumulate: int, steps: int, averaged: Literal["all", "weights"]
) -> None:
    """Asks rank 0 to stop at once, and goes on with a new trainer."""

    def make() -> Trainer:
        exchange = ParameterAverage(steps, averaged=averaged)
        return make_trainer(run, accumulate, exchange=exchange, save_steps=steps, kind=NormedModel)

    trainer = make()
    if trainer.world.rank == 0:
        trainer.stop.ask()
    try:
        trainer.run()
    except InterruptedTrainingError:
        assert trainer.step == steps
        make().run()
    else:
        raise AssertionError("the run was not stopped")


if __name__ == "__main__":
    folder, accumulated, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    if len(sys.argv) > 4:
        words: dict[str, Literal["all", "weights"]] = {"all": "all", "weights": "weights"}
        run_with_a_stop(folder, accumulated, int(sys.argv[4]), words[sys.argv[5]])
    else:
        make_trainer(folder, accumulated, pause=pause).run()
