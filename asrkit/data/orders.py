"""The order of utterances in an epoch: a pure function of seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.config.registry import Registry


class Order(ABC):
    """Orders utterances; `shuffles_batches` is True if batches are shuffled as well."""

    shuffles_batches = False

    @abstractmethod
    def arrange(self, seconds: NDArray[np.float64], random: np.random.Generator) -> list[int]:
        """Returns the indices of utterances with the given durations, in order."""


orders: Registry[Order] = Registry("order", Order)


@orders.register("random")
@dataclass(frozen=True)
class RandomOrder(Order):
    """Utterances and batches in random order."""

    shuffles_batches = True

    def arrange(self, seconds: NDArray[np.float64], random: np.random.Generator) -> list[int]:
        """Returns a random permutation."""
        return [int(index) for index in random.permutation(len(seconds))]


@orders.register("corpus")
@dataclass(frozen=True)
class CorpusOrder(Order):
    """The order of the manifest, in every pass."""

    def arrange(self, seconds: NDArray[np.float64], random: np.random.Generator) -> list[int]:
        """Returns the indices as they are."""
        return list(range(len(seconds)))


@orders.register("by_length")
@dataclass(frozen=True)
class LengthOrder(Order):
    """Shortest first, or longest first.

    Args:
        descending: Whether the longest utterances come first.
    """

    descending: bool = False

    def arrange(self, seconds: NDArray[np.float64], random: np.random.Generator) -> list[int]:
        """Returns the indices sorted by duration."""
        ranked = np.argsort(-seconds if self.descending else seconds, kind="stable")
        return [int(index) for index in ranked]


@orders.register("chunk_sorted")
@dataclass(frozen=True)
class ChunkSortedOrder(Order):
    """Random order, cut into chunks that are sorted by length.

    Args:
        size: Utterances per chunk.
        alternate: Whether every second chunk is sorted in reverse ("laplace").
    """

    size: int
    alternate: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size ({self.size}) must be at least 1")

    def arrange(self, seconds: NDArray[np.float64], random: np.random.Generator) -> list[int]:
        """Returns the indices, sorted by duration within chunks."""
        shuffled = random.permutation(len(seconds))
        result: list[int] = []
        for number, start in enumerate(range(0, len(shuffled), self.size)):
            chunk = shuffled[start : start + self.size]
            chunk = chunk[np.argsort(seconds[chunk], kind="stable")]
            result += (chunk[::-1] if self.alternate and number % 2 else chunk).tolist()
        return result
