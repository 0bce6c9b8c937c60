"""The most probable alignment of given labels, under any topology: when each of them was said."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.cells import valid_lattice
from asrkit.lattice.recursions import best_paths
from asrkit.lattice.topologies import LABEL, REPEAT, Topology


@dataclass(frozen=True)
class Alignment:
    """The most probable alignment of each utterance.

    Args:
        log_probs: (B,) -inf where the labels do not fit into the frames.
        symbols: (B, N) the symbol of each step, -1 beyond the end. A step is a frame for RNA and
            CTC; for RNN-T the next symbol, in the same frame after a label.
        label_frames: (B, U) the (first) frame of each label, -1 in the padding.
        label_ends: (B, U) the frame after its last one in a row, -1 in the padding.
    """

    log_probs: Tensor
    symbols: Tensor
    label_frames: Tensor
    label_ends: Tensor


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
        scores: (Y, B, T, U + 1) log-probabilities of blank, the next label and, where the topology
            has Y = 3, the last label again, in frame t after u labels.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.
        blank: How the result calls blank.

    Returns:
        The alignments. Of equally probable ones it is, going back from the end, the one whose last
        label ends later, and whose labels are earlier.
    """
    lattice = valid_lattice(scores, labels, lengths, label_lengths, topology)
    log_probs, kinds, states = best_paths(lattice)  # (B,), (B, N), (B, N)
    symbols, frames, counts = topology.cells(kinds, states)  # (B, N) each
    inside = kinds >= 0  # (B, N)
    new, again = inside & (symbols == LABEL), inside & (symbols == REPEAT)
    padded = F.pad(labels, (1, 1))  # (B, U + 2)
    names = torch.full_like(kinds, blank)  # (B, N)
    names = torch.where(new, padded.gather(1, (counts + 1).clamp(min=0)), names)
    names = torch.where(again, padded.gather(1, counts.clamp(min=0)), names)
    # Column U takes everything that is not a label.
    none = labels.shape[1]
    begins = torch.full_like(padded[:, 1:], -1)  # (B, U + 1)
    begins.scatter_(1, torch.where(new, counts, none), frames)
    repeats = torch.zeros_like(begins).scatter_add_(
        1, torch.where(again, counts - 1, none), again.long()
    )
    ends = (begins + 1 + repeats).masked_fill(begins < 0, -1)
    return Alignment(log_probs, names.masked_fill(~inside, -1), begins[:, :-1], ends[:, :-1])
