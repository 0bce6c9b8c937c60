"""Positions of a training run within an epoch: the plan of its batches, and which items are done.

A number of batches only gives a position as long as the same plan is made again, from the same
data, settings and number of processes. So a checkpoint within an epoch identifies its plan by a
digest, and names what is done. A run that continues with another plan uses what is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

B = TypeVar("B")
"""A planned batch."""
Keys = NDArray[np.int64]
"""(N,) names of items (utterances or sentences) as numbers."""

NONE: Keys = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Rest:
    """What is left of an epoch.

    Args:
        epoch: Number of the epoch.
        done: Items that were used in batches of other plans; they are left out of the plan.
        skipped: Number of batches of the plan that were used by another number of processes.
        first: Number of each process's first batch after those.
    """

    epoch: int = 0
    done: Keys = field(default_factory=lambda: NONE)
    skipped: int = 0
    first: int = 0


class Positions(Generic[B]):
    """The batches of one process in each epoch, and what is left of one that was interrupted.

    Args:
        plan: Returns all batches of an epoch, without the items that are done.
        keys: Returns the names of a batch's items.
        facts: Returns what else identifies a batch, such as speeds.
        rank: This process among `size`; takes every size-th batch.
        size: Number of processes.
    """

    def __init__(
        self,
        plan: Callable[[int, Keys], list[B]],
        keys: Callable[[B], Keys],
        facts: Callable[[B], bytes],
        rank: int,
        size: int,
    ) -> None:
        self._plan, self._keys, self._facts = plan, keys, facts
        self._rank, self._size = rank, size
        self._rest = Rest()
        self._planned: tuple[int, list[B]] = (0, [])

    def batches(self, epoch: int) -> tuple[int, list[B]]:
        """Returns the remaining batches of this process, and the number of the first one."""
        rest = self._rest_of(epoch)
        return rest.first, self._all(rest)[rest.skipped :][self._rank :: self._size]

    def mark(self, epoch: int, number: int) -> dict[str, Any]:
        """Returns the position to store in a checkpoint before batch `number` of each process."""
        rest = self._rest_of(epoch)
        batches = self._all(rest)
        used = min(rest.skipped + (number - rest.first) * self._size, len(batches))
        return {
            "digest": self._digest(batches),
            "processes": self._size,
            "first": rest.first,
            "skipped": rest.skipped,
            "before": torch.from_numpy(rest.done),
            "done": torch.from_numpy(self._keys_of(batches[:used])),
        }

    def go_on(self, epoch: int, number: int, mark: dict[str, Any]) -> str:
        """Goes to the position stored in a checkpoint before batch `number` of each process.

        Returns:
            What is different from when the checkpoint was made; empty if nothing is.
        """
        before = mark["before"].numpy()
        batches = self._plan(epoch, before)
        if self._digest(batches) == mark["digest"]:
            if mark["processes"] == self._size:
                self._go_to(Rest(epoch, before, mark["skipped"], mark["first"]))
                return ""
            used = mark["skipped"] + (number - mark["first"]) * mark["processes"]
            self._go_to(Rest(epoch, before, min(used, len(batches)), number))
            return (
                f"{self._size} processes instead of {mark['processes']} share what is left of "
                f"epoch {epoch}: {max(len(batches) - used, 0)} of {len(batches)} batches"
            )
        done = np.union1d(before, mark["done"].numpy())
        self._go_to(Rest(epoch, done, 0, number))
        left = len(self._keys_of(self._all(self._rest)))
        whole = len(self._keys_of(self._plan(epoch, NONE)))
        return (
            "the data, data.batches.max_seconds or another setting of batches has changed within "
            f"epoch {epoch}: of its {whole} items {whole - left} are done, the other {left} come "
            "in other batches"
        )

    def _go_to(self, rest: Rest) -> None:
        self._rest, self._planned = rest, (0, [])

    def _rest_of(self, epoch: int) -> Rest:
        return self._rest if self._rest.epoch == epoch else Rest(epoch)

    def _all(self, rest: Rest) -> list[B]:
        if self._planned[0] != rest.epoch:
            self._planned = rest.epoch, self._plan(rest.epoch, rest.done)
        return self._planned[1]

    def _keys_of(self, batches: list[B]) -> Keys:
        return np.concatenate([NONE, *(self._keys(batch) for batch in batches)])

    def _digest(self, batches: list[B]) -> str:
        digest = hashlib.sha256()
        for batch in batches:
            digest.update(self._keys(batch).tobytes() + self._facts(batch) + b"|")
        return digest.hexdigest()


def keys_of_names(names: list[str]) -> Keys:
    """Returns a hash of each name; collisions are very unlikely even among millions."""
    found = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(found, np.int64)
