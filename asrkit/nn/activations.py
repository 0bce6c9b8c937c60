"""Pointwise activation functions by name."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Registry


class Activation(nn.Module):
    """A function applied to each value."""

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
    """max(x, 0)².

    Source: So et al. 2021, "Primer: searching for efficient transformers for language modeling";
        used in the attention Conformers of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2023_04_25_rf.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns max(x, 0)²."""
        return F.relu(x).square()


@activations.register("gelu")
class GELU(Activation):
    """x · Φ(x), with the exact normal distribution function."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns x · Φ(x)."""
        return F.gelu(x)


@activations.register("cyclemoid")
class Cyclemoid(Activation):
    """tanh(πx) · tanh²(πx² - 0.95) · cos²(x), with x within -3 .. 3 in the cosine.

    Source: rasbt/cyclemoid-pytorch; a joke that ablations of rwth-i6/i6_experiments,
        users/schupp/hybrid_hmm_nn, took up.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns values within -1 .. 1."""
        bump = torch.tanh(math.pi * x.square() - 0.95).square()
        return torch.tanh(math.pi * x) * bump * x.clamp(-3.0, 3.0).cos().square()


@activations.register("identity")
class IdentityActivation(Activation):
    """Changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns x."""
        return x
