"""Utterances cut into chunks for training: each chunk becomes a sequence of its own.

Self-attention, convolutions and recurrent layers see nothing outside of their chunk. In decoding
and on dev data utterances stay whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunking:
    """Cuts every utterance into chunks; the last one may be shorter.

    Chunks begin at 0, `step`, 2 · `step` and so on; a short utterance is a single chunk.

    Args:
        size: Frames per chunk.
        step: Frames from the start of one chunk to the start of the next; the size where null. If
            it is less, chunks overlap and frames are trained on several times.

    Raises:
        ValueError: If the size is not positive, or the step not between 1 and the size.
    """

    size: int
    step: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1 or not 1 <= self.stride <= self.size:
            raise ValueError(
                f"chunks need a size ({self.size}) of at least 1, and a step ({self.step}) between "
                "1 and the size, or null"
            )

    @property
    def stride(self) -> int:
        """Returns the frames from the start of one chunk to the start of the next."""
        return self.size if self.step is None else self.step

    def of(self, lengths: Tensor) -> Chunks:
        """Returns the positions of all chunks of utterances with lengths (B,)."""
        lengths = lengths.clamp(min=1)
        counts = (lengths + self.stride - 1).div(self.stride, rounding_mode="floor")
        utterances = torch.repeat_interleave(counts)
        first = counts.cumsum(0) - counts
        numbers = torch.arange(len(utterances), device=lengths.device) - first[utterances]
        starts = numbers * self.stride
        sizes = (lengths[utterances] - starts).clamp(max=self.size)
        return Chunks(self.stride, first, utterances, starts, sizes)


@dataclass(frozen=True)
class Chunks:
    """The C chunks of a batch, utterance by utterance.

    Args:
        stride: Frames from the start of one chunk to the start of the next.
        first: (B,) index of each utterance's first chunk.
        utterances: (C,) index of the utterance that a chunk belongs to.
        starts: (C,) first frame of each chunk.
        lengths: (C,) number of frames of each chunk.
    """

    stride: int
    first: Tensor
    utterances: Tensor
    starts: Tensor
    lengths: Tensor

    def cut(self, frames: Tensor, padding: float = 0.0) -> Tensor:
        """Returns the chunks (C, L, ...) of frames (B, T, ...), padded with this value."""
        offsets = torch.arange(int(self.lengths.max()), device=frames.device)
        places = (self.starts[:, None] + offsets).clamp(max=frames.shape[1] - 1)
        cut = frames[self.utterances[:, None], places]
        outside = offsets >= self.lengths[:, None]
        return cut.masked_fill(outside.view(*outside.shape, *[1] * (cut.dim() - 2)), padding)

    def join(self, chunks: Tensor, num_frames: int) -> Tensor:
        """Returns the frames (B, T, ...) of chunks (C, L, ...) that do not overlap."""
        places = torch.arange(num_frames, device=chunks.device)
        # Frames beyond the end of an utterance are padding: their values don't matter.
        numbers = (self.first[:, None] + places // self.stride).clamp(max=len(chunks) - 1)
        return chunks[numbers, (places % self.stride).clamp(max=chunks.shape[1] - 1)]
