#!/usr/bin/env python3
"""The parts of a transducer's loss with Triton kernels: memory bandwidth, and time per step.

The softmax and its gradient, on a block of logits as large as in `joiner_loss`, compared with
copying as much memory; and the recursions over the RNN-T lattice. On a CPU, PyTorch's operations
are measured.

    python tools/benchmark/transducer_kernels.py --device cuda
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.acceleration import triton_serves
from asrkit.lattice.cells import valid_lattice
from asrkit.lattice.recursions import both_scores
from asrkit.lattice.topologies import RnntTopology
from asrkit.losses.joiner import MAX_LOGITS
from asrkit.losses.softmax import pick_log_probs, put_gradient


def seconds(work: Callable[[], object], device: str, runs: int) -> float:
    """Returns the median time of some work, after a first run that does not count."""
    times = []
    for _ in range(runs + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def show_softmax(vocabulary: int, dtype: torch.dtype, device: str, runs: int) -> None:
    """Prints the bandwidth of the softmax and its gradient, and of a copy."""
    rows = MAX_LOGITS[device] // (vocabulary + 1)
    logits = torch.randn(rows, vocabulary + 1, device=device).to(dtype)
    targets = torch.randint(0, vocabulary, (2, rows), device=device)
    # Zero weights: the gradient stays 0 when it is computed repeatedly in place.
    weights = torch.zeros(2, rows, device=device)
    _, normaliser = pick_log_probs(logits, targets)
    copy = torch.empty_like(logits)
    size = logits.numel() * logits.element_size()
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "copy": (2, lambda: copy.copy_(logits)),
        "pick_log_probs": (1, lambda: pick_log_probs(logits, targets)),
        "put_gradient": (2, lambda: put_gradient(logits, normaliser, weights, targets)),
    }
    print(f"{rows} rows of {vocabulary + 1} logits in {dtype}:")
    for name, (passes, work) in works.items():
        spent = seconds(work, device, runs)
        print(f"  {name}: {spent * 1e3:.3g} ms, {passes * size / spent / 1e12:.3g} TB/s")


def show_lattice(batch: int, frames: int, labels: int, device: str, runs: int) -> None:
    """Prints the time of both recursions."""
    scores = torch.randn(2, batch, frames, labels + 1, device=device)
    names = torch.zeros(batch, labels, dtype=torch.int64, device=device)
    lengths = torch.full((batch,), frames, device=device)
    lattice = valid_lattice(
        scores, names, lengths, torch.full_like(lengths, labels), RnntTopology()
    )
    spent = seconds(lambda: both_scores(lattice), device, runs)
    steps = frames + labels
    print(
        f"both recursions, {steps} steps: {spent * 1e3:.3g} ms, {spent / steps * 1e6:.3g} us each"
    )


@click.command()
@click.option("--device", type=click.Choice(list(MAX_LOGITS)), default="cpu", show_default=True)
@click.option("--batch", default=30, show_default=True)
@click.option("--frames", default=400, show_default=True)
@click.option("--labels", default=60, show_default=True)
@click.option("--runs", default=20, show_default=True, help="Timed runs of each part.")
def main(device: str, batch: int, frames: int, labels: int, runs: int) -> None:
    """Prints the bandwidth or time of each part."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: PyTorch finds no GPU here")
    by = "kernels of Triton" if triton_serves(torch.empty(0, device=device)) else "PyTorch"
    print(f"by {by}")
    # PyTorch's own operations get their logits in float32.
    dtypes = (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,)
    for vocabulary in (500, 5000):
        for dtype in dtypes:
            show_softmax(vocabulary, dtype, device, runs)
    show_lattice(batch, frames, labels, device, runs)


if __name__ == "__main__":
    main()
