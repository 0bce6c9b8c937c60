"""What a joiner does with the sum of its inputs before the output layer; without parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry


class Readout(nn.Module, ABC):
    """A function without parameters and chance: a joiner's loss applies it twice."""

    @abstractmethod
    def output_dim(self, dim: int) -> int:
        """Returns the size of what comes out for vectors of size dim.

        Raises:
            ValueError: If there can be no vectors of this size.
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
    """The largest of every few neighbours.

    Args:
        pieces: Neighbours that become one.

    Raises:
        ValueError: If that is not at least two.

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
