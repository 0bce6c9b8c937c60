"""Utterances cut into chunks for training: each chunk becomes a sequence of its own.

Nothing in a chunk sees another one: neither self-attention nor convolutions nor recurrent layers
do. In decoding and on dev data nothing is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunking:
    """Cuts every utterance into chunks, the last one shorter.

    Chunks begin at 0, `step`, 2 · `step` and so on; a short utterance is a chunk.

    Args:
        size: Frames of a chunk.
        step: From the begin of a chunk to that of the next; the size where null. Where it is less,
            chunks overlap, and frames are trained on several times.

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
        """Returns the frames from the begin of a chunk to that of the next."""
        return self.size if self.step is None else self.step

    def of(self, lengths: Tensor) -> Chunks:
        """Returns where the chunks of utterances with lengths (B,) are."""
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
        stride: Frames from the begin of a chunk to that of the next.
        first: (B,) the first chunk of each utterance.
        utterances: (C,) whose each chunk is.
        starts: (C,) first frames.
        lengths: (C,) frames.
    """

    stride: int
    first: Tensor
    utterances: Tensor
    starts: Tensor
    lengths: Tensor

    def cut(self, frames: Tensor, padding: float = 0.0) -> Tensor:
        """Returns the chunks (C, L, ...) of frames (B, T, ...), with this value after their end."""
        offsets = torch.arange(int(self.lengths.max()), device=frames.device)
        places = (self.starts[:, None] + offsets).clamp(max=frames.shape[1] - 1)
        cut = frames[self.utterances[:, None], places]
        outside = offsets >= self.lengths[:, None]
        return cut.masked_fill(outside.view(*outside.shape, *[1] * (cut.dim() - 2)), padding)

    def join(self, chunks: Tensor, num_frames: int) -> Tensor:
        """Returns frames (B, T, ...) of chunks (C, L, ...) that do not overlap, the way back."""
        places = torch.arange(num_frames, device=chunks.device)
        # What is beyond the end of an utterance is padding, whatever it holds.
        numbers = (self.first[:, None] + places // self.stride).clamp(max=len(chunks) - 1)
        return chunks[numbers, (places % self.stride).clamp(max=chunks.shape[1] - 1)]
