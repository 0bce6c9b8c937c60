"""The E-Branchformer's sublayers: two branches that are merged, and a gate of convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.activations import Activation, IdentityActivation
from asrkit.nn.dropout import Dropout
from asrkit.nn.masking import SequenceContext, zero_padding
from asrkit.nn.norms import LayerNorm, Norm
from asrkit.nn.sublayers import Sublayer, sublayers


@dataclass(frozen=True)
class Branch:
    """One of several sublayers that read the same frames.

    Args:
        module: The sublayer.
        norm: Before it.
        dropout: After it.
    """

    module: Factory[Sublayer]
    norm: Factory[Norm] = field(default=LayerNorm)
    dropout: float = 0.1


class NormedBranch(nn.Module):
    """A branch as a module.

    Args:
        branch: Its parts.
        dim: D.
    """

    def __init__(self, branch: Branch, dim: int) -> None:
        super().__init__()
        self.norm = branch.norm(dim=dim)
        self.module = branch.module(dim=dim)
        self.dropout = Dropout(branch.dropout)

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns the branch (B, T, D) of frames (B, T, D)."""
        result: Tensor = self.dropout(self.module(self.norm(x, context.mask), context))
        return result


@sublayers.register("merged_branches")
class MergedBranches(Sublayer):
    """Two branches side by side, such as attention and gated convolutions, and what merges them.

    Both results, joined, get what a depthwise convolution makes of them added, and are brought back
    to D by a linear layer. The residual around it should have `norm: identity`: each branch has a
    norm of its own.

    Args:
        dim: D.
        first: One branch.
        second: The other.
        kernel_size: Frames that the depthwise convolution sees; as in `convolution`.

    Raises:
        ValueError: If the kernel size is not positive.

    Source: Kim et al. 2022 (E-Branchformer), section 3.2.
    """

    def __init__(self, dim: int, first: Branch, second: Branch, kernel_size: int = 3) -> None:
        super().__init__()
        self.first, self.second = NormedBranch(first, dim), NormedBranch(second, dim)
        self.depthwise = _depthwise(2 * dim, kernel_size)
        self.merge = nn.Linear(2 * dim, dim)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that separate the branches."""
        dim, kernel = self.merge.out_features, self.depthwise.kernel_size[0]
        return {
            "depthwise.weight": (2, dim, 1, kernel),
            "depthwise.bias": (2, dim),
            "merge.weight": (dim, 2, dim),
        }

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        both = torch.cat([self.first(x, context), self.second(x, context)], dim=2)  # (B, T, 2D)
        merged: Tensor = self.merge(both + _convolved(self.depthwise, both, context))
        return merged


@sublayers.register("convolutional_gating")
class ConvolutionalGating(Sublayer):
    """Half of the hidden values, scaled by a depthwise convolution over the other half.

    Args:
        dim: D.
        hidden_dim: Size of both halves together.
        kernel_size: Frames that the depthwise convolution sees; as in `convolution`.
        gate_activation: Of the scale.
        norm: Before the depthwise convolution.
        dropout: Of the scaled half.

    Raises:
        ValueError: If the hidden values can't be halved, or the kernel size is not positive.

    Source: Sakuma et al. 2021 (MLP-based architecture with variable length input for ASR); Peng et
        al. 2022 (Branchformer), section 2.4.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        kernel_size: int,
        gate_activation: Factory[Activation] = IdentityActivation,
        norm: Factory[Norm] = LayerNorm,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if hidden_dim % 2:
            raise ValueError(f"hidden_dim ({hidden_dim}) must be even: it is halved")
        half = hidden_dim // 2
        self.expand = nn.Linear(dim, hidden_dim)
        self.norm = norm(dim=half)
        self.depthwise = _depthwise(half, kernel_size)
        # Near 1 at first, so that the gate learns to close.
        nn.init.normal_(self.depthwise.weight, std=1e-6)
        assert self.depthwise.bias is not None
        nn.init.ones_(self.depthwise.bias)
        self.activation = gate_activation()
        self.dropout = Dropout(dropout)
        self.contract = nn.Linear(half, dim)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that separate both halves."""
        dim, half = self.expand.in_features, self.contract.in_features
        return {"expand.weight": (2, half, dim), "expand.bias": (2, half)}

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        value, scale = F.gelu(self.expand(x)).chunk(2, dim=2)  # (B, T, hidden / 2) each
        scale = _convolved(self.depthwise, self.norm(scale, context.mask), context)
        result: Tensor = self.contract(self.dropout(value * self.activation(scale)))
        return result


def _depthwise(dim: int, kernel_size: int) -> nn.Conv1d:
    if kernel_size < 1:
        raise ValueError(f"kernel_size ({kernel_size}) must be at least 1")
    return nn.Conv1d(dim, dim, kernel_size, groups=dim)


def _convolved(layer: nn.Conv1d, x: Tensor, context: SequenceContext) -> Tensor:
    """Returns the convolution (B, T, D) of frames (B, T, D), whose padding counts as zero."""
    kernel = layer.kernel_size[0]
    left = kernel - 1 if context.causal else (kernel - 1) // 2
    padded = F.pad(zero_padding(x, context.mask).transpose(1, 2), (left, kernel - 1 - left))
    convolved: Tensor = layer(padded).transpose(1, 2)
    return convolved
