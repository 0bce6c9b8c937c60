"""Measures two toolkits in turn, each in its own environment, and prints the ratio of rates."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Measure = Callable[[str, int], dict[str, Any]]


def main(program: str, description: str, measure: Measure) -> None:
    """Reads the command line: `measure TOOLKIT` in this environment, or `compare` both.

    Args:
        program: The file that was started; it is started again for each measurement.
        description: For --help.
        measure: Measures a toolkit with so many threads; the result has a "rate".
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
    options = parser.parse_args()
    if options.verb == "measure":
        print(json.dumps(measure(options.toolkit, options.threads)))
    else:
        compare(program, options.espnet_python, options.rounds, options.threads)


def compare(program: str, espnet_python: str, rounds: int, threads: int) -> None:
    """Runs the two in turn and prints their rates and the ratio of each round."""
    ratios = []
    for number in range(rounds):
        found = {}
        for toolkit, python in (("asrkit", sys.executable), ("espnet", espnet_python)):
            command = [python, program, "measure", toolkit, "--threads", str(threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{toolkit} failed:\n{done.stderr[-2000:]}")
            found[toolkit] = json.loads(done.stdout.splitlines()[-1])
            print(f"round {number + 1}: {found[toolkit]}", flush=True)
        ratios.append(found["asrkit"]["rate"] / found["espnet"]["rate"])
    low, high = min(ratios), max(ratios)
    print(f"asrkit / espnet: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")
