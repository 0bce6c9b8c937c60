"""The CTC loss as sums, which utterances have no alignment, and smoothing of its gradient."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.topologies import min_frames
from asrkit.nn.applied import Applied


def ctc_loss(
    log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns -log p(labels | frames) of each utterance, summed over all alignments.

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.
        labels: (B, U).
        label_lengths: (B,).

    Returns:
        (B,) losses, 0 with a zero gradient where the labels do not fit into the frames, and
        (B,) bool, True where they fit.

    Source: Graves et al. 2006, section 4.1.
    """
    losses = F.ctc_loss(
        log_probs.float().transpose(0, 1),  # (T, B, V + 1)
        labels,
        lengths,
        label_lengths,
        blank=log_probs.shape[2] - 1,
        reduction="none",
        zero_infinity=True,
    )
    return losses, min_frames(labels, label_lengths) <= lengths


Smoothed = Literal["symbols", "labels", "labels_and_blank"]


def smoothed_ctc_loss(
    log_probs: Tensor,
    lengths: Tensor,
    labels: Tensor,
    label_lengths: Tensor,
    smoothing: float,
    smoothed: Smoothed = "symbols",
    applied: Applied | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns the losses of `ctc_loss`, with the gradient of smoothed targets.

    Targets are how probable each symbol is in a frame, given the labels.

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.
        labels: (B, U).
        label_lengths: (B,).
        smoothing: Probability that goes from a target to other symbols.
        smoothed: Which symbols give and get it: all; labels, among each other; or labels, which
            also get a share of what blank has, although it keeps all of it.
        applied: Counts how much probability symbols give away.

    Returns:
        (B,) losses and (B,) bool, True where the labels fit.

    Source: `label_smoothed_log_prob_gradient` of rwth-i6/returnn, returnn/frontend/loss.py, and for
        blank its `exclude_labels`.
    """
    losses, feasible = ctc_loss(log_probs, lengths, labels, label_lengths)
    targets = _occupations(log_probs.detach(), lengths, labels, label_lengths)
    smooth = _smooth(targets, smoothing, smoothed)
    if applied is not None and applied.sampled:
        given = (targets - smooth).clamp(min=0.0).sum()
        applied.count("smoothed_probability", given, targets.sum())
    scores = (smooth * log_probs.float()).sum((1, 2))  # (B,)
    return losses.detach() - (scores - scores.detach()), feasible


@torch.enable_grad()
def _occupations(
    log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> Tensor:
    """Returns (B, T, V + 1) probabilities of symbols given the labels; 0 where there are none."""
    inputs = log_probs.float().requires_grad_()
    losses, feasible = ctc_loss(inputs, lengths, labels, label_lengths)
    (gradient,) = torch.autograd.grad(losses.sum(), inputs)  # p - occupation: PyTorch's own
    valid = torch.arange(inputs.shape[1], device=lengths.device) < lengths[:, None]  # (B, T)
    used = (valid & feasible[:, None])[..., None]
    return (inputs.detach().exp() - gradient).clamp(min=0.0).masked_fill(~used, 0.0)


def _smooth(targets: Tensor, smoothing: float, smoothed: Smoothed) -> Tensor:
    """Returns smoothed targets (B, T, V + 1)."""
    size = targets.shape[2] - (smoothed == "labels")
    share = smoothing / max(size - 1, 1)
    if smoothed == "symbols":
        return (1 - size * share) * targets + share * targets.sum(2, keepdim=True)
    given = targets[..., :-1] if smoothed == "labels" else targets
    others = (1 - size * share) * targets[..., :-1] + share * given.sum(2, keepdim=True)
    return torch.cat([others, targets[..., -1:]], dim=2)
