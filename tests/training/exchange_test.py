"""Processes that average parameters equal trainings that one process makes one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.training.checkpoints import load_weights, resolve
from asrkit.training.distributed import World
from asrkit.training.exchange import ParameterAverage
from asrkit.training.optimizers import AdamW
from asrkit.training.schedules import Noam
from tests.training.programs import toy

PROGRAM = Path(__file__).parent / "programs" / "toy.py"
STEPS, EPOCHS, PROCESSES = 4, 3, 2


class Worker:
    """A process' model, optimiser and batches."""

    def __init__(self, rank: int) -> None:
        torch.manual_seed(0)
        self.rank, self.model = rank, toy.NormedModel()
        self.optimizer = AdamW()(self.model)
        self.source = toy.ToySource(12, rank, PROCESSES)

    def update(self, batch: Any, step: int, rate: float) -> None:
        torch.manual_seed((1 * 1_000_003 + step) * 65_537 + self.rank)
        part = self.model(batch)["toy.loss"]
        self.optimizer.zero_grad()
        (part.total / part.count).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def weights(self) -> list[Tensor]:
        return list(self.model.parameters())

    def others(self) -> list[Tensor]:
        """Returns moments, and statistics of the norm."""
        moments = [self.optimizer.state[p] for p in self.weights()]
        found = [m[k] for m in moments for k in ("exp_avg", "exp_avg_sq")]
        return [*found, *(each for each in self.model.buffers() if each.is_floating_point())]


class OneOfTwo(World):
    """A process alone, which another one would tell that its seconds have passed, or not."""

    def __init__(self, other: bool) -> None:
        super().__init__(0, 1, torch.device("cpu"))
        object.__setattr__(self, "other", other)

    def any(self, condition: bool) -> bool:
        return condition or bool(self.__dict__["other"])


def average(tensors: list[list[Tensor]]) -> None:
    with torch.no_grad():
        for each in zip(*tensors, strict=True):
            mean = torch.stack(each).mean(0)
            for tensor in each:
                tensor.copy_(mean)


def join(workers: list[Worker], averaged: str) -> None:
    average([worker.weights() for worker in workers])
    if averaged == "all":
        average([worker.others() for worker in workers])


def start_from_first(workers: list[Worker]) -> None:
    """Gives all the moments, and statistics of the norm, of the checkpoint."""
    with torch.no_grad():
        for worker in workers[1:]:
            for tensor, first in zip(worker.others(), workers[0].others(), strict=True):
                tensor.copy_(first)


def simulated(averaged: str) -> dict[str, Tensor]:
    """Returns the weights after all epochs."""
    workers = [Worker(rank) for rank in range(PROCESSES)]
    schedule, step = Noam(peak=0.01, warmup_steps=5), 0
    for epoch in range(1, EPOCHS + 1):
        for batches in zip(*(worker.source.batches(epoch) for worker in workers), strict=True):
            for worker, batch in zip(workers, batches, strict=True):
                worker.update(batch, step, schedule.lr(step + 1, epoch))
            step += 1
            if step % STEPS == 0:
                join(workers, averaged)
            if step == STEPS:  # it is stopped and started again
                start_from_first(workers)
        join(workers, averaged)
    weights: dict[str, Tensor] = workers[0].model.state_dict()
    return weights


@pytest.mark.parametrize("averaged", ["all", "weights"])
def test_averaging_processes_equal_simulated_ones_although_stopped(
    tmp_path: Path, averaged: str
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    settings = [str(tmp_path / "run"), "1", "0", str(STEPS), averaged]
    words = [sys.executable, *launcher, str(PROGRAM), *settings]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [6, 12, 18]
    found = load_weights(resolve(tmp_path / "run", "last"))
    for name, expected in simulated(averaged).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6)


def test_what_is_averaged_matters() -> None:
    everything, weights = simulated("all"), simulated("weights")
    for name in ("norm.running_mean", "layers.0.weight"):
        assert not torch.allclose(everything[name], weights[name], rtol=1e-3)


def test_steps_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"steps \(0\)"):
        ParameterAverage(0)
    with pytest.raises(ValueError, match=r"save_steps \(2\) must be a multiple"):
        toy.make_trainer(tmp_path, 1, exchange=ParameterAverage(3))
    with pytest.raises(ValueError, match=r"save_steps \(2\) does not fit"):
        toy.make_trainer(tmp_path, 1, exchange=ParameterAverage(seconds=60.0))
    with pytest.raises(ValueError, match="give either steps"):
        ParameterAverage()
    with pytest.raises(ValueError, match=r"seconds \(0\) must be above 0"):
        ParameterAverage(seconds=0)


def test_processes_average_when_the_seconds_of_one_have_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, model = [100.0], toy.ToyModel()
    monkeypatch.setattr("asrkit.training.exchange.time.monotonic", lambda: now[0])
    exchange = ParameterAverage(seconds=60.0)
    alone, other_is_due = OneOfTwo(False), OneOfTwo(True)
    assert exchange.period is None
    assert not exchange.joins(1, alone)
    now[0] = 159.0
    assert not exchange.joins(2, alone)
    assert exchange.joins(3, other_is_due)
    now[0] = 161.0
    assert exchange.joins(4, alone)
    exchange.join(model, AdamW()(model), alone)
    assert exchange.joins(4, alone)  # of an update, processes agree once
    assert not exchange.joins(5, alone)
