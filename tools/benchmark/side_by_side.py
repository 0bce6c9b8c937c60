"""Measures two toolkits in turn, each in its own environment, and prints the ratio of rates."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Measure = Callable[..., dict[str, Any]]
DEVICES: Mapping[str, Sequence[str]] = {"device": ["cpu", "cuda"], "precision": ["fp32", "bf16"]}
"""Choices for benchmarks that can also use a GPU."""


def main(
    program: str,
    description: str,
    measure: Measure,
    sizes: Mapping[str, int] | None = None,
    choices: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Reads the command line: `measure TOOLKIT` in this environment, or `compare` both.

    Args:
        program: The file that was started; it is started again for each measurement.
        description: For --help.
        measure: Called with a toolkit, a number of threads and the sizes; returns a "rate".
        sizes: Whole numbers that options can change, and their defaults.
        choices: Options with a choice of words, the default first.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure")
    one.add_argument("toolkit", choices=["asrkit", "espnet"])
    both = verbs.add_parser("compare")
    both.add_argument("--espnet-python", required=True)
    both.add_argument("--rounds", type=int, default=3)
    for verb in (one, both):
        verb.add_argument("--threads", type=int, default=2)
        for name, size in (sizes or {}).items():
            verb.add_argument(f"--{name}", type=int, default=size)
        for name, words in (choices or {}).items():
            verb.add_argument(f"--{name}", choices=words, default=words[0])
    options = parser.parse_args()
    chosen = {name: getattr(options, name) for name in (*(sizes or {}), *(choices or {}))}
    if chosen.get("device") == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here")
    if options.verb == "measure":
        print(json.dumps(measure(options.toolkit, options.threads, **chosen)))
    else:
        given = {"threads": options.threads, **chosen}
        compare(program, options.espnet_python, options.rounds, given)


def compare(
    program: str, espnet_python: str, rounds: int, options: Mapping[str, int | str]
) -> None:
    """Runs the two in turn and prints their rates and the ratio of each round."""
    ratios = []
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    for number in range(rounds):
        found = {}
        for toolkit, python in (("asrkit", sys.executable), ("espnet", espnet_python)):
            command = [python, program, "measure", toolkit, *given]
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=False
            )
            if done.returncode:
                sys.exit(f"{toolkit} failed:\n{done.stderr[-2000:]}")
            found[toolkit] = json.loads(done.stdout.strip().split("\n")[-1])
            print(f"round {number + 1}: {found[toolkit]}", flush=True)
        ratios.append(found["asrkit"]["rate"] / found["espnet"]["rate"])
    low, high = min(ratios), max(ratios)
    print(f"asrkit / espnet: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")


def wait_for(device: str) -> None:
    """Waits until a GPU has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_gib(device: str) -> float:
    """Returns the peak memory of this process, on the GPU or else resident."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
