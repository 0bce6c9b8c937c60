"""The type that all parts share: a padded minibatch of utterances."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One padded minibatch of B utterances.

    Args:
        ids: B utterance names, for messages and results.
        signal: (B, N) 16-bit samples or floats in [-1, 1), or (B, T, F) ready-made features.
        signal_lengths: (B,) int64, valid samples (or frames) of each utterance.
        labels: (B, U) int64 target units without bos, eos and blank; padding has any valid id.
        label_lengths: (B,) int64.
        alignment: (B, N) a symbol for each frame of the encoder, or of the features, as
            `given_targets` of the head says that needs it, or symbols in order; -1 in the padding.
        speeds: That each utterance is played at; empty where nobody knows.
    """

    ids: list[str]
    signal: Tensor
    signal_lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    alignment: Tensor | None = None
    speeds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """Returns the batch with its tensors on a device."""
        return replace(
            self,
            signal=self.signal.to(device, non_blocking=True),
            signal_lengths=self.signal_lengths.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            label_lengths=self.label_lengths.to(device, non_blocking=True),
            alignment=None if self.alignment is None else self.alignment.to(device),
        )

    def repeated(self, times: int) -> Batch:
        """Returns a batch of all utterances, then all of them again, so many times."""

        def rows(tensor: Tensor) -> Tensor:
            return tensor.repeat(times, *([1] * (tensor.dim() - 1)))

        return Batch(
            self.ids * times,
            rows(self.signal),
            rows(self.signal_lengths),
            rows(self.labels),
            rows(self.label_lengths),
            None if self.alignment is None else rows(self.alignment),
            self.speeds * times,
        )

    def halves(self) -> tuple[Batch, Batch]:
        """Splits the batch in two, each cut to its own longest utterance.

        Raises:
            ValueError: If there is only one utterance.
        """
        if len(self) < 2:
            raise ValueError(f"a batch of one utterance can't be split: {self.ids}")
        middle = len(self) // 2
        return self._part(slice(0, middle)), self._part(slice(middle, len(self)))

    def _part(self, part: slice) -> Batch:
        longest = int(self.signal_lengths[part].max())
        most_labels = int(self.label_lengths[part].max())
        alignment = None if self.alignment is None else self.alignment[part]
        if alignment is not None:
            alignment = alignment[:, : int((alignment >= 0).sum(1).max())]
        return Batch(
            self.ids[part],
            self.signal[part, :longest],
            self.signal_lengths[part],
            self.labels[part, :most_labels],
            self.label_lengths[part],
            alignment,
            self.speeds[part],
        )
