"""Upsampling: encoder frames become as many as the features had, for heads that score these."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.activations import Activation, ReLU


class Upsampling(nn.Module, ABC):
    """Maps frames (B, T, D), zero in the padding, to `factor` times as many of D' values.

    Implementations get D as `dim`, and set it to D'.
    """

    factor: int
    dim: int

    @abstractmethod
    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D')."""


upsamplings: Registry[Upsampling] = Registry("upsampling", Upsampling, late=("dim",))


def _require(factor: int) -> int:
    if factor < 1:
        raise ValueError(f"factor ({factor}) must be at least 1")
    return factor


@upsamplings.register("repetition")
class Repetition(Upsampling):
    """Each frame is repeated.

    Args:
        dim: D.
        factor: How often it is there afterwards.

    Raises:
        ValueError: If the factor is below 1.
    """

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.factor, self.dim = _require(factor), dim

    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D)."""
        return frames.repeat_interleave(self.factor, dim=1)


@upsamplings.register("transposed_convolution")
class TransposedConvolution(Upsampling):
    """A transposed convolution.

    Args:
        dim: D.
        factor: The stride.
        activation: Applied to what comes out.
        kernel_size: What comes out of a frame; the stride where null, so that frames don't overlap.
            Of what is longer, the middle is kept, and one more at the end than at the start.
        output_dim: D' of what comes out; D where null.

    Raises:
        ValueError: If the factor is below 1, or the kernel is shorter.

    Source: rwth-i6/i6_experiments, users/schupp/hybrid_hmm_nn (kernel 3, stride 3, ReLU).
    """

    def __init__(
        self,
        dim: int,
        factor: int,
        activation: Factory[Activation] = ReLU,
        kernel_size: int | None = None,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        kernel = factor if kernel_size is None else kernel_size
        if kernel < factor:
            raise ValueError(f"kernel_size ({kernel}) must be at least factor ({factor}), or null")
        self.factor, self.dim = _require(factor), dim if output_dim is None else output_dim
        self.first = (kernel - factor) // 2
        self.convolution = nn.ConvTranspose1d(dim, self.dim, kernel, stride=factor)
        self.activation = activation()

    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D')."""
        found = self.convolution(frames.transpose(1, 2))  # (B, D', (T - 1) · factor + kernel)
        kept = found[:, :, self.first : self.first + frames.shape[1] * self.factor]
        upsampled: Tensor = self.activation(kept.transpose(1, 2))
        return upsampled
