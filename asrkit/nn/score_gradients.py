"""Changes to the gradient of attention scores: none, or less gradient from distant frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.config.registry import Registry
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import Dropout


class ScoreGradient(ABC):
    """Factors of the gradient of self-attention scores; the scores themselves don't change."""

    @abstractmethod
    def factors(self, num_frames: int, device: torch.device) -> Tensor | None:
        """Returns (T, T), query by key, or None for 1 everywhere."""


score_gradients: Registry[ScoreGradient] = Registry("score_gradient", ScoreGradient)


@score_gradients.register("plain")
class PlainGradient(ScoreGradient):
    """Leaves the gradient unchanged."""

    def factors(self, num_frames: int, device: torch.device) -> None:
        """Returns None."""
        return


@score_gradients.register("distance")
class DistanceGradient(ScoreGradient):
    """Multiplies the gradient by exp(-rate · distance), which favours attention to neighbours.

    This needs all scores, (B, K, T, T), in memory: more than fused attention takes on a GPU.

    Args:
        rate: How fast the factors decay with each frame of distance.
        dropout: Share of factors that are 0, drawn at each step; the others are scaled up.
        whole_share: Share of factors that are 1 at any distance, drawn after the dropout.

    Raises:
        ValueError: If the rate is negative, or a share is not between 0 and 1.

    Source: option `attscaledist` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base; `attscaledist2` has both
        shares. All heads and utterances of a batch share the draws.
    """

    def __init__(self, rate: float, dropout: float = 0.0, whole_share: float = 0.0) -> None:
        if rate < 0:
            raise ValueError(f"rate ({rate}) must be at least 0")
        if not 0 <= whole_share <= 1:
            raise ValueError(f"whole_share ({whole_share}) must be between 0 and 1")
        self.rate, self.whole_share = rate, whole_share
        self.dropout = Dropout(dropout, shareable=False)
        self.applied = Applied()

    def factors(self, num_frames: int, device: torch.device) -> Tensor:
        """Returns (T, T); without shares it has 1 on the diagonal."""
        places = torch.arange(num_frames, device=device, dtype=torch.float32)
        factors = (-self.rate * (places[:, None] - places).abs()).exp()
        kept: Tensor = self.dropout(factors)
        if self.whole_share:
            kept = kept.masked_fill(torch.rand_like(kept) < self.whole_share, 1.0)
        if self.applied.sampled:
            self.applied.count("change", (1 - kept).abs().sum(), kept.numel())
        return kept


def scale_gradient(values: Tensor, factors: Tensor) -> Tensor:
    """Returns the values; their gradient is multiplied by the factors, with broadcasting."""
    scaled: Tensor = _ScaledGradient.apply(values, factors)  # type: ignore[no-untyped-call]
    return scaled


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factors: Tensor) -> Tensor:
        ctx.save_for_backward(factors)
        return values.clone()  # the caller changes it in place

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (factors,) = ctx.saved_tensors
        return gradients[0] * factors.to(gradients[0].dtype), None
