"""What the losses of an update are divided by, and over which batches that is counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossReport

By = Literal["labels", "utterances", "sum", "parts"]
Over = Literal["update", "mean_of_batches", "sum_of_batches"]
Pieces = Sequence[tuple[int, Batch]]
"""The batches of an update, each with its number: those of equal number are parts of one."""


@dataclass(frozen=True)
class Normalization:
    """What losses are divided by.

    Args:
        by: What is counted.
        over: Of which batches.

    Raises:
        ValueError: If it would have to be known before it is computed.
    """

    by: By
    over: Over

    def __post_init__(self) -> None:
        if self.by == "parts" and self.over == "update":
            raise ValueError(
                "normalize: parts needs normalize_over: mean_of_batches or sum_of_batches, because "
                "what the parts of a loss count is known only after each batch"
            )

    def count(self, pieces: Pieces) -> Tensor | None:
        """Returns () what the loss of the update is divided by, None for nothing."""
        if self.over == "sum_of_batches" or (self.over == "update" and self.by == "sum"):
            return None
        if self.over == "mean_of_batches":
            return torch.tensor(float(len({number for number, _ in pieces})))
        return torch.tensor(float(self._counted(batch for _, batch in pieces)))

    def objective(self, report: LossReport, piece: Batch, batch: Sequence[Batch]) -> Tensor:
        """Returns () the loss of a batch, which the count of the update has not divided yet.

        Args:
            report: Of the piece.
            piece: The batch, or a part of it where memory is short.
            batch: All parts of it.
        """
        trained = [part for part in report.values() if part.weight]
        if self.by == "parts":
            means = [part.weight * part.total / max(part.count, 1) for part in trained]
            return torch.stack(means).sum() * (_labels([piece]) / max(_labels(batch), 1))
        whole = torch.stack([part.weight * part.total for part in trained]).sum()
        if self.over == "update" or self.by == "sum":
            return whole
        return whole / max(self._counted(batch), 1)

    def _counted(self, batches: Iterable[Batch]) -> int:
        return _labels(batches) if self.by == "labels" else sum(map(len, batches))


def _labels(batches: Iterable[Batch]) -> int:
    return sum(int(batch.label_lengths.sum()) for batch in batches)
