"""Pruning: each frame keeps few label counts u, so that a joiner sees (T, W) cells, not (T, U).

A cheap first model gives the probability of each cell. Each frame gets the window of W neighbouring
counts with the largest probability; then windows are moved until at least one alignment passes
through all of them. The sum over alignments within windows is a lower bound of the sum over all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.lattice.topologies import BLANK, LABEL, Topology
from asrkit.nn.masking import length_mask


@dataclass(frozen=True)
class Windows:
    """The label counts that each frame keeps: `size` of them from `start` on.

    Args:
        start: (B, T) lowest u; start + size is at most U + 1. In the padding it is that of the last
            frame.
        size: W, the same in all frames of a batch.
    """

    start: Tensor
    size: int

    def counts(self) -> Tensor:
        """Returns (B, T, W) the u of each place in a window."""
        return self.start[:, :, None] + torch.arange(self.size, device=self.start.device)


def require_prunable(topology: Topology, size: int) -> None:
    """Checks that windows of this size always leave an alignment.

    Raises:
        ValueError: If cells have scores of more than blank and the next label, or a window can't
            contain the counts before and after a label.
    """
    if topology.symbols != 2:
        raise ValueError(
            f"{type(topology).__name__} can't be pruned; use topology rnnt or rna, or no pruning"
        )
    if size < 2:
        raise ValueError(f"a window of {size} label counts is too small; it needs at least 2")


def best_windows(
    occupation: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology, size: int
) -> Windows:
    """Returns the window of each frame that keeps most alignments, and at least one in all frames.

    In the first frame a window starts at 0, in the last one it ends at U. From frame to frame it
    moves up by at most W - 1 for RNN-T, so that neighbours share a count, and by at most 1 for RNA.
    If an utterance has more than W - 1 labels per frame, the whole batch gets larger windows.

    Args:
        occupation: (2, B, T, U + 1) probability of blank and label in each cell.
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: RNN-T or RNA.
        size: W; less where no utterance has as many counts.

    Returns:
        The windows.

    Raises:
        ValueError: As for `require_prunable`.

    Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training", section 3.2.
    """
    require_prunable(topology, size)
    size = min(_sufficient_size(lengths, label_lengths, topology, size), occupation.shape[3])
    last = (label_lengths - size + 1).clamp(min=0)
    start = _kept(occupation, topology, size).argmax(2)  # (B, T)
    step = size - 1 if topology.labels_stay else 1
    return Windows(_passable(start, last, lengths, step), size)


def _sufficient_size(lengths: Tensor, label_lengths: Tensor, topology: Topology, size: int) -> int:
    """Returns W, or more where T windows that overlap don't reach from 0 to U."""
    if not topology.labels_stay:
        return size
    a_frame = (label_lengths + lengths - 1) // lengths.clamp(min=1)  # (B,)
    needed = a_frame.masked_fill(lengths == 0, 0).max()
    return max(size, 1 + int(needed))


def _kept(occupation: Tensor, topology: Topology, size: int) -> Tensor:
    """Returns (B, T, U + 2 - W) probabilities that an alignment stays in the window.

    Where labels stay in their frame, an alignment that leaves the frame within the window may have
    entered it below: those that emit the label just before the window are subtracted.
    """
    if not topology.labels_stay:
        return _window_sums(occupation.sum(0), size)
    entering = F.pad(occupation[LABEL], (1, 0))[..., : occupation.shape[3] + 1 - size]
    return _window_sums(occupation[BLANK], size) - entering


def _window_sums(values: Tensor, size: int) -> Tensor:
    """Returns (..., N + 1 - size) sums over neighbours of values (..., N)."""
    return values.unfold(-1, size, 1).sum(-1)


def _passable(start: Tensor, last: Tensor, lengths: Tensor, step: int) -> Tensor:
    """Returns start (B, T), changed to rise from 0 to last (B,) by 0 to `step` per frame."""
    frames = start.shape[1]
    times = torch.arange(frames, device=start.device)  # (T,)
    remaining = (lengths[:, None] - 1 - times).clamp(min=0)  # (B, T)
    lowest = (last[:, None] - step * remaining).clamp(min=0)  # (B, T)
    highest = torch.minimum(last[:, None], step * times)  # (B, T)
    inside = torch.where(length_mask(lengths, frames), start.clamp(lowest, highest), last[:, None])
    # Down to the lowest of those after it; then up as far as the next ones need.
    rising = _least_from_here(inside)  # (B, T)
    return step * times - _least_from_here(step * times - rising)


def _least_from_here(values: Tensor) -> Tensor:
    """Returns (B, T) the smallest value from this frame on."""
    return values.flip(1).cummin(1).values.flip(1)
