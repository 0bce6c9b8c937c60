"""What a trainer gets in addition to a model and its settings: data, a folder, a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asrkit.training.metrics import Describe
from asrkit.training.sources import EpochSource


@dataclass(frozen=True)
class Job:
    """What is trained on, where, and from which seed.

    Args:
        train: Training batches.
        dev: Batches that choose checkpoints.
        run: Run folder.
        seed: Of all randomness.
        describe: Called with model, TensorBoard writer and epoch after each evaluation, if set.
        updates: Returns the updates of the whole training, if it has other parts.
        last_update: Training ends after this update, counted from that of the first part, if set.
    """

    train: EpochSource
    dev: EpochSource
    run: Path
    seed: int
    describe: Describe | None = None
    updates: Callable[[], int] | None = None
    last_update: int | None = None
