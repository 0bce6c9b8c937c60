"""Where the trainer's batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from asrkit.data.batch import Batch


class EpochSource(Protocol):
    """The batches of every (sub-)epoch, counted from 1; the same ones whenever asked."""

    def num_batches(self, epoch: int) -> int:
        """Returns how many batches this process takes in an epoch."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's batches of an epoch, from number `start` on."""
        ...


class NoBatches:
    """The dev batches of a training that has no dev set."""

    def num_batches(self, epoch: int) -> int:
        """Returns 0."""
        return 0

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields nothing."""
        return iter(())


@contextmanager
def reading(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """Gives the batches, and ends their reading at the end: no process is left behind them."""
    try:
        yield batches
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
