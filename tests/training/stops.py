"""Trainings that are stopped and continued after every update."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from asrkit.data.batch import Batch
from asrkit.training.checkpoints import load, resolve
from asrkit.training.metrics import Totals
from asrkit.training.optimizers import AdamW
from asrkit.training.schedules import Noam
from asrkit.training.signals import InterruptedTrainingError
from asrkit.training.trainer import Trainer
from tests.training.programs.toy import ToyModel, make_job
from tests.training.resume_test import read


def make_trainer(run: Path, **settings: Any) -> Trainer:
    """Returns the trainer of a toy model with some settings."""
    torch.manual_seed(0)
    usual: dict[str, Any] = {
        "optimizer": AdamW(),
        "schedule": Noam(peak=0.01, warmup_steps=5),
        "epochs": 2,
    }
    usual |= {"job": make_job(run, per_epoch=5)}
    return Trainer(ToyModel(), **{**usual, **settings})


def train_with_stops(run: Path, **settings: Any) -> int:
    """Trains, stopping after every update; returns how often that was."""
    for stops in range(99):
        trainer = make_trainer(run, **settings)
        stop_after_an_update(trainer)
        try:
            trainer.run()
        except InterruptedTrainingError:
            continue
        return stops
    raise AssertionError("the training does not end")


def stop_after_an_update(trainer: Trainer) -> None:
    """Makes a trainer stop after its next update, if it makes another one."""
    make_update = trainer.train_step

    def stopping(batches: Sequence[Batch]) -> tuple[Totals, float]:
        made = make_update(batches)
        trainer.stop.ask()
        return made

    trainer.train_step = stopping  # type: ignore[method-assign]


def require_same(one: Any, other: Any, name: str = "") -> None:
    """Compares everything in two checkpoints, bit by bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), name
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key in one:
            require_same(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), name
        for number, pair in enumerate(zip(one, other, strict=True)):
            require_same(*pair, f"{name}.{number}")
    else:
        assert one == other, name


def require_same_ends(folder: Path, **settings: Any) -> dict[str, Any]:
    """Checks that a training with stops ends as one without; returns its last checkpoint."""
    make_trainer(folder / "whole", **settings).run()
    assert train_with_stops(folder / "stopped", **settings) >= 8
    whole, stopped = (load(resolve(folder / name, "last")) for name in ("whole", "stopped"))
    for state in (whole, stopped):
        del state["progress"]["seconds"], state["optimizer"]["param_groups"]  # last rates
    require_same(whole, stopped)
    assert read(folder / "whole")[0] == read(folder / "stopped")[0]
    return whole
