"""Where the trainer's batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from asrkit.data.batch import Batch
from asrkit.errors import UserError


class EpochSource(Protocol):
    """The batches of every (sub-)epoch, counted from 1; always the same ones."""

    def num_batches(self, epoch: int) -> int:
        """Returns the number of batches of this process in an epoch."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's batches of an epoch, from number `start` on."""
        ...


@runtime_checkable
class Marking(Protocol):
    """A source that knows its place within an epoch, whatever batches it makes."""

    def mark(self, epoch: int, number: int) -> dict[str, Any]:
        """Returns the position to store in a checkpoint before batch `number` of each process."""
        ...

    def go_on(self, epoch: int, number: int, mark: dict[str, Any]) -> str:
        """Goes to the position stored in a checkpoint; returns what has changed since, if any."""
        ...


def mark(source: EpochSource, epoch: int, number: int) -> dict[str, Any]:
    """Returns the position in an epoch to store in a checkpoint: empty at its beginning."""
    return source.mark(epoch, number) if number and isinstance(source, Marking) else {}


def go_on(source: EpochSource, epoch: int, number: int, mark: dict[str, Any]) -> str:
    """Goes to a place in an epoch.

    Args:
        source: Of the batches.
        epoch: Which.
        number: How many batches of it each process has taken.
        mark: What the checkpoint says of the place; nothing in those of older versions.

    Returns:
        What has changed since, if anything, or that it can't be known.
    """
    if not number or not isinstance(source, Marking):
        return ""
    if not mark:
        return (
            f"the checkpoint is of an older version, which did not say what of epoch {epoch} is "
            f"done: {number} of its batches count as done, which is right if data, settings and "
            "number of processes are as they were"
        )
    return source.go_on(epoch, number, mark)


class NoBatches:
    """The dev batches of training without a dev set."""

    def num_batches(self, epoch: int) -> int:
        """Returns 0."""
        return 0

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields nothing."""
        return iter(())


@contextmanager
def reading(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """Gives the batches, and ends their reading processes at the end."""
    try:
        yield batches
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def require_batches(used: int, epoch: int) -> None:
    """Checks that an epoch had something to train on.

    Raises:
        UserError: If no batch was used in any process.
    """
    if not used:
        raise UserError(f"no utterance of epoch {epoch} can be used; the messages above say why")
