"""What may follow what in an alignment: RNN-T, RNA and CTC as lattices.

A cell (t, u) is frame t after u labels. The model gives each cell the log-probabilities of
Y symbols: blank, the next label and, in the CTC topology, the last label once more. A topology says
where these lead: it makes the arcs of a lattice from the scores (Y, B, T, U + 1), and brings
probabilities of arcs back to the cells, so that gradients need no other code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.lattice.lattice import INFINITY, Lattice
from asrkit.nn.masking import length_mask

BLANK, LABEL, REPEAT = 0, 1, 2


class Topology(ABC):
    """Where the symbols of the cells lead.

    Implementations set `symbols`, Y, how many symbols of a cell have a score; `labels_stay`,
    whether the label after a label may stand in the same frame; and `labels_repeat`, whether equal
    labels in frames in a row are one label.
    """

    symbols: int
    labels_stay: bool = False
    labels_repeat: bool = False

    @abstractmethod
    def min_frames(self, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Returns (B,) how many frames the labels (B, U) need."""

    @abstractmethod
    def band(self, frames: int, lengths: Tensor, label_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (B, T) the lowest and the highest u that a path passes in each frame."""

    @abstractmethod
    def lattice(
        self, scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> Lattice:
        """Returns the lattice of scores (Y, B, T, U + 1), which are -inf in the padding."""

    @abstractmethod
    def to_cells(self, arcs: Tensor, frames: int) -> Tensor:
        """Returns (Y, B, T, U + 1) sums over the arcs (A, N, B, S) that a symbol of a cell has."""

    @abstractmethod
    def cells(self, kinds: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns symbol, frame and u of arcs, all (B, N), given their kinds and states."""


topologies: Registry[Topology] = Registry("topology", Topology)


@topologies.register("rnnt")
class RnntTopology(Topology):
    """RNN-T: blank goes to the next frame, a label stays in its frame; a blank ends the path.

    Source: Graves 2012, section 2.4, figure 1. A step is an anti-diagonal n = t + u, a state is u.
    """

    symbols = 2
    labels_stay = True

    def min_frames(self, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Returns (B,) 1 where there are labels: a frame takes any number of them."""
        return label_lengths.clamp(max=1)

    def band(self, frames: int, lengths: Tensor, label_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (B, T) 0 and U: a path may pass every cell; beyond the frames -1 as highest."""
        valid = length_mask(lengths, frames)
        highest = torch.where(valid, label_lengths[:, None], -1)
        return torch.zeros_like(highest), highest

    def lattice(
        self, scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> Lattice:
        """Returns the lattice of scores (2, B, T, U + 1), turned by 45 degrees."""
        kinds, batch, frames, states = scores.shape
        # Rows one longer than what they are read with: row u moves by u steps.
        rows = F.pad(scores.transpose(2, 3), (0, states), value=-INFINITY).flatten(2)
        turned = rows[..., :-states].view(kinds, batch, states, frames + states - 1)
        return Lattice(
            turned.permute(0, 3, 1, 2).contiguous(),
            lengths + label_lengths,
            F.one_hot(label_lengths, states).bool(),
        )

    def to_cells(self, arcs: Tensor, frames: int) -> Tensor:
        """Returns (2, B, T, U + 1) the arcs (2, N, B, U + 1), turned back."""
        kinds, steps, batch, states = arcs.shape
        rows = F.pad(arcs.permute(0, 2, 3, 1).flatten(2), (0, states))
        return rows.view(kinds, batch, states, steps + 1)[..., :frames].transpose(2, 3)

    def cells(self, kinds: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns symbol, frame and u of arcs, all (B, N)."""
        steps = torch.arange(kinds.shape[1], device=kinds.device)
        return kinds, steps - states, states


@topologies.register("rna")
class RnaTopology(Topology):
    """RNA: every frame has one symbol, blank or a label.

    Source: Sak et al. 2017, "Recurrent neural aligner". A step is a frame, a state is u.
    """

    symbols = 2

    def min_frames(self, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Returns (B,) as many frames as labels."""
        return label_lengths

    def band(self, frames: int, lengths: Tensor, label_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (B, T) bounds of u: at most the frames so far, and the rest must still fit."""
        return one_symbol_band(frames, lengths, label_lengths)

    def lattice(
        self, scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> Lattice:
        """Returns the lattice of scores (2, B, T, U + 1)."""
        final = F.one_hot(label_lengths, scores.shape[3]).bool()
        return Lattice(scores.transpose(1, 2).contiguous(), lengths, final)

    def to_cells(self, arcs: Tensor, frames: int) -> Tensor:
        """Returns (2, B, T, U + 1) the arcs (2, T, B, U + 1)."""
        return arcs.transpose(1, 2)

    def cells(self, kinds: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns symbol, frame and u of arcs, all (B, N)."""
        steps = torch.arange(kinds.shape[1], device=kinds.device)
        return kinds, steps.expand_as(kinds), states


@topologies.register("ctc")
class CtcTopology(Topology):
    """CTC: as RNA, but frames in a row may have the same label, which counts once.

    The score of a label may depend on the labels before it; where it does not, this is CTC. Equal
    neighbours have a blank between them. A step is a frame; state 2u comes after a blank (and 0 at
    the start), state 2u - 1 after label u.

    Source: Graves et al. 2006, section 4.1; for transducers: Zeyer et al. 2020, "A new
        training pipeline for an improved neural transducer", where RNA has no label repetition.
    """

    symbols = 3
    labels_repeat = True

    def min_frames(self, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Returns (B,) as many frames as labels, and one more between equal neighbours."""
        return min_frames(labels, label_lengths)

    def band(self, frames: int, lengths: Tensor, label_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (B, T) bounds of u: at most the frames so far, and the rest must still fit."""
        return one_symbol_band(frames, lengths, label_lengths)

    def lattice(
        self, scores: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> Lattice:
        """Returns the lattice of scores (3, B, T, U + 1) with 2U + 1 states."""
        blank, label, repeat = scores.transpose(1, 2)  # (T, B, U + 1) each
        size = 2 * scores.shape[3] - 1
        arcs = scores.new_full((3, *blank.shape[:2], size), -INFINITY)
        arcs[0, ..., 0::2] = blank
        arcs[1, ..., 0::2] = label
        arcs[0, ..., 1::2] = repeat[..., 1:]
        arcs[1, ..., 1::2] = blank[..., 1:]
        equal = F.pad(labels[:, 1:] == labels[:, :-1], (0, 1))[:, : labels.shape[1]]
        arcs[2, ..., 1::2] = label[..., 1:].masked_fill(equal, -INFINITY)
        ends = F.one_hot(2 * label_lengths, size) + F.one_hot(
            (2 * label_lengths - 1).clamp(min=0), size
        )
        return Lattice(arcs, lengths, ends.bool())

    def to_cells(self, arcs: Tensor, frames: int) -> Tensor:
        """Returns (3, B, T, U + 1) sums over the arcs (3, T, B, 2U + 1) of a symbol."""
        after_label = F.pad(arcs[..., 1::2], (1, 0))
        blank = arcs[0, ..., 0::2] + after_label[1]
        label = arcs[1, ..., 0::2] + after_label[2]
        return torch.stack([blank, label, after_label[0]]).transpose(1, 2)

    def cells(self, kinds: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns symbol, frame and u of arcs, all (B, N)."""
        after_label = states % 2 == 1
        # After a label 0, 1, 2 are repeat, blank, label.
        symbols = torch.where(after_label, (kinds + 2) % 3, kinds)
        steps = torch.arange(kinds.shape[1], device=kinds.device)
        return symbols, steps.expand_as(kinds), (states + 1) // 2


def one_symbol_band(frames: int, lengths: Tensor, label_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (B, T) bounds of u where every frame has at most one new label."""
    times = torch.arange(frames, device=lengths.device)[None, :]
    remaining = lengths[:, None] - times
    lowest = (label_lengths[:, None] - remaining).clamp(min=0)
    highest = torch.minimum(times, label_lengths[:, None])
    return lowest, torch.where(remaining > 0, highest, -1)


def min_frames(labels: Tensor, label_lengths: Tensor) -> Tensor:
    """Returns (B,) how many frames the labels need: one each, and a blank between equal ones."""
    if labels.shape[1] < 2:
        return label_lengths
    equal = (labels[:, 1:] == labels[:, :-1]) & length_mask(
        (label_lengths - 1).clamp(min=0), labels.shape[1] - 1
    )
    return label_lengths + equal.sum(1)
