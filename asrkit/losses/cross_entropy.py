"""Cross-entropy over labels, with label smoothing or focal loss, as sums over valid positions."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.applied import Applied


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor,
    label_smoothing: float = 0.0,
    focal: float = 0.0,
    applied: Applied | None = None,
) -> Tensor:
    """Returns the negative log-probability of the targets, summed within each utterance.

    Args:
        logits: (B, U, C).
        targets: (B, U) class ids; anything valid in the padding.
        mask: (B, U) True where valid.
        label_smoothing: Probability taken from the target and shared among the other classes.
        focal: Exponent e of the factor (1 - p(target))^e, which down-weights easy positions.
        applied: Counts how much probability targets give away, and how much of the loss the factor
            takes.

    Returns:
        (B,) sums.

    Source: Szegedy et al. 2016, section 7; the smoothed mass goes to the C - 1 other classes.
        Lin et al. 2017, equation 4 (focal loss).
    """
    log_probs = logits.float().log_softmax(2)  # once, for all terms
    target = log_probs.gather(2, targets.unsqueeze(2)).squeeze(2)
    losses = -target
    if label_smoothing:
        share = label_smoothing / (logits.shape[2] - 1)
        losses = (label_smoothing + share - 1) * target - share * log_probs.sum(2)
        if applied is not None:
            applied.count("smoothed_probability", label_smoothing * mask.sum(), mask.sum())
    if focal:
        # Away from 0, where a root has no finite slope.
        whole = losses
        losses = losses * (-torch.expm1(target)).clamp(min=1e-7) ** focal
        if applied is not None:
            taken = (whole - losses).detach().masked_fill(~mask, 0.0).sum()
            applied.count("focal_loss", taken, whole.detach().masked_fill(~mask, 0.0).sum())
    return losses.masked_fill(~mask, 0.0).sum(1)


def label_errors(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Returns () the number of valid positions whose best class is not the target."""
    with torch.no_grad():
        return ((logits.argmax(2) != targets) & mask).sum()
