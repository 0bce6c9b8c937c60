"""A bias on its own, for what has none: embeddings of labels are linear layers without it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bias(nn.Module):
    """Adds a learned vector, zeros at first.

    Args:
        dim: D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Returns x (..., D) with the bias."""
        return x + self.bias
