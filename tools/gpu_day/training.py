"""Trains on LibriSpeech-mini for some minutes, like its recipe, and scores dev."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import torch

from asrkit.files import matching, read_lines
from asrkit.run_folder import RunFolder
from asrkit.scoring.score import read_score
from asrkit.training.checkpoints import load_weights, resolve
from tools.gpu_day.corpus import unpack
from tools.gpu_day.parts import ROOT, Command, Day, Outcome, logged, shown

RECIPE = ROOT / "recipes" / "librispeech"
GPU_SPEC = (
    "training.update.precision=bf16",
    "data.batches.max_seconds=240",
    "training.schedule.warmup_steps=300",
    "training.schedule.total_steps=6000",
)
SMALL_SPEC = (
    "training.epochs=1",
    "training.schedule={type: constant, value: 0.001}",  # the spec's own is for 800 updates
    "data.num_workers=0",
    "data.batches.max_seconds=8",
)
SAVED = 75
"""Exit code of a training run that was asked to stop, and has saved."""
GRACE = 60.0
"""Seconds allowed for saving."""


def train_and_decode(day: Day, log: Path) -> Outcome:
    """Unpacks audio, trains, decodes dev and scores it.

    Args:
        day: Its `minutes` count from the start of training.
        log: File for all output.
    """
    if day.pack is None:
        return Outcome("left out", "needs --pack, for the audio")
    corpus, data, run = day.work / "corpus", day.work / "data", day.work / "run"
    count = unpack(day.pack, corpus, jobs=4)
    if not count:
        return Outcome("left out", f"{day.pack} has no audio: pack it with --corpus")
    log.write_text(f"{count} utterances\n", encoding="utf-8")
    spec = RECIPE / "conf" / ("mini.yaml" if day.on_gpu else "toy.yaml")
    dev = min(path.name for path in matching(corpus / "LibriSpeech", "dev-*"))
    changes = [*(GPU_SPEC if day.on_gpu else SMALL_SPEC), f"data.dev=[{dev}]", *day.changes]
    units = "300" if day.on_gpu else "20"
    asrkit: Command = [sys.executable, "-m", "asrkit"]
    prepare: Command = [sys.executable, RECIPE / "prepare.py", "manifests", "--size", "mini"]
    bpe: Command = ["tokenizer", "bpe", "--set", "train", "--size", units, "--name", "bpe"]
    for command in (
        [*prepare, "--corpus", corpus, "--data", data],
        [*asrkit, *bpe, "--data", data],
        [*asrkit, "check", spec, "--data", data, *changes],
    ):
        if code := logged(command, log, day.limit):
            return Outcome("FAILED", f"exit code {code} of {shown(command)}")
    command = [*asrkit, "train", spec, "--data", data, "--run", run, *changes]
    code = stopped_after(60 * day.minutes, command, log)
    keep(run, day.out)
    if code not in (0, SAVED):
        return Outcome("FAILED", f"exit code {code} of {shown(command)}")
    return scored(day, log, data, run, dev)


def stopped_after(seconds: float, command: Command, log: Path) -> int:
    """Runs a command, asks it to stop when the time is up, and returns its exit code."""
    with log.open("ab") as file:
        file.write(f"$ {shown(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def keep(run: Path, out: Path) -> None:
    """Puts logs into an archive, and weights in half precision next to it."""
    places = RunFolder(run)
    with tarfile.open(out / "run.tar.gz", "w:gz") as archive:
        for path in (places.log, places.environment, places.spec, places.curves):
            if path.is_file():
                archive.add(path, f"run/{path.name}")
    if matching(places.checkpoints, "*.pt"):
        weights = load_weights(resolve(run, "last"))
        small = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
        torch.save(small, out / "weights.pt")


def scored(day: Day, log: Path, data: Path, run: Path, dev: str) -> Outcome:
    """Decodes dev greedily with the newest weights; returns speed and word error rate."""
    start = time.monotonic()
    where: Command = ["--run", run, "--set", dev, "--search", "ctc_greedy"]
    for words in (
        ["decode", *where, "--data", data, "--checkpoint", "last"],
        ["score", *where],
    ):
        command: Command = [sys.executable, "-m", "asrkit", *words]
        if code := logged(command, log, day.limit):
            return Outcome("FAILED", f"exit code {code} of {shown(command)}")
    score = read_score(RunFolder(run).decoded_set("ctc_greedy", dev).score)
    epochs = list(read_lines(RunFolder(run).log))
    newest = json.loads(epochs[-1]) if epochs else {"epoch": 0, "step": 0, "seconds": 0.0}
    speed = newest["seconds"] / max(newest["step"], 1)
    return Outcome(
        "passed",
        f"epoch {newest['epoch']}, {newest['step']} updates, {speed:.3f} s each; dev WER "
        f"{score.wer:.1f} %, decoded in {time.monotonic() - start:.0f} s",
    )
