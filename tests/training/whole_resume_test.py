"""The same for everything at once: speech, loader workers, speeds, masks, dropout, batch norm."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from asrkit.data.manifests import Source, write_manifest
from asrkit.text.tokenizers import train_tokenizer
from tests.training.resume_test import read

SPEC = """
text: characters
data:
  train: [train]
  dev: [dev]
  batches: {max_seconds: 1.5}
  num_workers: 2
  speeds: [0.9, 1.0, 1.1]
model:
  features: {type: log_mel, num_mels: 16, normalization: global}
  augment:
    - {type: vocal_tract, max_change: 0.1}
    - type: spec_augment
      time: {min_count: 1, max_count: 2, max_width: 5}
      frequency: {min_count: 1, max_count: 2, max_width: 4}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks:
      - {name: attention, module: {type: self_attention, num_heads: 2}}
      - {name: convolution, module: {type: convolution, kernel_size: 3, norm: batch_norm}}
      - {name: ffn, module: {type: feed_forward, hidden_dim: 8}}
  heads:
    ctc: {type: ctc, weight: 0.5}
    attention:
      type: attention
      weight: 0.5
      decoder: {type: transformer, dim: 8, num_layers: 1, num_heads: 2, hidden_dim: 8}
training:
  epochs: 4
  optimizer: adamw
  schedule: {type: noam, peak: 0.003, warmup_steps: 5}
  checkpoints: {save_steps: 2}
"""


def make_data(folder: Path) -> None:
    noise = np.random.default_rng(0)
    sources = []
    for index in range(14):
        path = folder / f"u{index}.flac"
        samples = noise.integers(-3000, 3000, 8000 + 500 * index).astype(np.int16)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
        sources.append(Source(f"u{index}", path, "AB BA"[: 2 + index % 4], f"s{index % 2}"))
    write_manifest(folder / "data", "train", sources[:12])
    write_manifest(folder / "data", "dev", sources[12:])
    train_tokenizer("characters", ["AB BA"], None, folder / "data" / "text", "characters")
    (folder / "spec.yaml").write_text(SPEC)


def start(folder: Path, run: str) -> subprocess.Popen[bytes]:
    words = ["-m", "asrkit", "train", "spec.yaml", "--data", "data", "--run", run]
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(folder: Path, run: str) -> None:
    process = start(folder, run)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out.decode()


def test_killed_runs_on_speech_end_bit_identical(tmp_path: Path) -> None:
    make_data(tmp_path)
    finish(tmp_path, "whole")
    draw, kills = random.Random(0), 0
    for least in (1, 2):
        process = start(tmp_path, "killed")
        files = tmp_path / "killed" / "checkpoints"
        seen = set(files.glob("*.pt"))
        while process.poll() is None and len(set(files.glob("*.pt")) - seen) < least:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.2))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills == 2
    finish(tmp_path, "killed")
    (log, weights), (log_killed, weights_killed) = (
        read(tmp_path / "whole"),
        read(tmp_path / "killed"),
    )
    assert len(log) == 4
    assert log == log_killed
    for name, tensor in weights.items():
        assert torch.equal(tensor, weights_killed[name]), name
