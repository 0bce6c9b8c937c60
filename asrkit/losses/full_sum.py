"""The full-sum loss: -log of the summed probability of all alignments of the labels.

For any topology (`topologies.py`), from the scores of the cells. The recursion is not
differentiated: the gradient is the posterior probability of each score's symbol. `joiner_loss.py`
computes the same loss from the inputs of a joiner, without holding all logits at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.lattice.lattice import INFINITY, Lattice
from asrkit.lattice.recursions import (
    best_paths,
    forward_scores,
    log_likelihoods,
    posteriors,
)
from asrkit.lattice.topologies import LABEL, REPEAT, Topology
from asrkit.nn.masking import length_mask


@dataclass(frozen=True)
class Alignment:
    """The most probable alignment of each utterance.

    Args:
        log_probs: (B,) -inf where the labels do not fit into the frames.
        symbols: (B, N) the symbol of each step, V for blank, -1 beyond the end. A step is a frame
            for RNA and CTC; for RNN-T the next symbol, in the same frame after a label.
        label_frames: (B, U) the frame in which each label (first) stands, -1 in the padding.
    """

    log_probs: Tensor
    symbols: Tensor
    label_frames: Tensor


def full_sum_loss(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> Tensor:
    """Returns -log p(labels | frames) of each utterance, summed over all alignments.

    Args:
        scores: (K, B, T, U + 1) log-probabilities of blank, the next label and, where the topology
            has K = 3, the last label again, in frame t after u labels.
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


def best_alignment(
    scores: Tensor,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
    blank: int,
) -> Alignment:
    """Returns the Viterbi alignment.

    Args:
        scores: (K, B, T, U + 1) as for `full_sum_loss`.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.
        blank: V, how the result calls blank.

    Returns:
        The alignments.
    """
    lattice = valid_lattice(scores, labels, lengths, label_lengths, topology)
    log_probs, kinds, states = best_paths(lattice)
    symbols, frames, counts = topology.cells(kinds, states)
    inside = kinds >= 0
    padded = F.pad(labels, (1, 1))
    names = torch.full_like(kinds, blank)
    names = torch.where(symbols == LABEL, padded.gather(1, (counts + 1).clamp(min=0)), names)
    names = torch.where(symbols == REPEAT, padded.gather(1, counts.clamp(min=0)), names)
    # Column U takes what is no label.
    label_frames = torch.full_like(padded[:, 1:], -1)
    target = torch.where(inside & (symbols == LABEL), counts, labels.shape[1])
    label_frames.scatter_(1, target, frames)
    return Alignment(log_probs, names.masked_fill(~inside, -1), label_frames[:, :-1])


def cell_targets(labels: Tensor, label_lengths: Tensor, topology: Topology) -> Tensor:
    """Returns (K - 1, B, U + 1) the next label after u labels and, if K = 3, the last one.

    Where there is none, at the borders and in the padding, it is label 0, which has no say.
    """
    known = labels.masked_fill(~length_mask(label_lengths, labels.shape[1]), 0)
    return torch.stack([F.pad(known, (0, 1)), F.pad(known, (1, 0))])[: topology.symbols - 1]


def valid_lattice(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> Lattice:
    """Returns the lattice of the scores (K, B, T, U + 1), whatever stands in their padding."""
    frames, counts = scores.shape[2], scores.shape[3]
    cells = (
        length_mask(lengths, frames)[:, :, None] & length_mask(label_lengths + 1, counts)[:, None]
    )
    has_next = length_mask(label_lengths, counts)[:, None, :].expand_as(cells)
    exists = [cells, cells & has_next, cells & (torch.arange(counts, device=cells.device) > 0)]
    kept = torch.stack(exists)[: len(scores)]
    valid = scores.double().masked_fill(~kept, -INFINITY)
    return topology.lattice(valid, labels, lengths, label_lengths)


def occupations(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> tuple[Tensor, Tensor]:
    """Returns the (B,) losses and how probable each score's symbol is, given the labels.

    Args:
        scores: (K, B, T, U + 1) as for `full_sum_loss`.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.

    Returns:
        (B,) losses and (K, B, T, U + 1) occupations, the negative derivatives of the loss.
    """
    lattice = valid_lattice(scores, labels, lengths, label_lengths, topology)
    totals, arcs = posteriors(lattice)
    dtype = exact_dtype(scores)
    return -totals.to(dtype), topology.to_cells(arcs, scores.shape[2]).to(dtype)


def exact_dtype(scores: Tensor) -> torch.dtype:
    """Returns float32, or float64 where the scores are."""
    return torch.promote_types(scores.dtype, torch.float32)


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
