"""What a transducer head is trained for: all alignments of the labels, or given ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.lattice.topologies import Topology
from asrkit.losses.frame_loss import frame_losses
from asrkit.losses.symbols import SymbolDistribution
from asrkit.models.interfaces import Encoded, LossPart, LossReport
from asrkit.nn.applied import Applied
from asrkit.nn.masking import length_mask


class Transducer(Protocol):
    """All that a criterion knows of a head."""

    weight: float
    topology: Topology
    blank: SymbolDistribution
    training: bool

    def full_sum_losses(self, encoded: Encoded, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """Returns the losses (B,) over all alignments by name, with their weights."""
        ...

    def path_logits(self, encoded: Encoded, symbols: Tensor) -> Tensor:
        """Returns logits (B, T, V + 1) along given alignments (B, T)."""
        ...


class Criterion(ABC):
    """The loss of a transducer; implementations set `given_alignments`."""

    given_alignments: bool

    @abstractmethod
    def __call__(self, head: Transducer, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the named parts: "loss" and any statistics."""

    @abstractmethod
    def check(self, topology: Topology, reader: str | None, pruned: bool) -> None:
        """Checks that a head can be trained with this criterion.

        Args:
            topology: What may follow what in an alignment.
            reader: The RNN whose outputs depend on the alignment so far, if there is one.
            pruned: Whether most of the joiner's work is left out.

        Raises:
            ValueError: If it can't.
        """


criteria: Registry[Criterion] = Registry("criterion", Criterion)


@criteria.register("full_sum")
class FullSum(Criterion):
    """-log p(labels | frames), summed over all alignments.

    Source: Graves 2012, section 2.4.
    """

    given_alignments = False

    def check(self, topology: Topology, reader: str | None, pruned: bool) -> None:
        """Refuses an RNN that reads alignments: these can't be summed then."""
        if reader is not None:
            raise ValueError(
                f"{reader} depends on the alignment, so that alignments can't be summed; expected "
                "criterion: alignment, trained on alignments of a model with criterion: full_sum "
                "and without this RNN"
            )

    def __call__(self, head: Transducer, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per label, and how many utterances had no alignment.

        Those add nothing to the total and have no gradient; their own loss reads infinite.
        """
        needed = head.topology.min_frames(batch.labels, batch.label_lengths)
        fits = needed <= encoded.lengths
        count = int(batch.label_lengths.sum())
        return {
            name: LossPart(losses.where(fits, 0.0).sum(), count, weight, losses.detach())
            for name, (losses, weight) in head.full_sum_losses(encoded, batch).items()
        } | {"infeasible": LossPart((~fits).sum().float(), len(batch), weight=0.0)}


@criteria.register("alignment")
class GivenAlignment(Criterion):
    """Cross-entropy of each frame's symbol in the alignment that the batch brings.

    Args:
        focal: How much less the frames count whose symbol is probable: factor (1 - p)^focal.

    Raises:
        ValueError: If that is negative.

    Source: Zeyer et al. 2020, "A new training pipeline for an improved neural transducer"
        (training on a fixed alignment); Lin et al. 2017 (focal loss).
    """

    given_alignments = True

    def __init__(self, focal: float = 0.0) -> None:
        if focal < 0:
            raise ValueError(f"focal ({focal}) must be at least 0")
        self.focal, self.applied = focal, Applied()

    def check(self, topology: Topology, reader: str | None, pruned: bool) -> None:
        """Refuses pruning, and alignments with several symbols in a frame."""
        if pruned:
            raise ValueError(
                f"pruning is for sums over alignments, but criterion ({type(self).__name__}) is "
                "given one; expected pruning: null"
            )
        if topology.labels_stay:
            raise ValueError(
                f"criterion ({type(self).__name__}) needs one symbol per frame, but topology "
                f"({type(topology).__name__}) lets a frame have several; expected topology: rna or "
                "ctc"
            )

    def __call__(self, head: Transducer, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per frame, and the share of frames with another best symbol.

        Raises:
            UserError: If there is no alignment, or it has other frames than the encoder.
        """
        frames = encoded.frames.shape[1]
        mask = length_mask(encoded.lengths, frames)
        symbols = _alignment(batch, frames)
        logits = head.path_logits(encoded, symbols.masked_fill(~mask, -1))
        known = symbols.masked_fill(~mask, 0)
        losses = frame_losses(logits, known, head.blank, self.focal).where(mask, 0.0)
        if self.focal and head.training and self.applied.sampled:
            whole = frame_losses(logits.detach(), known, head.blank).where(mask, 0.0).sum()
            self.applied.count("focal_loss", whole - losses.detach().sum(), whole)
        with torch.no_grad():
            wrong = (head.blank.log_probs(logits).argmax(2) != known) & mask
        count = int(encoded.lengths.sum())
        per_utterance = losses.detach().sum(1)
        return {
            "loss": LossPart(losses.sum(), count, head.weight, per_utterance),
            "errors": LossPart(wrong.sum().float(), count, weight=0.0),
        }


def _alignment(batch: Batch, frames: int) -> Tensor:
    """Returns the symbols (B, T) that the batch brings."""
    if batch.alignment is None:
        raise UserError(
            f"utterance {batch.ids[0]}: expected an alignment, got labels only; criterion "
            "'alignment' needs data with alignments, 'full_sum' needs none"
        )
    if batch.alignment.shape[1] != frames:
        raise UserError(
            f"utterance {batch.ids[0]}: its batch's alignment has {batch.alignment.shape[1]} "
            f"frames, the encoder gives {frames}; align with a model of the same frame rate"
        )
    return batch.alignment
