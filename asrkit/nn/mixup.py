"""Mixup of features: a little of other utterances is added to each."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.applied import Applied
from asrkit.nn.augment import Augment, augments, uniform
from asrkit.nn.masking import length_mask, zero_padding


@augments.register("mixup")
class Mixup(Augment):
    """Adds stretches of frames of earlier batches to each utterance; labels stay what they are.

    The newest frames are kept in a ring. It is no part of checkpoints: a training that goes on
    fills it again, and adds nothing until it holds as many frames as an utterance has.

    Args:
        buffer_frames: How many frames are kept.
        probability: That a batch is changed.
        max_stretches: Largest number of stretches that are added to an utterance, from 1 on.
        min_share: Smallest sum of their factors where there is one of them.
        max_share: Largest sum of their factors.

    Raises:
        ValueError: If a number is too small, the probability is none, or the smallest share exceeds
            the largest.

    Source: rwth-i6/i6_experiments, users/zeyer/nn_rf/mixup.py.
    """

    def __init__(
        self,
        buffer_frames: int = 1_000_000,
        probability: float = 1.0,
        max_stretches: int = 4,
        min_share: float = 0.1,
        max_share: float = 0.4,
    ) -> None:
        super().__init__()
        if buffer_frames < 1 or max_stretches < 1:
            raise ValueError(
                f"buffer_frames ({buffer_frames}) and max_stretches ({max_stretches}) must be at "
                "least 1"
            )
        if not 0 <= probability <= 1 or not 0 <= min_share <= max_share:
            raise ValueError(
                f"mixup needs a probability ({probability}) from 0 to 1, and 0 <= min_share "
                f"({min_share}) <= max_share ({max_share})"
            )
        self.size, self.probability, self.max_stretches = buffer_frames, probability, max_stretches
        self.min_share, self.max_share = min_share, max_share
        self.ring: Tensor | None = None
        self.place = self.filled = 0
        self.applied = Applied()

    @torch.no_grad()
    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns mixed features (B, T, F) and the same lengths."""
        mask = length_mask(lengths, features.shape[1])
        changed = bool(torch.rand((), device="cpu") < self.probability)
        mixed, count = features, lengths.sum()
        if changed and self.ring is not None and self.filled >= features.shape[1]:
            mixed = zero_padding(features + self._drawn(features, self.ring), mask)
        self.applied.count("mixed_frames", 0.0 if mixed is features else count, count)
        self._keep(features[mask])
        return mixed, lengths

    def _drawn(self, features: Tensor, ring: Tensor) -> Tensor:
        """Returns the sum (B, T, F) of stretches, each times its factor."""
        batch, length, _ = features.shape
        factors = self._factors(batch, features.device).to(features.dtype)  # (B, N)
        highest = torch.full_like(factors, self.filled - length, dtype=torch.long)
        starts = uniform(torch.zeros_like(highest), highest)  # (B, N)
        places = torch.arange(length, device=features.device)
        total = torch.zeros_like(features)
        for start, factor in zip(starts.unbind(1), factors.unbind(1), strict=True):
            total += ring[start[:, None] + places] * factor[:, None, None]
        return total

    def _factors(self, batch: int, device: torch.device) -> Tensor:
        """Returns the factors (B, N) of stretches, 0 where an utterance gets fewer than N."""
        shape = (batch, self.max_stretches)
        least = torch.ones(batch, dtype=torch.long, device=device)
        numbers = uniform(least, least * self.max_stretches)
        parts = torch.empty(shape, device=device).uniform_(0.001, 1.0)
        parts = parts * length_mask(numbers, self.max_stretches)
        shares = torch.empty(shape, device=device).uniform_(self.min_share, self.max_share)
        return shares * parts / parts.sum(1, keepdim=True)

    def _keep(self, frames: Tensor) -> None:
        """Writes frames (N, F) into the ring, over the oldest ones."""
        if self.ring is None:
            self.ring = frames.new_zeros(self.size, frames.shape[1])
        frames = frames[-self.size :]
        places = (self.place + torch.arange(len(frames), device=frames.device)) % self.size
        self.ring[places] = frames.to(self.ring.dtype)
        self.place = (self.place + len(frames)) % self.size
        self.filled = min(self.filled + len(frames), self.size)
