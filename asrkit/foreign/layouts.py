"""What other frameworks order differently within tensors, and how it is ordered here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from asrkit.foreign.transforms import Transform

GATES = "ifgo"
"""PyTorch's order of an LSTM's gates: input, forget, values, output."""


@dataclass(frozen=True)
class Chained(Transform):
    """Transforms one after the other, of which only the first may join tensors.

    Args:
        parts: The transforms, in the order from the other toolkit to this one.
    """

    parts: tuple[Transform, ...]

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns what the last one makes."""
        first, *others = self.parts
        return reduce(lambda tensor, part: part.here([tensor]), others, first.here(theirs))

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns what the first one makes."""
        found = [ours]
        for part in reversed(self.parts):
            (tensor,) = found
            found = part.there(tensor)
        return found


@dataclass(frozen=True)
class Transposed(Transform):
    """A linear layer with inputs first; biases stay."""

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns (O, I) of (I, O)."""
        (tensor,) = theirs
        return tensor.T if tensor.dim() == 2 else tensor

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns (I, O) of (O, I)."""
        return [self.here([ours])]


@dataclass(frozen=True)
class HeadsFirst(Transform):
    """Queries, keys and values whose outputs are ordered by heads first: K times q, k, v.

    Args:
        heads: K.
    """

    heads: int

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns (3 K C, ...), all queries first, of (K 3 C, ...)."""
        (tensor,) = theirs
        parts: Tensor = tensor.unflatten(0, (self.heads, 3, -1))
        return parts.transpose(0, 1).flatten(0, 2)

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns (K 3 C, ...) of (3 K C, ...)."""
        return [ours.unflatten(0, (3, self.heads, -1)).transpose(0, 1).flatten(0, 2)]


@dataclass(frozen=True)
class ChannelsLast(Transform):
    """A linear layer (O, F' C) that reads the channels of each frequency together.

    Args:
        channels: C.
    """

    channels: int

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns (O, C F'), which reads the frequencies of each channel together."""
        (tensor,) = theirs
        parts: Tensor = tensor.unflatten(1, (-1, self.channels))
        return parts.transpose(1, 2).flatten(1)

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns (O, F' C)."""
        return [ours.unflatten(1, (self.channels, -1)).transpose(1, 2).flatten(1)]


@dataclass(frozen=True)
class Gates(Transform):
    """Weights or biases of an LSTM (4 D, ...) with another order of gates.

    Args:
        order: The gates there, such as gifo.
        forget_bias: What is added to the forget gate there, besides its biases.
    """

    order: str
    forget_bias: float = 0.0

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns them in PyTorch's order; biases with the forget gate's."""
        (tensor,) = theirs
        parts = dict(zip(self.order, tensor.chunk(4), strict=True))
        if tensor.dim() == 1:
            parts["f"] = parts["f"] + self.forget_bias
        return torch.cat([parts[gate] for gate in GATES])

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns them in the order there."""
        parts = dict(zip(GATES, ours.chunk(4), strict=True))
        if ours.dim() == 1:
            parts["f"] = parts["f"] - self.forget_bias
        return [torch.cat([parts[gate] for gate in self.order])]


@dataclass(frozen=True)
class Zeros(Transform):
    """A tensor that the other toolkit does without, being zero.

    Args:
        shape: Of it.
    """

    shape: tuple[int, ...]

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns zeros."""
        return torch.zeros(self.shape)

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns nothing.

        Raises:
            ValueError: If it is not zero any more, so that there is no place for it.
        """
        if ours.any():
            raise ValueError("a tensor that does not exist in the other toolkit is not zero")
        return []


@dataclass(frozen=True)
class RowsWithBias(Transform):
    """Embeddings (V, E) to which a bias (E,) is added."""

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns their sums."""
        rows, bias = theirs
        return rows + bias

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the sums, and zeros."""
        return [ours, ours.new_zeros(ours.shape[1])]
