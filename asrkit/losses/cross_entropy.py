"""Cross-entropy over labels, with label smoothing, as sums over valid positions."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(
    logits: Tensor, targets: Tensor, mask: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Returns the negative log-probability of the targets, summed over each utterance.

    Args:
        logits: (B, U, C).
        targets: (B, U) class ids; anything valid in the padding.
        mask: (B, U) True where valid.
        label_smoothing: Probability taken from the target and shared by the other classes.

    Returns:
        (B,) sums.

    Source: Szegedy et al. 2016, section 7; the smoothed mass goes to the C - 1 other classes.
    """
    logits = logits.float()
    normalizer = logits.logsumexp(2)
    target = logits.gather(2, targets.unsqueeze(2)).squeeze(2)
    nll = normalizer - target
    if label_smoothing:
        others = (logits.sum(2) - target) / (logits.shape[2] - 1)
        nll = (1 - label_smoothing) * nll + label_smoothing * (normalizer - others)
    return nll.masked_fill(~mask, 0.0).sum(1)


def label_errors(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Returns () how many valid positions have another class on top than the target."""
    with torch.no_grad():
        return ((logits.argmax(2) != targets) & mask).sum()
