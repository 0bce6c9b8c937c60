"""What has to be done to tensors of another toolkit, besides another name; each can be undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Transform(ABC):
    """Makes one tensor of one or several, and these of it again."""

    @abstractmethod
    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns the tensor of asrkit."""

    @abstractmethod
    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the tensors of the other toolkit."""


@dataclass(frozen=True)
class Same(Transform):
    """The same tensor."""

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns it."""
        (tensor,) = theirs
        return tensor

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns it."""
        return [ours]


@dataclass(frozen=True)
class Joined(Transform):
    """Tensors of equal sizes one after the other, such as queries, keys and values.

    Args:
        count: How many.
    """

    count: int

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns them joined on their first axis."""
        return torch.cat(list(theirs))

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the parts."""
        return list(ours.chunk(self.count))


@dataclass(frozen=True)
class PointwiseConvolution(Transform):
    """A convolution of kernel size 1, which is a linear layer; biases stay."""

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns (O, I) of (O, I, 1)."""
        (tensor,) = theirs
        return tensor.squeeze(2) if tensor.dim() == 3 else tensor

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns (O, I, 1) of (O, I)."""
        return [ours.unsqueeze(2) if ours.dim() == 2 else ours]


@dataclass(frozen=True)
class HeadBias(Transform):
    """A bias of queries for each head: (K, 1, C) here, (K, C) there."""

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns (K, 1, C)."""
        (tensor,) = theirs
        return tensor.unsqueeze(1)

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns (K, C)."""
        return [ours.squeeze(1)]


@dataclass(frozen=True)
class Scaled(Transform):
    """A layer whose output the other toolkit multiplies by a number.

    Args:
        factor: That number.
    """

    factor: float

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns the tensor times the factor."""
        (tensor,) = theirs
        return tensor * self.factor

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the tensor without the factor."""
        return [ours / self.factor]


@dataclass(frozen=True)
class Rows(Transform):
    """A layer whose outputs have another order, such as blank first or last.

    Args:
        order: The row of the other toolkit for each row here; each once.
    """

    order: tuple[int, ...]

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns the rows in the order that they have here."""
        (tensor,) = theirs
        if len(tensor) != len(self.order):
            raise ValueError(f"{len(tensor)} rows, expected one for each of {len(self.order)}")
        return tensor[list(self.order)]

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the rows in the order that they have there."""
        tensor = torch.empty_like(ours)
        tensor[list(self.order)] = ours
        return [tensor]


@dataclass(frozen=True)
class InTurn(Transform):
    """One transform after the other.

    Args:
        parts: The first may take several tensors, the others one.
    """

    parts: tuple[Transform, ...]

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns what all of them make, the first one first."""
        tensors = list(theirs)
        for part in self.parts:
            tensors = [part.here(tensors)]
        return tensors[0]

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns what all of them take, the last one first."""
        tensors = [ours]
        for part in reversed(self.parts):
            (tensor,) = tensors
            tensors = part.there(tensor)
        return tensors


@dataclass(frozen=True)
class OppositeDistances(Transform):
    """A projection (D, D) of interleaved sinusoids of the distance from key to query.

    Here distances go from query to key: sines, in the even columns, change their sign.
    """

    def here(self, theirs: Sequence[Tensor]) -> Tensor:
        """Returns the projection of opposite distances."""
        (tensor,) = theirs
        turned = tensor.clone()
        turned[:, 0::2] *= -1
        return turned

    def there(self, ours: Tensor) -> list[Tensor]:
        """Returns the same of the opposite ones."""
        return [self.here([ours])]
