"""Processes of which one has no batch left, or no memory, compute what one alone would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.training.exchange import ParameterAverage
from tests.training.programs import parallel, toy

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "parallel.py"
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def launch(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, *LAUNCHER, str(PROGRAM), str(folder), *names]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env=environment
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    done = launch(folder, "leftovers", "memory", "averaged")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "errors").write_text(done.stderr)
    return folder


def load(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"{name}.pt", weights_only=True)
    return found


def test_the_last_update_of_an_epoch_is_smaller(trained: Path, tmp_path: Path) -> None:
    found = load(trained, "leftovers")
    assert found["step"] == 3 * 2  # of 4 batches, and of the one that is left
    alone = toy.make_trainer(tmp_path, 4, 5)
    alone.run()
    for name, weight in alone.model.state_dict().items():
        torch.testing.assert_close(found["model"][name], weight, rtol=1e-5, atol=1e-6)


def test_utterances_for_which_memory_is_short_are_left_out(trained: Path, tmp_path: Path) -> None:
    errors = (trained / "errors").read_text()
    assert "u1002-0 is left out of training" in errors
    alone = parallel.make(tmp_path, "alone")
    alone.update = replace(alone.update, accumulate=2)
    alone.run()
    found = load(trained, "memory")
    assert found["step"] == alone.step == 3 * 3
    for name, weight in alone.model.state_dict().items():
        torch.testing.assert_close(found["model"][name], weight, rtol=1e-5, atol=1e-6)


def test_averaged_processes_of_unequal_numbers_of_batches_end(trained: Path) -> None:
    assert load(trained, "averaged")["step"] == 3 * 3


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = launch(tmp_path, "raises")
    assert done.returncode != 0
    assert "'NoneType' object is not callable" in done.stderr
    assert time.monotonic() - begin < 100  # mostly of starting


def test_one_without_a_batch_keeps_its_weights_but_its_counts_go_on(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1, exchange=ParameterAverage(2))
    before = {name: each.clone() for name, each in trainer.model.state_dict().items()}
    sums, norm = trainer.train_step([])
    assert (sums.values(), norm, trainer.step) == ({}, 0.0, 1)
    for name, each in trainer.model.state_dict().items():
        assert torch.equal(each, before[name])
    counts = [int(state["step"]) for state in trainer.optimizer.state.values()]
    assert counts == [1] * len(list(trainer.model.parameters()))


def test_more_batches_per_update_than_an_epoch_has_make_one_update(tmp_path: Path) -> None:
    norms = []
    for name, accumulate in (("many", 50), ("all", 5)):
        trainer = toy.make_trainer(tmp_path / name, accumulate, 5)
        trainer.run()
        assert trainer.step == 3
        norms.append(trainer.totals.values())
        norms.append({n: float(w.sum()) for n, w in trainer.model.state_dict().items()})
    assert norms[:2] == norms[2:]
