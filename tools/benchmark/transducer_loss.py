#!/usr/bin/env python3
"""A transducer's joiner and RNN-T loss, forward and backward: asrkit against torchaudio.

From the projected encoder (B, T, J) and prediction (B, U + 1, J), random, to the gradients of both
and of the output layer. Four ways: all logits at once and torchaudio's `rnnt_loss`, all logits at
once and asrkit's `full_sum_loss`, `joiner_loss`, and pruning to five label counts a frame, with
the trivial joiner that chooses them, from its two projections to its gradients. Each round is a
process of its own for each way; the memory is the highest of the first run above that before it.

    python tools/benchmark/transducer_loss.py
    python tools/benchmark/transducer_loss.py --batch 8 --frames 200 --labels 50 --vocabulary 1000
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.losses.full_sum import cell_targets, full_sum_loss
from asrkit.losses.joiner_loss import Joiner, joiner_loss
from asrkit.losses.pruned_loss import pruned_joiner_loss
from asrkit.losses.pruning import best_windows
from asrkit.losses.symbols import SoftmaxBlank
from asrkit.losses.topologies import RnntTopology
from asrkit.losses.trivial_joiner import trivial_joiner_loss

RUNS = 3  # timed, in each process
RANGE = 5  # label counts of a frame that are not pruned


@dataclass(frozen=True)
class Example:
    """Inputs of a joiner with leaves to differentiate, labels and full lengths."""

    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor
    labels: Tensor

    @classmethod
    def random(cls, batch: int, frames: int, labels: int, vocabulary: int, dim: int) -> Example:
        """Returns an example whose logits have about the variance of an untrained model's."""
        torch.manual_seed(0)
        shapes = [(batch, frames, dim), (batch, labels + 1, dim), (vocabulary + 1, dim)]
        tensors = [torch.randn(shape) for shape in shapes]
        tensors[2] /= dim**0.5
        tensors.append(torch.zeros(vocabulary + 1))
        leaves = [each.requires_grad_() for each in tensors]
        leaves.append(torch.randint(0, vocabulary, (batch, labels)))
        return cls(*leaves)

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Returns frames and label counts, (B,) each."""
        batch, frames, _ = self.encoder.shape
        return torch.full((batch,), frames), torch.full((batch,), self.labels.shape[1])

    def logits(self) -> Tensor:
        """Returns (B, T, U + 1, V + 1)."""
        hidden = torch.tanh(self.encoder[:, :, None] + self.prediction[:, None])
        return F.linear(hidden, self.weight, self.bias)


def by_torchaudio(example: Example) -> Tensor:
    """Returns the losses (B,) of torchaudio."""
    lengths = [each.int() for each in example.lengths()]
    losses: Tensor = torchaudio.functional.rnnt_loss(
        example.logits(), example.labels.int(), *lengths, reduction="none"
    )
    return losses


def by_all_logits(example: Example) -> Tensor:
    """Returns the losses (B,) of asrkit from all logits."""
    lengths, sizes = example.lengths()
    logits, topology = example.logits(), RnntTopology()
    targets = cell_targets(example.labels, sizes, topology)[:, :, None]
    scores, _ = SoftmaxBlank().scores(logits, targets.expand(-1, *logits.shape[:3]))
    return full_sum_loss(scores, example.labels, lengths, sizes, topology)


def by_blocks(example: Example) -> Tensor:
    """Returns the losses (B,) of asrkit by blocks."""
    joiner = Joiner(example.weight, example.bias)
    inputs = (example.encoder, example.prediction, joiner, example.labels)
    return joiner_loss(*inputs, *example.lengths(), RnntTopology())


def by_windows(example: Example) -> Tensor:
    """Returns the losses (B,) of asrkit with pruning, that of the trivial joiner added."""
    given = (*example.lengths(), RnntTopology())
    # The output layer stands for both projections of the trivial joiner: it has their size.
    frames = F.linear(example.encoder, example.weight)
    states = F.linear(example.prediction, example.weight, example.bias)
    simple, occupation = trivial_joiner_loss(frames, states, example.labels, *given)
    windows = best_windows(occupation, *given, RANGE)
    joiner = Joiner(example.weight, example.bias)
    inputs = (example.encoder, example.prediction, joiner, example.labels)
    return pruned_joiner_loss(*inputs, *given, windows) + simple


WAYS: dict[str, Callable[[Example], Tensor]] = {
    "torchaudio": by_torchaudio,
    "all logits": by_all_logits,
    "joiner_loss": by_blocks,
    "pruned": by_windows,
}


def memory(peak: bool) -> float:
    """Returns the resident memory of this process in MiB, now or at its highest."""
    key = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def run(way: str, example: Example) -> float:
    """Returns the seconds of forward and backward."""
    start = time.perf_counter()
    losses = WAYS[way](example)
    leaves = (example.encoder, example.prediction, example.weight, example.bias)
    torch.autograd.grad(losses.sum(), leaves)
    return time.perf_counter() - start


@click.command()
@click.option("--batch", default=4, show_default=True)
@click.option("--frames", default=120, show_default=True)
@click.option("--labels", default=30, show_default=True)
@click.option("--vocabulary", default=500, show_default=True)
@click.option("--dim", default=512, show_default=True, help="J, of the joiner.")
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--measure", type=click.Choice(list(WAYS)), help="One way, in this process.")
def main(measure: str | None, threads: int, rounds: int, **sizes: int) -> None:
    """Compares time and memory of the four ways."""
    if measure is None:
        arguments = [f"--{name}={size}" for name, size in sizes.items()]
        compare([*arguments, f"--threads={threads}"], rounds)
        return
    torch.set_num_threads(threads)
    run(measure, Example.random(1, 4, 2, 8, 8))  # what the libraries load counts for nobody
    example = Example.random(**sizes)
    before = memory(peak=False)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
    run(measure, example)
    peak = memory(peak=True) - before
    seconds = statistics.median(run(measure, example) for _ in range(RUNS))
    print(json.dumps({"seconds": seconds, "MiB": peak}))


def compare(arguments: list[str], rounds: int) -> None:
    """Measures all ways in turn and prints medians and the ratios to torchaudio."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, results in found.items():
            command = [sys.executable, __file__, "--measure", way, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{way} failed:\n{done.stderr[-2000:]}")
            results.append(json.loads(done.stdout.splitlines()[-1]))
    for way, results in found.items():
        shown = []
        for key in ("seconds", "MiB"):
            peers = zip(results, found["torchaudio"], strict=True)
            ratios = [one[key] / peer[key] for one, peer in peers]
            middle = statistics.median(each[key] for each in results)
            low, high = min(ratios), max(ratios)
            ratio = f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}) of torchaudio"
            shown.append(f"{middle:.3g} {key}, {ratio}")
        print(f"{way}: " + "; ".join(shown))


if __name__ == "__main__":
    main()
