#!/usr/bin/env python3
"""A transducer's joiner and RNN-T loss, forward and backward: asrkit against torchaudio.

From the projected encoder (B, T, J) and prediction (B, U + 1, J), random, to the gradients of both
and of the output layer. Four variants: all logits at once and torchaudio's `rnnt_loss`; all logits
at once and asrkit's `full_sum_loss`; `joiner_loss`; and pruning to five label counts per frame,
including the trivial joiner that chooses them, from its two projections to its gradients. In each
round, each variant runs in its own process; memory is the peak of the first run above that before
it. Bandwidth is that of a loss that writes and reads its logits and their gradients once, whatever
a variant really moves.

    python tools/benchmark/transducer_loss.py
    python tools/benchmark/transducer_loss.py --batch 8 --frames 200 --labels 50 --vocabulary 1000
    python tools/benchmark/transducer_loss.py --device cuda --autocast
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.files import read_lines
from asrkit.lattice.cells import cell_targets
from asrkit.lattice.topologies import RnntTopology
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_loss
from asrkit.losses.pruned_loss import pruned_joiner_loss
from asrkit.losses.pruning import best_windows
from asrkit.losses.symbols import SoftmaxBlank
from asrkit.losses.trivial_joiner import trivial_joiner_loss

RUNS = 3  # timed, in each process
RANGE = 5  # label counts per frame that are kept
# B, T, U and one or more V; larger on a GPU.
SHAPES = {"cpu": (4, 120, 30, (500,)), "cuda": (30, 400, 60, (500, 5000))}


@dataclass(frozen=True)
class Example:
    """Inputs of a joiner that require gradients, labels and full lengths."""

    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor
    labels: Tensor

    @classmethod
    def random(
        cls, batch: int, frames: int, labels: int, vocabulary: int, dim: int, device: str
    ) -> Example:
        """Returns an example with about the variance of logits of an untrained model."""
        torch.manual_seed(0)
        shapes = [(batch, frames, dim), (batch, labels + 1, dim), (vocabulary + 1, dim)]
        tensors = [torch.randn(shape) for shape in shapes]
        tensors[2] /= dim**0.5
        tensors.append(torch.zeros(vocabulary + 1))
        leaves = [each.to(device).requires_grad_() for each in tensors]
        leaves.append(torch.randint(0, vocabulary, (batch, labels)).to(device))
        return cls(*leaves)

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Returns frames and label counts, (B,) each."""
        batch, frames, _ = self.encoder.shape
        sizes = torch.tensor([frames, self.labels.shape[1]], device=self.labels.device)
        return sizes[:1].expand(batch).contiguous(), sizes[1:].expand(batch).contiguous()

    def logits(self) -> Tensor:
        """Returns (B, T, U + 1, V + 1)."""
        hidden = torch.tanh(self.encoder[:, :, None] + self.prediction[:, None])
        return F.linear(hidden, self.weight, self.bias)


def by_torchaudio(example: Example) -> Tensor:
    """Returns the losses (B,) of torchaudio."""
    lengths = [each.int() for each in example.lengths()]
    losses: Tensor = torchaudio.functional.rnnt_loss(
        example.logits().float(), example.labels.int(), *lengths, reduction="none"
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
    """Returns the losses (B,) of asrkit with pruning, plus that of the trivial joiner."""
    given = (*example.lengths(), RnntTopology())
    # The output layer is used for both projections of the trivial joiner, which have its size.
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


def memory(device: str, peak: bool) -> float:
    """Returns the memory of this process in MiB, now or at its peak: resident, or on the GPU."""
    if device == "cuda":
        used = torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
        return used / 2**20
    key = "VmHWM:" if peak else "VmRSS:"
    lines = read_lines(Path("/proc/self/status"))
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def start_peak(device: str) -> None:
    """Resets the peak memory."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def run(way: str, example: Example, autocast: bool) -> float:
    """Returns the seconds of forward and backward pass."""
    device = example.encoder.device.type
    leaves = (example.encoder, example.prediction, example.weight, example.bias)
    synchronize(device)
    start = time.perf_counter()
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        losses = WAYS[way](example)
    torch.autograd.grad(losses.sum(), leaves)
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str) -> None:
    """Waits for the GPU, if there is one."""
    if device == "cuda":
        torch.cuda.synchronize()


@click.command()
@click.option("--batch", type=int, help="B; the default of these depends on the device.")
@click.option("--frames", type=int, help="T.")
@click.option("--labels", type=int, help="U.")
@click.option("--vocabulary", type=int, multiple=True, help="V, one or more values.")
@click.option("--dim", default=512, show_default=True, help="J, size of the joiner.")
@click.option("--device", type=click.Choice(list(SHAPES)), default="cpu", show_default=True)
@click.option("--autocast", is_flag=True, help="Matrix products in bfloat16.")
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option(
    "--measure", type=click.Choice(list(WAYS)), help="Measure one variant in this process."
)
def main(
    batch: int | None,
    frames: int | None,
    labels: int | None,
    vocabulary: tuple[int, ...],
    dim: int,
    device: str,
    autocast: bool,
    threads: int,
    rounds: int,
    measure: str | None,
) -> None:
    """Compares time and memory of the four variants."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: PyTorch finds no GPU here")
    usual = SHAPES[device]
    sizes = {"batch": batch or usual[0], "frames": frames or usual[1], "labels": labels or usual[2]}
    sizes["dim"] = dim
    torch.set_num_threads(threads)
    for each in vocabulary or usual[3]:
        sizes["vocabulary"] = each
        if measure is not None:
            print(json.dumps(measured(measure, sizes, device, autocast)))
            continue
        arguments = [f"--{name}={size}" for name, size in sizes.items()]
        arguments += [f"--threads={threads}", f"--device={device}"]
        if autocast:
            arguments.append("--autocast")
        print(", ".join(f"{name} {size}" for name, size in sizes.items()))
        logits = sizes["batch"] * sizes["frames"] * (sizes["labels"] + 1) * (each + 1)
        compare(arguments, rounds, logits * (2 if autocast else 4), limit(device))


def measured(way: str, sizes: dict[str, int], device: str, autocast: bool) -> dict[str, float]:
    """Returns the median of the seconds, and the memory of the first run."""
    small = dict.fromkeys(sizes, 8)
    run(way, Example.random(**small, device=device), autocast)  # loading libraries does not count
    example = Example.random(**sizes, device=device)
    before = memory(device, peak=False)
    start_peak(device)
    run(way, example, autocast)
    peak = memory(device, peak=True) - before
    seconds = statistics.median(run(way, example, autocast) for _ in range(RUNS))
    return {"seconds": seconds, "MiB": peak}


def limit(device: str) -> float | None:
    """Returns the memory bandwidth of the GPU in bytes per second, from its clock and width."""
    if device == "cpu":
        return None
    properties = torch.cuda.get_device_properties(0)
    per_cycle = 2 * properties.memory_bus_width / 8  # double data rate
    return float(per_cycle * properties.memory_clock_rate * 1000)


def compare(arguments: list[str], rounds: int, logits: int, limit: float | None) -> None:
    """Measures all variants in turn and prints medians and ratios to torchaudio.

    Args:
        arguments: Command line for one variant.
        rounds: Number of rounds.
        logits: Bytes of all logits.
        limit: Memory bandwidth in bytes per second, None if unknown.
    """
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, results in found.items():
            command = [sys.executable, __file__, "--measure", way, *arguments]
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=False
            )
            if done.returncode:
                said = done.stderr.strip().split("\n")[-1]
                print(f"{way} failed: {said}", file=sys.stderr)
                continue
            results.append(json.loads(done.stdout.strip().split("\n")[-1]))
    for way, results in found.items():
        if results:
            print(f"{way}: " + "; ".join(summary(results, found["torchaudio"], logits, limit)))


def summary(
    results: list[dict[str, float]],
    peers: list[dict[str, float]],
    logits: int,
    limit: float | None,
) -> Iterator[str]:
    """Yields time, memory and bandwidth, the former two with their ratio to torchaudio."""
    for key in ("seconds", "MiB"):
        shown = f"{statistics.median(each[key] for each in results):.3g} {key}"
        if len(peers) == len(results):
            ratios = [one[key] / peer[key] for one, peer in zip(results, peers, strict=True)]
            low, high = min(ratios), max(ratios)
            shown += f", {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}) of torchaudio"
        yield shown
    rate = 4 * logits / statistics.median(each["seconds"] for each in results)
    share = f", {rate / limit:.1%} of the chip's {limit / 1e12:.2f}" if limit else ""
    yield f"{rate / 1e12:.3g} TB/s of logits{share}"


if __name__ == "__main__":
    main()
