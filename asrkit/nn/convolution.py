"""The Conformer's convolution sublayer."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.activations import Activation, Swish
from asrkit.nn.gates import Gate, IdentityGate
from asrkit.nn.masking import SequenceContext, zero_padding
from asrkit.nn.norms import BatchNorm, Norm
from asrkit.nn.sublayers import Sublayer, sublayers


@sublayers.register("convolution")
class Convolution(Sublayer):
    """Pointwise with GLU, depthwise over time, norm, activation, pointwise.

    A kernel of size k sees (k-1)//2 frames to the left and k//2 to the right, so an even kernel
    looks one frame further ahead. With a causal span it sees k-1 frames to the left.

    Args:
        dim: D.
        kernel_size: Frames that the depthwise convolution sees.
        norm: After the depthwise convolution.
        activation: After the norm.
        gate: Scales what `gated` says.
        bias: Whether the pointwise layers have biases.
        gated: What is scaled: the result of the GLU, of the depthwise convolution, before the
            norm, or of the sublayer.

    Raises:
        ValueError: If the kernel size is not positive.

    Source: Gulati et al. 2020, section 2.2.
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        norm: Factory[Norm] = BatchNorm,
        activation: Factory[Activation] = Swish,
        gate: Factory[Gate] = IdentityGate,
        bias: bool = True,
        gated: Literal["glu", "depthwise", "result"] = "depthwise",
    ) -> None:
        super().__init__()
        if kernel_size < 1:
            raise ValueError(f"kernel_size ({kernel_size}) must be at least 1")
        self.kernel_size = kernel_size
        self.expand = nn.Linear(dim, 2 * dim, bias=bias)
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, groups=dim)
        self.gate, self.gated = gate(dim=dim), gated
        self.norm = norm(dim=dim)
        self.activation = activation()
        self.contract = nn.Linear(dim, dim, bias=bias)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that separate values and gates."""
        dim = self.expand.in_features
        return {"expand.weight": (2, dim, dim), "expand.bias": (2, dim)}

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        # Padding must be zero before the depthwise convolution: it leaks into valid frames there.
        inner = self._gate("glu", F.glu(self.expand(x), dim=2), context)
        inner = zero_padding(inner, context.mask)
        left = self.kernel_size - 1 if context.causal else (self.kernel_size - 1) // 2
        padded = F.pad(inner.transpose(1, 2), (left, self.kernel_size - 1 - left))
        convolved = self.depthwise(padded).transpose(1, 2)  # (B, D, T) -> (B, T, D)
        gated = self._gate("depthwise", convolved, context)
        result: Tensor = self.contract(self.activation(self.norm(gated, context.mask)))
        return self._gate("result", result, context)

    def _gate(self, place: str, frames: Tensor, context: SequenceContext) -> Tensor:
        """Returns frames (B, T, D), scaled if this is the place of the gate."""
        gated: Tensor = self.gate(frames, context.mask) if place == self.gated else frames
        return gated
