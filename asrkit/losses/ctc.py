"""The CTC loss as sums, and which utterances have no alignment."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.topologies import min_frames


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
