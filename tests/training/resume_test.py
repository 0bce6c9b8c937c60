"""A run that is killed and started again computes what it would have computed anyway."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from asrkit.training.checkpoints import load_weights, resolve

PROGRAM = Path(__file__).parent / "programs" / "toy.py"
TIMES = ("seconds", "load_share")


def command(run: Path, accumulate: int, pause: float, processes: int = 1) -> list[str]:
    words = [str(PROGRAM), str(run), str(accumulate), str(pause)]
    if processes == 1:
        return [sys.executable, *words]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *launcher, *words]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(words: list[str]) -> None:
    process = start(words)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (out + errors).decode()


def read(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    lines = (run / "log.jsonl").read_text().splitlines()
    log = [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
    return log, load_weights(resolve(run, "last"))


def test_killed_runs_end_bit_identical(tmp_path: Path) -> None:
    finish(command(tmp_path / "whole", 1, 0.0))
    draw, kills = random.Random(0), 0
    words = command(tmp_path / "killed", 1, 0.05)
    for _ in range(6):
        process = start(words)
        checkpoints = tmp_path / "killed" / "checkpoints"
        deadline = time.monotonic() + 60
        before = len(list(checkpoints.glob("*.pt")))
        while process.poll() is None and time.monotonic() < deadline:
            names = sorted(p.name for p in checkpoints.glob("*.pt"))
            if names and (len(names) != before or names[-1:] != names[:1]):
                break
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    finish(words)
    (log, weights), (log_killed, weights_killed) = (
        read(tmp_path / "whole"),
        read(tmp_path / "killed"),
    )
    assert log == log_killed
    assert weights.keys() == weights_killed.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, weights_killed[name]), name


def test_two_processes_train_like_one_that_accumulates_two_batches(tmp_path: Path) -> None:
    finish(command(tmp_path / "one", 2, 0.0))
    finish(command(tmp_path / "two", 1, 0.0, processes=2))
    (log, weights), (log_two, weights_two) = read(tmp_path / "one"), read(tmp_path / "two")
    assert len(log) == len(log_two) == 3
    for one, two in zip(log, log_two, strict=True):
        assert one["step"] == two["step"]
        for part in ("train", "dev"):
            for name, value in one[part].items():
                assert abs(value - two[part][name]) < 1e-5 * abs(value)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, weights_two[name], rtol=1e-5, atol=1e-6)


def test_interrupted_runs_save_and_say_so(tmp_path: Path) -> None:
    process = start(command(tmp_path / "run", 1, 0.2))
    while not list((tmp_path / "run").glob("checkpoints/*.pt")):
        time.sleep(0.05)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert b"the same command continues from here" in errors
    finish(command(tmp_path / "run", 1, 0.0))
    assert len(read(tmp_path / "run")[0]) == 3
