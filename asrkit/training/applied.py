"""What augmentation and regularisation did in an epoch, for the log: shares by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from asrkit.data.batch import Batch
from asrkit.nn.applied import Applied, applied_in
from asrkit.training.distributed import World

EVERY = 16
"""One of so many updates is sampled: what is costly to count is counted there."""


class Sampling:
    """Says which updates are sampled, to all that counts.

    Args:
        model: Its modules count.
        update: Counts what updates do.
    """

    def __init__(self, model: nn.Module, update: Applied) -> None:
        self._counters = [update, *(applied for _, applied in applied_in(model))]

    def begin(self, step: int) -> None:
        """Begins an update; whether it is sampled depends on its number alone."""
        for applied in self._counters:
            applied.sampled = step % EVERY == 0


class AppliedTotals:
    """Adds up counts of all modules and processes."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._read = Applied()

    def add_batches(self, batches: Sequence[Batch]) -> None:
        """Counts what reading drew: speeds of utterances, and labels, of random units more."""
        for batch in batches:
            for speed in batch.speeds:
                self._read.count(f"speed.{speed:g}", 1.0, 0.0)
            self._read.count("labels_per_utterance", batch.label_lengths.sum(), len(batch))

    def collect(self, model: nn.Module, update: Applied | None = None) -> None:
        """Adds what was counted since the last time, in a model and by its updates."""
        self._add("", self._read)
        if update is not None:
            self._add("update.", update)
        for name, applied in applied_in(model):
            self._add(f"{name}." if name else "", applied)

    def reduced(self, world: World) -> AppliedTotals:
        """Returns the sums over all processes."""
        result = AppliedTotals()
        for state in world.gather(self.state_dict()):
            for name, counts in state.items():
                result._add_counts(name, *counts)
        return result

    def values(self) -> dict[str, float]:
        """Returns what share was changed, by name; `Applied.count` says what it is a share of."""
        groups: dict[str, float] = {}
        for name, (part, _) in self._sums.items():
            groups[_group(name)] = groups.get(_group(name), 0.0) + part
        return {
            name: float(f"{part / (of or groups[_group(name)] or 1.0):.6g}")
            for name, (part, of) in sorted(self._sums.items())
        }

    def state_dict(self) -> dict[str, list[float]]:
        """Returns the sums."""
        return {name: list(counts) for name, counts in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Restores what `state_dict` gave."""
        self._sums = {name: list(counts) for name, counts in state.items()}

    def _add(self, prefix: str, applied: Applied) -> None:
        for name, counts in applied.take().items():
            self._add_counts(prefix + name, *counts)

    def _add_counts(self, name: str, part: float, of: float) -> None:
        entry = self._sums.setdefault(name, [0.0, 0.0])
        entry[0] += part
        entry[1] += of


def _group(name: str) -> str:
    return name.partition(".")[0]
