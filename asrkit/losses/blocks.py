"""Rectangles of cells (t, u) of one utterance, computed at a time.

The cells that matter form a band around the alignments: each frame has a lowest and a highest u.
Blocks cover such bands, without padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Occupations below this multiple of the rounding error do not change any digit of a gradient.
NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Block:
    """A rectangle of cells of one utterance: frames [start, end), label counts [low, high)."""

    utterance: int
    start: int
    end: int
    low: int
    high: int

    @property
    def size(self) -> int:
        """Returns the number of cells."""
        return (self.end - self.start) * (self.high - self.low)

    def of(self, cells: Tensor) -> Tensor:
        """Returns (..., C, W), the part of cells (..., B, T, U + 1)."""
        return cells[..., self.utterance, self.start : self.end, self.low : self.high]

    def frames_of(self, encoder: Tensor) -> Tensor:
        """Returns (C, J), the part of encoder (B, T, J)."""
        return encoder[self.utterance, self.start : self.end]

    def counts_of(self, prediction: Tensor) -> Tensor:
        """Returns (W, J), the part of prediction (B, U + 1, J)."""
        return prediction[self.utterance, self.low : self.high]

    def targets_of(self, targets: Tensor) -> Tensor:
        """Returns (Y - 1, C, W), the part of targets (Y - 1, B, U + 1)."""
        part = targets[:, self.utterance, None, self.low : self.high]
        return part.expand(-1, self.end - self.start, -1)


def blocks(low: Tensor, high: Tensor, max_cells: int) -> Iterator[Block]:
    """Yields blocks that cover the cells from low to high of each frame; none where high < low.

    Args:
        low: (B, T) lowest u.
        high: (B, T) highest u.
        max_cells: Maximum number of cells of a block, unless it has a single frame.

    Yields:
        Blocks; no two of them have a frame in common.
    """
    for utterance, bounds in enumerate(torch.stack([low, high + 1], 2).tolist()):
        block: Block | None = None
        for frame, (first, end) in enumerate(bounds):
            if first >= end:
                continue
            if block is not None:
                wider = Block(
                    utterance, block.start, frame + 1, min(block.low, first), max(block.high, end)
                )
                if wider.size <= max_cells:
                    block = wider
                    continue
                yield block
            block = Block(utterance, frame, frame + 1, first, end)
        if block is not None:
            yield block


def occupied_band(occupation: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (B, T) the lowest and highest u with a part in occupation (Y, B, T, U + 1)."""
    negligible = occupation.sum(0) <= NEGLIGIBLE * torch.finfo(occupation.dtype).eps
    used = ~negligible  # NaN is not negligible: it must show in the gradients
    counts = torch.arange(used.shape[2], device=used.device)
    low = torch.where(used, counts, used.shape[2]).amin(2)
    return low, torch.where(used, counts, -1).amax(2)
