"""Nothing in training or searches mixes devices: on a simulated one, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_training_and_searches_stay_on_their_device() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/device_cases.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
