"""What a decoder of chunks is trained on: the labels of each chunk, then end of chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.alignments import AlignedLabels, aligned_labels
from asrkit.nn.masking import length_mask


@dataclass(frozen=True)
class ChunkSymbols:
    """Labels and ends of chunks, in the order in which a decoder predicts them.

    Args:
        inputs: (B, L) the symbol before each; end of chunk before the first.
        targets: (B, L).
        lengths: (B,) labels and chunks of each utterance.
        chunks: (B, L) the chunk that each belongs to.
        spelt: The labels.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    chunks: Tensor
    spelt: AlignedLabels

    @classmethod
    def of(
        cls, symbols: Tensor, lengths: Tensor, chunk_frames: int, end: int, repeats: bool
    ) -> ChunkSymbols:
        """Returns those of alignments.

        Args:
            symbols: (B, T) one symbol per frame, blank being `end`; -1 in the padding.
            lengths: (B,) valid frames.
            chunk_frames: Frames of a chunk.
            end: End of chunk, V.
            repeats: Whether equal labels in a row are one label, as in CTC.
        """
        spelt = aligned_labels(symbols, end, repeats)
        counts = torch.div(lengths + chunk_frames - 1, chunk_frames, rounding_mode="floor")
        inside = length_mask(spelt.label_lengths, spelt.labels.shape[1])  # (B, U)
        of_label = torch.div(_last_frames(symbols, spelt, end), chunk_frames, rounding_mode="floor")
        sizes = spelt.label_lengths + counts  # (B,)
        most = int(sizes.max())
        # Before a label stand the labels before it, and the ends of the chunks before its own.
        places = torch.arange(spelt.labels.shape[1], device=symbols.device) + of_label  # (B, U)
        places = torch.where(inside, places, most)
        targets = torch.full_like(symbols[:, :1], end).expand(-1, most + 1)  # (B, L + 1)
        targets = targets.scatter(1, places, spelt.labels)[:, :-1]
        inputs = F.pad(targets, (1, 0), value=end)[:, :-1]
        ended = F.pad((targets == end).long().cumsum(1), (1, 0))[:, :-1]  # (B, L)
        return cls(inputs, targets, sizes, torch.minimum(ended, counts[:, None] - 1), spelt)

    def mask(self) -> Tensor:
        """Returns which of them are valid: (B, L)."""
        return length_mask(self.lengths, self.targets.shape[1])

    def frames(self, lengths: Tensor, num_frames: int, chunk_frames: int) -> Tensor:
        """Returns the frames (B, L, T) that each sees: those of its chunk."""
        places = torch.arange(num_frames, device=lengths.device)
        of_frame = torch.div(places, chunk_frames, rounding_mode="floor")  # (T,)
        own = of_frame == self.chunks[..., None]  # (B, L, T)
        return own & length_mask(lengths, num_frames)[:, None]


def _last_frames(symbols: Tensor, spelt: AlignedLabels, blank: int) -> Tensor:
    """Returns the last frame (B, U) of each label."""
    said = (symbols >= 0) & (symbols != blank)  # (B, T)
    counts = torch.cat([spelt.before[:, 1:], spelt.label_lengths[:, None]], 1)  # up to each frame
    none = spelt.labels.shape[1]
    rows = torch.where(said, counts - 1, none)  # (B, T) which label is said
    frames = torch.arange(symbols.shape[1], device=symbols.device).expand_as(symbols)
    last = symbols.new_zeros(len(symbols), none + 1).scatter_reduce(1, rows, frames, "amax")
    return last[:, :-1]
