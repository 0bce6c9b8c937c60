"""Masks from lengths: made only here. Masks are boolean, True = valid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SequenceContext:
    """What every sublayer may know about a padded batch; made once per forward pass.

    Args:
        mask: (B, T) True where a frame is valid.
        attention: (B, T, T) or (B, 1, T); True in row i, column j where i may attend to j.
        causal: Whether sublayers with a context (convolutions) must not see the future.
    """

    mask: Tensor
    attention: Tensor
    causal: bool = False


def length_mask(lengths: Tensor, max_length: int | None = None) -> Tensor:
    """Returns the mask of valid positions.

    Args:
        lengths: (B,) int64.
        max_length: T; the longest length where None.

    Returns:
        (B, T) bool, True = valid.
    """
    size = int(lengths.max()) if max_length is None else max_length
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def zero_padding(frames: Tensor, mask: Tensor) -> Tensor:
    """Returns frames (B, T, ...) with zeros where the mask (B, T) is False."""
    return frames.masked_fill(~mask.view(*mask.shape, *([1] * (frames.dim() - 2))), 0.0)
