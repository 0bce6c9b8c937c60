"""Dropout with random numbers that cost little on a CPU.

Drawing one random number per value takes a fifth of a training step on a CPU. Here one 64-bit
number serves four values, 16 bits each, so the probability is a multiple of 1/65536.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Sets values to zero at random in training, and scales up the others.

    Args:
        probability: That a value is set to zero.

    Raises:
        ValueError: If the probability is not in [0, 1).

    Source: Srivastava et al. 2014, section 4.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"dropout ({probability}) must be at least 0 and below 1")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the same shape."""
        return dropout(x, self.probability) if self.training else x

    def extra_repr(self) -> str:
        """Returns the probability, for printing."""
        return str(self.probability)


def dropout(x: Tensor, probability: float) -> Tensor:
    """Returns x with values set to zero at random, the others scaled up."""
    if not probability:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    threshold = round(probability * 65536)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
    draws.random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)  # uniform in [-32768, 32768)
    kept = bits >= threshold - 32768
    return x * (kept * (65536 / (65536 - threshold))).to(x.dtype)
