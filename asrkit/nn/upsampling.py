"""Upsampling: encoder frames become as many as the features had, for heads that score these."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.activations import Activation, ReLU


class Upsampling(nn.Module, ABC):
    """Maps frames (B, T, D) to `factor` times as many; implementations set it, and read `dim`."""

    factor: int

    @abstractmethod
    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D)."""


upsamplings: Registry[Upsampling] = Registry("upsampling", Upsampling, late=("dim",))


def _require(factor: int) -> int:
    if factor < 1:
        raise ValueError(f"factor ({factor}) must be at least 1")
    return factor


@upsamplings.register("repetition")
class Repetition(Upsampling):
    """Each frame is repeated.

    Args:
        dim: D, not needed.
        factor: How often it is there afterwards.

    Raises:
        ValueError: If the factor is below 1.
    """

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.factor = _require(factor)

    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D)."""
        return frames.repeat_interleave(self.factor, dim=1)


@upsamplings.register("transposed_convolution")
class TransposedConvolution(Upsampling):
    """A transposed convolution whose kernel is as long as its stride, so that frames don't overlap.

    Args:
        dim: D.
        factor: The stride.
        activation: Applied to what comes out.

    Raises:
        ValueError: If the factor is below 1.

    Source: rwth-i6/i6_experiments, users/schupp/hybrid_hmm_nn (kernel 3, stride 3, ReLU).
    """

    def __init__(self, dim: int, factor: int, activation: Factory[Activation] = ReLU) -> None:
        super().__init__()
        self.factor = _require(factor)
        self.convolution = nn.ConvTranspose1d(dim, dim, factor, stride=factor)
        self.activation = activation()

    def forward(self, frames: Tensor) -> Tensor:
        """Returns frames (B, T · factor, D)."""
        found: Tensor = self.activation(self.convolution(frames.transpose(1, 2)).transpose(1, 2))
        return found
