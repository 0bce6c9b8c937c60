"""The cross-entropy of an alignment, one symbol per frame, for any output distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.losses.symbols import SymbolDistribution


def frame_losses(
    logits: Tensor, symbols: Tensor, distribution: SymbolDistribution, focal: float = 0.0
) -> Tensor:
    """Returns (1 - p)^focal times -log p of each frame's symbol.

    Args:
        logits: (..., V + 1), blank last.
        symbols: (...) labels, or V for blank.
        distribution: What the logits mean; label smoothing is as in the full-sum loss, in the
            gradient only.
        focal: How much probable symbols are down-weighted; 0 for the cross-entropy.

    Returns:
        (...) in nats, at least float32.

    Source: Lin et al. 2017, equation 4 (focal loss).
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses: Tensor = _CrossEntropy.apply(exact, symbols, distribution)  # type: ignore[no-untyped-call]
    if not focal:
        return losses
    # Rounding must not make a probability exceed 1.
    return (-torch.expm1(-losses.clamp(min=0.0))).pow(focal) * losses


class _CrossEntropy(torch.autograd.Function):
    """-log p of symbols, with the hand-written gradient of the distribution."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, symbols: Tensor, distribution: SymbolDistribution
    ) -> Tensor:
        """Returns (...) losses."""
        blank = symbols == logits.shape[-1] - 1
        targets = symbols.masked_fill(blank, 0)[None]
        scores, normaliser = distribution.scores(logits, targets)
        ctx.save_for_backward(logits, normaliser, targets, blank)
        ctx.distribution = distribution
        return -torch.where(blank, scores[0], scores[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of the logits."""
        logits, normaliser, targets, blank = ctx.saved_tensors
        weights = gradients[0]
        occupation = torch.stack([weights * blank, weights * ~blank])
        return (
            ctx.distribution.gradient(logits.clone(), normaliser, occupation, targets),
            None,
            None,
        )
