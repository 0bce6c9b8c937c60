"""The softmax of many logits for few requested classes, with a hand-written gradient.

The logits are the largest tensor of a transducer's loss. On a GPU, Triton kernels
(`triton_softmax.py`) read them once per direction and compute in float32, whatever the dtype of the
logits; elsewhere PyTorch's operations compute in that dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.acceleration import triton_serves


def pick_log_probs(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the log-softmax of some classes.

    Args:
        logits: (..., C).
        targets: (Y, ...) classes.

    Returns:
        (Y, ...) log-probabilities of the targets and (...) the log-sum of the logits' exponentials.
    """
    if triton_serves(logits):
        from asrkit.losses import triton_softmax

        return triton_softmax.pick_log_probs(logits, targets)
    return picked_by_torch(logits, targets)


def put_gradient(
    logits: Tensor,
    normaliser: Tensor,
    weights: Tensor,
    targets: Tensor,
    floor: Tensor | None = None,
) -> None:
    """Overwrites logits by the gradient of the negative sum of weight times log-probability.

    Args:
        logits: (..., C), which become the gradient.
        normaliser: (...) the log-sum of the logits' exponentials.
        weights: (Y, ...) weight of each target, not negative.
        targets: (Y, ...) classes.
        floor: (...) weight that each of the C classes gets in addition, not negative; none if None.
    """
    if triton_serves(logits):
        from asrkit.losses import triton_softmax

        triton_softmax.put_gradient(logits, normaliser, weights, targets, floor)
    else:
        gradient_by_torch(logits, normaliser, weights, targets, floor)


def picked_by_torch(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Computes `pick_log_probs`."""
    log_probs = logits.log_softmax(-1)
    picked = torch.stack([_at(log_probs, each) for each in targets])
    return picked, _at(logits, targets[0]) - picked[0]


def gradient_by_torch(
    logits: Tensor,
    normaliser: Tensor,
    weights: Tensor,
    targets: Tensor,
    floor: Tensor | None = None,
) -> None:
    """Computes `put_gradient`."""
    total = weights.sum(0) if floor is None else weights.sum(0) + logits.shape[-1] * floor
    logits.add_((total.log() - normaliser).unsqueeze(-1)).exp_()
    if floor is not None:
        logits -= floor.unsqueeze(-1)
    for each, weight in zip(targets, weights, strict=True):
        logits.scatter_add_(-1, each.unsqueeze(-1), -weight.unsqueeze(-1))


def _at(values: Tensor, classes: Tensor) -> Tensor:
    return values.gather(-1, classes.unsqueeze(-1)).squeeze(-1)
