"""Given alignments: which labels they spell, and how many of them come before each frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AlignedLabels:
    """The labels of alignments with one symbol per frame.

    Args:
        labels: (B, U); padding is label 0.
        label_lengths: (B,).
        before: (B, T) how many labels come before each frame's symbol.
    """

    labels: Tensor
    label_lengths: Tensor
    before: Tensor

    def frames_after(self) -> Tensor:
        """Returns the frame after 0 to U labels, (B, U + 1): the first one that knows of them.

        Where there is no such frame it is the last one.
        """
        counts = torch.arange(self.labels.shape[1] + 1, device=self.before.device)
        earlier = (self.before[:, None] < counts[:, None]).sum(2)  # (B, U + 1, T) -> (B, U + 1)
        return earlier.clamp(max=self.before.shape[1] - 1)


def aligned_labels(symbols: Tensor, blank: int, repeats: bool) -> AlignedLabels:
    """Returns what alignments spell.

    Args:
        symbols: (B, T) one symbol per frame; -1 in the padding.
        blank: V.
        repeats: Whether equal labels in a row are one label, as in CTC.
    """
    new = (symbols >= 0) & (symbols != blank)
    if repeats:
        new &= symbols != F.pad(symbols, (1, 0), value=blank)[:, :-1]
    counts = new.long().cumsum(1)
    sizes = counts[:, -1] if symbols.shape[1] else counts.new_zeros(len(symbols))
    most = int(sizes.max()) if len(sizes) else 0
    # Column U takes everything else than new labels.
    target = torch.where(new, counts - 1, most)
    labels = symbols.new_zeros(len(symbols), most + 1).scatter(1, target, symbols)
    valid = torch.arange(most, device=symbols.device) < sizes[:, None]
    return AlignedLabels(labels[:, :-1] * valid, sizes, counts - new.long())
