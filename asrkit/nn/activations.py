"""Pointwise non-linearities by name."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Registry


class Activation(nn.Module):
    """A function of each single value."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the same shape."""
        raise NotImplementedError


activations: Registry[Activation] = Registry("activation", Activation)


@activations.register("swish")
class Swish(Activation):
    """x · sigmoid(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns x · sigmoid(x)."""
        return F.silu(x)


@activations.register("relu")
class ReLU(Activation):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns max(x, 0)."""
        return F.relu(x)


@activations.register("squared_relu")
class SquaredReLU(Activation):
    """max(x, 0)², as in the AED Conformers of the reference systems."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns max(x, 0)²."""
        return F.relu(x).square()


@activations.register("gelu")
class GELU(Activation):
    """x · Φ(x), with the exact normal distribution function."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns x · Φ(x)."""
        return F.gelu(x)


@activations.register("identity")
class IdentityActivation(Activation):
    """Changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns x."""
        return x
