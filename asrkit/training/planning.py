"""The number of updates of a training run, computed from its data before it starts."""

from __future__ import annotations

from collections.abc import Callable

from asrkit.training.distributed import World
from asrkit.training.sources import EpochSource

SAMPLED = 20
"""Number of epochs that are planned to estimate the number of batches per epoch."""
Accumulation = list[tuple[int, int]]
"""Pairs of a first epoch and the batches per update and process from there on."""


def mean_batches(num_batches: Callable[[int], int], epochs: int) -> float:
    """Returns the number of batches per epoch, averaged over the first epochs.

    Args:
        num_batches: Returns the batches of an epoch, counted from 1.
        epochs: How many there are.
    """
    sampled = range(1, min(epochs, SAMPLED) + 1)
    return sum(map(num_batches, sampled)) / len(sampled)


def count_updates(
    batches: float, accumulate: Accumulation, epochs: int, first: int = 1, processes: int = 1
) -> int:
    """Returns the number of updates of a training run.

    Args:
        batches: Those of an epoch, of all processes.
        accumulate: Batches per update and process.
        epochs: The last epoch.
        first: The first epoch.
        processes: Number of processes in training.
    """
    updates = 0
    for epoch in range(first, epochs + 1):
        at_once = next(n for start, n in reversed(accumulate) if start <= epoch) * processes
        updates += -(-round(batches) // at_once)
    return updates


def planned_updates(
    source: EpochSource, world: World, accumulate: Accumulation, epochs: int
) -> int:
    """Returns the number of updates with the batches of all processes."""
    batches = mean_batches(lambda epoch: world.most(source.num_batches(epoch)), epochs)
    return count_updates(batches, accumulate, epochs)
