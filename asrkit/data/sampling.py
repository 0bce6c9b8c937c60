"""Which utterances form which batch: a pure function of seed and epoch, so resuming is free."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asrkit.data.positions import NONE, Keys, keys_of_names
from asrkit.data.settings import DataSettings

Planned = list[tuple[int, float]]
"""The utterances of one batch: index and speed."""


def speeds_of(batch: Planned) -> bytes:
    """Returns the speeds of a batch's utterances, to tell batches apart."""
    return repr([speed for _, speed in batch]).encode()


@dataclass(frozen=True)
class Sampler:
    """Plans the batches of every epoch.

    Args:
        ids: Names of all utterances.
        seconds: (N,) their durations.
        settings: How utterances are ordered and grouped.
        seed: Decides order and speeds.
    """

    ids: list[str]
    seconds: NDArray[np.float64]
    settings: DataSettings
    seed: int

    def plan(self, epoch: int, done: Keys = NONE) -> list[Planned]:
        """Returns the batches of a (sub-)epoch, counted from 1, without items that are done."""
        settings = self.settings
        full, part = divmod(epoch - 1, settings.sub_epochs)
        random = np.random.default_rng([self.seed, full])
        order = settings.batches.order.arrange(self.seconds, random)
        size = len(order)
        begin, end = (size * p // settings.sub_epochs for p in (part, part + 1))
        chosen = order[begin:end]
        if len(done):
            left = ~np.isin(self.keys[chosen], done)
            chosen = [index for index, kept in zip(chosen, left, strict=True) if kept]
        batches = self.group(chosen, {i: self.speed(self.ids[i], full) for i in chosen})
        if settings.batches.order.shuffles_batches:
            shuffler = np.random.default_rng([self.seed, full, part])
            batches = [batches[i] for i in shuffler.permutation(len(batches))]
        return batches

    @cached_property
    def keys(self) -> Keys:
        """(N,) the names of all utterances as numbers."""
        return keys_of_names(self.ids)

    def keys_of(self, batch: Planned) -> Keys:
        """Returns the names of a batch's utterances as numbers."""
        return self.keys[[index for index, _ in batch]]

    def speed(self, utterance: str, full_epoch: int) -> float:
        """Returns the speed of an utterance, by name, in a pass over the data.

        It is independent of other utterances and passes, because all bits of the hash are.
        """
        speeds = self.settings.speeds
        if len(speeds) == 1:
            return speeds[0]
        drawn = hashlib.blake2b(f"{self.seed} {full_epoch} {utterance}".encode(), digest_size=8)
        return speeds[int.from_bytes(drawn.digest()) % len(speeds)]

    def draw(self, epoch: int) -> str:
        """Returns what the random choices of a (sub-)epoch depend on: seed and pass."""
        return f"{self.seed} {(epoch - 1) // self.settings.sub_epochs}"

    def group(self, order: list[int], speeds: dict[int, float]) -> list[Planned]:
        """Fills one open batch per bucket of similar durations; a full one is closed."""
        seconds = {i: self.seconds[i] / speeds[i] for i in order}
        if not seconds:
            return []
        quantiles = np.linspace(0, 1, self.settings.batches.num_buckets + 1)[1:-1]
        edges = np.quantile(np.fromiter(seconds.values(), float), quantiles)
        open_batches: dict[int, list[int]] = {}
        closed: list[list[int]] = []
        for index in order:
            bucket = int(np.searchsorted(edges, seconds[index]))
            batch = open_batches.setdefault(bucket, [])
            if batch and self._full([*batch, index], seconds):
                closed.append(batch)
                batch = open_batches[bucket] = []
            batch.append(index)
        closed += self._join([b for _, b in sorted(open_batches.items())], seconds)
        return [[(i, speeds[i]) for i in batch] for batch in closed]

    def _full(self, batch: list[int], seconds: dict[int, float]) -> bool:
        padded = max(seconds[i] for i in batch) * len(batch)
        batches = self.settings.batches
        return padded > batches.max_seconds or len(batch) > batches.max_utterances

    def _join(self, rest: list[list[int]], seconds: dict[int, float]) -> list[list[int]]:
        """Joins neighbouring leftovers that fit into one batch."""
        joined: list[list[int]] = []
        for batch in rest:
            if joined and not self._full(joined[-1] + batch, seconds):
                joined[-1] = joined[-1] + batch
            else:
                joined.append(batch)
        return joined
