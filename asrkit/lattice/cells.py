"""Scores of cells (t, u), and how probable each is once the labels are given.

A cell is frame t after u labels (`topologies.py`). Losses, alignments and searches make
lattices of such scores; what comes back from a lattice comes back to the cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.lattice import INFINITY, Lattice
from asrkit.lattice.recursions import posteriors
from asrkit.lattice.topologies import Topology
from asrkit.nn.masking import length_mask


def cell_targets(labels: Tensor, label_lengths: Tensor, topology: Topology) -> Tensor:
    """Returns (Y - 1, B, U + 1) the next label after u labels and, if Y = 3, the last one.

    Where there is none, at the borders and in the padding, it is label 0, which has no say.
    """
    known = labels.masked_fill(~length_mask(label_lengths, labels.shape[1]), 0)  # (B, U)
    return torch.stack([F.pad(known, (0, 1)), F.pad(known, (1, 0))])[: topology.symbols - 1]


def frame_scores(
    log_probs: Tensor, labels: Tensor, label_lengths: Tensor, topology: Topology, blank: int
) -> Tensor:
    """Returns the scores of cells where those of a frame's symbols are the same after any labels.

    Args:
        log_probs: (B, T, V) of all symbols of a frame.
        labels: (B, U).
        label_lengths: (B,).
        topology: Which alignments there are.
        blank: The id of blank.

    Returns:
        (Y, B, T, U + 1) of blank, the next label and, where Y = 3, the last label again.
    """
    targets = cell_targets(labels, label_lengths, topology)  # (Y - 1, B, U + 1)
    ids = torch.cat([torch.full_like(targets[:1], blank), targets])  # (Y, B, U + 1)
    every = ids[:, :, None].expand(-1, -1, log_probs.shape[1], -1)  # (Y, B, T, U + 1)
    return log_probs.expand(len(ids), -1, -1, -1).gather(3, every)


def valid_lattice(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> Lattice:
    """Returns the lattice of the scores (Y, B, T, U + 1), whatever their padding contains."""
    frames, counts = scores.shape[2], scores.shape[3]
    cells = (
        length_mask(lengths, frames)[:, :, None] & length_mask(label_lengths + 1, counts)[:, None]
    )
    has_next = length_mask(label_lengths, counts)[:, None, :].expand_as(cells)
    exists = [cells, cells & has_next, cells & (torch.arange(counts, device=cells.device) > 0)]
    kept = torch.stack(exists)[: len(scores)]  # (Y, B, T, U + 1)
    valid = scores.double().masked_fill(~kept, -INFINITY)
    return topology.lattice(valid, labels, lengths, label_lengths)


def occupations(
    scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
) -> tuple[Tensor, Tensor]:
    """Returns the (B,) losses and how probable each score's symbol is, given the labels.

    Args:
        scores: (Y, B, T, U + 1) log-probabilities of blank, the next label and, where the topology
            has Y = 3, the last label again, in frame t after u labels.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.

    Returns:
        (B,) -log of the summed probability of all alignments, and (Y, B, T, U + 1) occupations, its
        negative derivatives.
    """
    lattice = valid_lattice(scores, labels, lengths, label_lengths, topology)
    totals, arcs = posteriors(lattice)
    dtype = exact_dtype(scores)
    return -totals.to(dtype), topology.to_cells(arcs, scores.shape[2]).to(dtype)


def exact_dtype(scores: Tensor) -> torch.dtype:
    """Returns float32, or float64 where the scores are."""
    return torch.promote_types(scores.dtype, torch.float32)
