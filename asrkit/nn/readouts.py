"""Readouts: what a joiner applies to the sum of its inputs before the output layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry


class Readout(nn.Module, ABC):
    """A deterministic function without parameters: the loss of a joiner applies it twice."""

    @abstractmethod
    def output_dim(self, dim: int) -> int:
        """Returns the output size for vectors of size dim.

        Raises:
            ValueError: If vectors can't have this size.
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Returns (..., output_dim(J)) for x (..., J)."""


readouts: Registry[Readout] = Registry("readout", Readout)


@readouts.register("tanh")
class TanhReadout(Readout):
    """tanh(x)."""

    def output_dim(self, dim: int) -> int:
        """Returns dim."""
        return dim

    def forward(self, x: Tensor) -> Tensor:
        """Returns tanh(x), (..., J)."""
        return torch.tanh(x)


@readouts.register("maxout")
class MaxoutReadout(Readout):
    """Maxout: the largest of every few neighbouring values.

    Args:
        pieces: Number of neighbours that become one value.

    Raises:
        ValueError: If there are fewer than two pieces.

    Source: Goodfellow et al. 2013, equation 1.
    """

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        if pieces < 2:
            raise ValueError(f"pieces ({pieces}) must be at least 2")
        self.pieces = pieces

    def output_dim(self, dim: int) -> int:
        """Returns dim / pieces."""
        if dim % self.pieces:
            raise ValueError(f"a size of {dim} can't be split into pieces of {self.pieces}")
        return dim // self.pieces

    def forward(self, x: Tensor) -> Tensor:
        """Returns (..., J / pieces) for x (..., J)."""
        largest: Tensor = x.unflatten(-1, (-1, self.pieces)).amax(-1)
        return largest
