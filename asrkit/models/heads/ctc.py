"""The CTC head: one linear layer, the CTC loss, and scorers for both kinds of search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.decoding.ctc_prefix import CtcPrefixScorer
from asrkit.decoding.interfaces import Frames, FrameScorer, LabelScorer
from asrkit.losses.ctc import ctc_loss
from asrkit.models.interfaces import Encoded, Encoder, Head, LossPart, LossReport, heads
from asrkit.nn.dropout import Dropout
from asrkit.text.vocabulary import Vocabulary


@heads.register("ctc")
class CtcHead(Head):
    """Predicts a label or blank in every frame.

    Args:
        encoder: Whose frames are read.
        vocabulary: The V labels.
        weight: Of the loss in the training objective.
        tap: Block, counted from 1, whose output is read; the last where null.
        dropout: Before the linear layer.

    Raises:
        ValueError: If the encoder has no such tap.

    Source: Graves et al. 2006.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        tap: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        self.weight, self.tap = weight, tap
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(encoder.dim, len(vocabulary) + 1)

    def log_probs(self, encoded: Encoded) -> Tensor:
        """Returns log-probabilities (B, T, V + 1), blank last, in single precision."""
        logits = self.output(self.dropout(encoded.at(self.tap)))
        return torch.log_softmax(logits.float(), dim=2)

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per label, and how many utterances had no alignment.

        Those add nothing to the total and have no gradient; their own loss reads infinite.
        """
        losses, feasible = ctc_loss(
            self.log_probs(encoded), encoded.lengths, batch.labels, batch.label_lengths
        )
        return {
            "loss": LossPart(
                total=losses.sum(),
                count=int(batch.label_lengths.sum()),
                weight=self.weight,
                per_utterance=losses.detach().masked_fill(~feasible, float("inf")),
            ),
            "infeasible": LossPart((~feasible).sum().float(), len(batch), weight=0.0),
        }

    def label_scorer(self, encoded: Encoded) -> LabelScorer:
        """Returns CTC prefix scores, for label-synchronous search."""
        return CtcPrefixScorer(self.log_probs(encoded), encoded.lengths)

    def frame_scorer(self, encoded: Encoded) -> FrameScorer:
        """Returns the frames' log-probabilities, for time-synchronous search."""
        return Frames(self.log_probs(encoded), encoded.lengths)

    def min_frames(self, labels: list[int]) -> int:
        """Returns one frame per label and a blank between equal neighbours."""
        return len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))


def require_tap(encoder: Encoder, tap: int | None) -> None:
    """Checks that the encoder gives what a head wants to read.

    Raises:
        ValueError: If it does not.
    """
    if tap is None:
        return
    if not 1 <= tap <= encoder.num_layers:
        raise ValueError(f"tap ({tap}) is beyond the encoder's blocks 1 to {encoder.num_layers}")
    if tap not in encoder.taps:
        raise ValueError(
            f"tap ({tap}) is not among the encoder's taps {encoder.taps}; add it to encoder.taps"
        )
