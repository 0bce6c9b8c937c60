"""Cross-entropy of a linear output layer, a few positions at a time.

Logits of all positions of a batch over thousands of labels are by far the largest tensors of a
language model. Here they exist for some positions only, and stay in the cache: their gradient is
computed together with the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearLoss:
    """The loss of some positions.

    Args:
        total: () the sum; the only part with a gradient.
        each: (N,) negative log-probabilities of the targets, smoothed.
        errors: () how often another class is better than the target.
    """

    total: Tensor
    each: Tensor
    errors: Tensor


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    label_smoothing: float = 0.0,
    chunk: int = 256,
) -> LinearLoss:
    """Returns the cross-entropy of `x weight' + bias` in the precision of autocast.

    Args:
        x: (N, D) what the output layer reads at N positions.
        weight: (C, D) of the layer.
        bias: (C,) of the layer, if it has one.
        targets: (N,) class ids.
        label_smoothing: Probability taken from the target and shared by the other classes.
        chunk: Positions whose logits are computed at a time.

    Source: Hsu et al. 2024, "Liger Kernel", section 3.2 (fused linear cross-entropy).
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    with torch.autocast(kind, enabled=False):
        total, each, errors = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call, unused-ignore]
            x.to(dtype), weight.to(dtype), bias.to(dtype), targets, label_smoothing, chunk
        )
    return LinearLoss(total, each, errors)


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes gradients with the loss; their factor is known later."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad[:3])
        share = smoothing / max(len(weight) - 1, 1)
        each = x.new_empty(len(x), dtype=torch.float32)
        errors = targets.new_zeros(())
        dx = torch.empty_like(x)
        dweight = torch.zeros_like(weight, dtype=torch.float32)
        dbias = torch.zeros_like(bias, dtype=torch.float32)
        for begin in range(0, len(x), chunk):
            rows = slice(begin, begin + chunk)
            wanted_class = targets[rows, None]
            logits = torch.addmm(bias, x[rows], weight.T)  # (chunk, C)
            probs = torch.softmax(logits, 1, dtype=torch.float32)
            top = logits.amax(1).float()
            target = logits.gather(1, wanted_class)[:, 0].float()
            normalizer = top - probs.amax(1).log()  # (chunk,) the logarithm of all classes' sum
            errors += (target < top).sum()
            losses = (1 - smoothing - share) * (normalizer - target)
            if smoothing:
                losses += share * (len(weight) * normalizer - logits.float().sum(1))
            each[rows] = losses
            if wanted:
                slope = probs.sub_(share) if smoothing else probs
                at = torch.full_like(wanted_class, smoothing + share - 1, dtype=slope.dtype)
                slope.scatter_add_(1, wanted_class, at)
                dbias += slope.sum(0)
                narrow = slope.to(x.dtype)
                torch.mm(narrow, weight, out=dx[rows])
                dweight += narrow.T @ x[rows]
        ctx.save_for_backward(*((dx, dweight, dbias) if wanted else ()))
        ctx.mark_non_differentiable(each, errors)
        return each.sum(), each, errors

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        dx, dweight, dbias = ctx.saved_tensors
        factor = slopes[0]
        return dx * factor, dweight * factor, dbias * factor, None, None, None
