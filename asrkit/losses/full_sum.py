"""The full-sum loss: -log of the summed probability of all alignments of the labels.

For any topology (`topologies.py`), from the scores of the cells. The recursion is not
differentiated: the gradient is the posterior probability of each score's symbol. `joiner_loss.py`
computes the same loss from the inputs of a joiner, without holding all logits at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.lattice.cells import exact_dtype, occupations, valid_lattice
from asrkit.lattice.recursions import forward_scores, log_likelihoods
from asrkit.lattice.topologies import Topology


def full_sum_loss(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> Tensor:
    """Returns -log p(labels | frames) of each utterance, summed over all alignments.

    Args:
        scores: (Y, B, T, U + 1) log-probabilities of blank, the next label and, where the topology
            has Y = 3, the last label again, in frame t after u labels.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.

    Returns:
        (B,) losses; infinite, with a zero gradient, where the labels do not fit into the frames,
        which is where `topology.min_frames` exceeds the lengths.

    Source: Graves 2012, equations 16 to 20.
    """
    if torch.is_grad_enabled() and scores.requires_grad:
        losses: Tensor = _FullSum.apply(  # type: ignore[no-untyped-call]
            scores, labels, lengths, label_lengths, topology
        )
        return losses
    lattice = valid_lattice(scores, labels, lengths, label_lengths, topology)
    return -log_likelihoods(lattice, forward_scores(lattice)).to(exact_dtype(scores))


class _FullSum(torch.autograd.Function):
    """The loss, whose gradient is known when it is: the occupations."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        labels: Tensor,
        lengths: Tensor,
        label_lengths: Tensor,
        topology: Topology,
    ) -> Tensor:
        """Returns (B,) losses."""
        losses, occupation = occupations(scores, labels, lengths, label_lengths, topology)
        ctx.save_for_backward(occupation)
        ctx.dtype = scores.dtype
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of the scores."""
        (occupation,) = ctx.saved_tensors
        scores = -occupation * gradients[0][:, None, None]
        return scores.to(ctx.dtype), None, None, None, None
