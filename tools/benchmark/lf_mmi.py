"""How long LF-MMI's sums take next to a training step: python tools/benchmark/lf_mmi.py CHAIN.

CHAIN is a folder of `asrkit chain`. Chunks are of 50 frames of 30 ms, their scores random; the time
of a whole step is given (--step, in seconds of 100 s of audio), such as of a training's log.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from asrkit.hmm.denominator_file import read_denominator
from asrkit.losses.dual_sums import dual_sums
from asrkit.losses.mmi import denominator_sums, scaled_exps
from asrkit.run_folder import RunFolder

FRAMES, SECONDS, REPEATS = 50, 1.5, 5


def main() -> None:
    """Prints the seconds of the CPU that forward and backward sums take, by criterion."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chain", type=Path)
    parser.add_argument("--chunks", type=int, default=66)
    parser.add_argument("--step", type=float, default=1.4)
    options = parser.parse_args()
    denominator = read_denominator(RunFolder(options.chain).hmm)
    scores = torch.randn(options.chunks, FRAMES, denominator.num_states)
    lengths = torch.full((options.chunks,), FRAMES)
    accuracy = torch.rand(FRAMES, denominator.num_states, options.chunks)
    sums = {
        "MMI": lambda: denominator_sums(scores, lengths, denominator, 0.1),
        "sMBR": lambda: dual_sums(
            scaled_exps(scores, lengths)[0], accuracy, lengths, denominator, 0.1
        ),
    }
    audio = options.chunks * SECONDS
    print(
        f"{len(denominator.stays)} histories, {len(denominator.states)} arcs, "
        f"{denominator.num_states} states, {audio:.0f} s of audio"
    )
    for name, function in sums.items():
        seconds = quickest(function)
        share = seconds / (options.step * audio / 100)
        print(
            f"{name}: {1000 * seconds:.0f} ms, {100 * share:.1f} % of a step of {options.step} s "
            "for 100 s"
        )


def quickest(function: Callable[[], object]) -> float:
    """Returns the seconds of the CPU that a function takes at best, once it is compiled."""
    function()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


if __name__ == "__main__":
    main()
