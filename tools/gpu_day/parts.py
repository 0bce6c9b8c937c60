"""The parts of a GPU day: the commands of each, and the numbers read from its log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from asrkit.files import read_lines

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tools" / "benchmark"
Command = list[str | Path]
RATIO = r"(joiner_loss|pruned|all logits): .*?([\d.]+) \([^)]*\) of torch"


@dataclass(frozen=True)
class Day:
    """What all parts share.

    Args:
        device: "cuda", or "cpu" for miniatures.
        out: Folder for results.
        work: Temporary folder.
        pack: Wheels and audio.
        minutes: Duration of the training.
        limit: Time limit of any other part in seconds.
        changes: Changes of the training spec.
    """

    device: str
    out: Path
    work: Path
    pack: Path | None
    minutes: float
    limit: float
    changes: Sequence[str] = ()

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"


@dataclass(frozen=True)
class Outcome:
    """How a part ended, and its numbers or the reason."""

    state: Literal["passed", "FAILED", "left out"]
    numbers: str


@dataclass(frozen=True)
class Part:
    """One of the parts.

    Args:
        name: Its name.
        commands: Returns the commands, in order.
        numbers: Returns what the summary shows of the lines of the log.
        needs: Modules without which it is left out.
        environment: Returns environment variables.
    """

    name: str
    commands: Callable[[Day], list[Command]]
    numbers: Callable[[list[str]], str]
    needs: tuple[str, ...] = ()
    environment: Callable[[Day], dict[str, str]] = field(default=lambda day: {})

    def run(self, day: Day, log: Path) -> Outcome:
        """Runs the commands until one fails or the time is up."""
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            return Outcome("left out", f"missing: {', '.join(missing)}")
        log.write_bytes(b"")
        for command in self.commands(day):
            code = logged(command, log, day.limit, self.environment(day))
            if code:
                return Outcome("FAILED", f"exit code {code} of {shown(command)}")
        lines = list(read_lines(log, errors="replace"))
        return Outcome("passed", self.numbers(lines))


def logged(
    command: Command, log: Path, limit: float, environment: dict[str, str] | None = None
) -> int:
    """Runs a command, appending its output to a log; returns its exit code, 124 at the limit."""
    with log.open("ab") as file:
        file.write(f"$ {shown(command)}\n".encode())
        file.flush()
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            file.write(f"stopped after {limit:.0f} s\n".encode())
            return 124


def shown(command: Command) -> str:
    """Returns a command without the path of the interpreter."""
    words = [str(word) for word in command]
    return " ".join(["python", *words[1:]] if words[0] == sys.executable else words)


def _tests(day: Day) -> list[Command]:
    files: Command = ["tests/nn/lstm_test.py"]
    if day.on_gpu:
        files += ["tests/cuda_test.py", "tests/precision_test.py", "-m", "cuda"]
    return [[sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *files]]


def _kernels(day: Day) -> list[Command]:
    some: Command = [] if day.on_gpu else ["-k", "one_utterance"]
    cases = ROOT / "tests" / "losses" / "triton_cases.py"
    return [[sys.executable, "-m", "pytest", "-p", "no:cacheprovider", cases, *some]]


def _measured(program: str, on_gpu: Command, small: Command) -> Callable[[Day], list[Command]]:
    """Returns the commands of a benchmark of one or two toolkits, in both precisions."""

    def commands(day: Day) -> list[Command]:
        toolkits = ["asrkit", *(["espnet"] if find_spec("espnet2") else [])]
        precisions = ["bf16", "fp32"] if day.on_gpu else ["fp32"]
        sizes = on_gpu if day.on_gpu else small
        return [
            [sys.executable, BENCHMARKS / program, "measure", toolkit, *sizes]
            + ["--device", day.device, "--precision", precision]
            for precision in precisions
            for toolkit in toolkits
        ]

    return commands


def _rates(lines: list[str]) -> str:
    """Returns the rates of alternating measurements, and their ratios to a peer if there is one."""
    found = [json.loads(line) for line in lines if line.startswith('{"toolkit"')]
    shown_rates = [f"{one['toolkit']} {one['rate']:.4g}/s" for one in found]
    pairs = zip(found, found[1:], strict=False)
    ratios = [
        f"{one['rate'] / peer['rate']:.2f} of espnet"
        for one, peer in pairs
        if peer["toolkit"] == "espnet"
    ]
    return "; ".join([*shown_rates, *ratios])


def _loss(day: Day) -> list[Command]:
    program: Command = [sys.executable, BENCHMARKS / "transducer_loss.py"]
    if day.on_gpu:
        exact: Command = [*program, "--device", "cuda", "--rounds", "3"]
        return [[*exact, "--autocast"], exact]
    program += ["--batch", "2", "--frames", "10", "--labels", "4", "--vocabulary", "20"]
    return [[*program, "--dim", "16", "--measure", way] for way in ("torchaudio", "joiner_loss")]


def _kernel_rates(day: Day) -> list[Command]:
    program: Command = [sys.executable, BENCHMARKS / "transducer_kernels.py"]
    if day.on_gpu:
        return [[*program, "--device", "cuda"]]
    return [[*program, "--batch", "2", "--frames", "10", "--labels", "4", "--runs", "1"]]


def _ratios(lines: list[str]) -> str:
    """Returns the times compared with torchaudio, or of one measurement."""
    found = []
    for line in lines:
        if match := re.match(RATIO, line):
            found.append(f"{match[1]} {match[2]} of torchaudio")
        elif line.startswith('{"seconds"'):
            found.append(f"{json.loads(line)['seconds']:.3g} s")
    return "; ".join(found)


def _tested(lines: list[str]) -> str:
    found = (line.strip("= ") for line in reversed(lines) if re.search(r"\d (passed|skip)", line))
    return next(found, "")


def _bandwidths(lines: list[str]) -> str:
    found = [line.strip() for line in lines if "TB/s" in line or "recursions" in line]
    return "; ".join(found[:3] + found[-1:])


def _interpreted(day: Day) -> dict[str, str]:
    return {"TRITON_INTERPRET": "0" if day.on_gpu else "1"}


GPU_STEP: Command = ["--utterances", "32", "--batches", "8"]
SMALL_STEP: Command = ["--utterances", "1", "--batches", "1", "--frames", "100", "--layers", "1"]
GPU_DECODE: Command = ["--utterances", "16"]
SMALL_DECODE: Command = ["--utterances", "1", "--layers", "1", "--beam", "2", "--frames", "200"]

PARTS: tuple[Part, ...] = (
    Part("tests", _tests, _tested, ("pytest",)),
    Part("kernels", _kernels, _tested, ("triton", "pytest"), _interpreted),
    Part("train_step", _measured("train_step.py", GPU_STEP, SMALL_STEP), _rates),
    Part("decode", _measured("decode.py", GPU_DECODE, SMALL_DECODE), _rates),
    Part("transducer_loss", _loss, _ratios, ("torchaudio",)),
    Part("transducer_kernels", _kernel_rates, _bandwidths),
)
