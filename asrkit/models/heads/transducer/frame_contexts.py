"""What a joiner sees in addition to a frame: nothing, or attention to its neighbours.

A context depends only on frames, not on labels, so that it is computed once per utterance and
is the same in the loss over the full lattice and in search.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.dropout import Dropout


class FrameContext(nn.Module, ABC):
    """A vector for each frame from the frames around it; implementations set `dim` (C)."""

    dim: int

    @abstractmethod
    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns (B, T, C) for frames (B, T, D), of which those in mask (B, T) are valid."""


contexts: Registry[FrameContext] = Registry("frame_context", FrameContext, late=("input_dim",))


@contexts.register("none")
class NoContext(FrameContext):
    """The joiner only sees the frame.

    Args:
        input_dim: D of the frames.
    """

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.dim = 0

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns (B, T, 0)."""
        return frames[..., :0]


@contexts.register("window_attention")
class WindowAttention(FrameContext):
    """Attends to the frames of a window around each frame, which is the query; one head.

    Args:
        input_dim: D of the frames; they are the values, so that C = D.
        window: Frames of the window, the frame in its middle.
        key_dim: Size of keys and queries.
        dropout: Of the frames that keys are made of.
        weight_dropout: Of the attention weights.
        bias: Whether keys have a bias, which adds the same to all energies of a frame, so that the
            attention is that without; queries have none.

    Raises:
        ValueError: If the window has no middle, or the keys no size.

    Source: the local attention of Zeyer et al. 2020, "A new training pipeline for an improved
        neural transducer"; scaled dot products of Vaswani et al. 2017, section 3.2.1. Frames
        beyond the ends of an utterance get no weight.
    """

    def __init__(
        self,
        input_dim: int,
        window: int,
        key_dim: int,
        dropout: float = 0.2,
        weight_dropout: float = 0.1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window ({window}) must be odd: a frame and its neighbours")
        if key_dim < 1:
            raise ValueError(f"key_dim ({key_dim}) must be at least 1")
        self.dim, self.window = input_dim, window
        self.key = nn.Linear(input_dim, key_dim, bias=bias)
        self.query = nn.Linear(input_dim, key_dim, bias=False)
        self.dropout = Dropout(dropout)
        self.weight_dropout = Dropout(weight_dropout, shareable=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns (B, T, D), the attended frames."""
        # Padding may hold anything, and zero times that must be zero.
        values = frames.masked_fill(~mask[..., None], 0.0)
        weights = self.weight_dropout(self.weights(values, mask))
        attended = torch.zeros_like(values)
        for weight, value in zip(weights.unbind(2), self._shifts(values), strict=True):
            attended = attended + weight[..., None] * value
        return attended

    def weights(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, T, W) to each place of the window, without dropout of it."""
        keys, query = self.key(self.dropout(frames)), self.query(frames)
        energies = [(query * key).sum(2) for key in self._shifts(keys)]
        valid = torch.stack(list(self._shifts(mask[..., None])), 2)[..., 0]
        # In the padding a frame attends to itself: nothing to attend to would be NaN.
        valid[..., self.window // 2] |= ~mask
        energy = torch.stack(energies, 2).float() / math.sqrt(self.key.out_features)
        return energy.masked_fill(~valid, float("-inf")).softmax(2).to(frames.dtype)

    def _shifts(self, x: Tensor) -> list[Tensor]:
        """Returns x (B, T, D) as each place of the window sees it, zeros beyond its ends."""
        side, size = self.window // 2, x.shape[1]
        padded = F.pad(x, (0, 0, side, side))
        return [padded[:, place : place + size] for place in range(self.window)]
