"""CTC of phones: a head whose words are found through a lexicon, in a decoding graph."""

from __future__ import annotations

from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.losses.ctc import ctc_loss
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    heads,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.dropout import Dropout
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("phone_ctc")
class PhoneCtcHead(Head):
    """Predicts a phone or blank in every frame.

    It is trained on the phones that alignments of a lexicon have chosen (`data.alignments`),
    whenever they are said. A search of type graph makes words of them.

    Args:
        encoder: Whose frames are read.
        vocabulary: Not needed.
        weight: Of the loss in the training objective.
        phones: Names of the K phones of the lexicon, in the order of the outputs.
        tap: Block, counted from 1, whose output is read; the last where null.
        dropout: Before the linear layer.

    Raises:
        ValueError: If the encoder has no such tap, or phones are missing or named twice.

    Source: Graves et al. 2006; Miao et al. 2015, "EESEN".
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        phones: list[str],
        tap: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        if not phones or len(set(phones)) < len(phones):
            raise ValueError(f"phones must be different names, and at least one, got {phones}")
        self.weight, self.tap = weight, tap
        self.outputs = Outputs.classes_with_blank(phones)
        self.given_targets = FrameTargets(self.outputs, rate="sequence")
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(encoder.dim, len(self.outputs))

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per phone, and how many utterances had no alignment.

        Those add nothing to the total and have no gradient; their own loss reads infinite.
        """
        assert batch.alignment is not None, "phones are those of given alignments"
        lengths = (batch.alignment >= 0).sum(1)  # (B,)
        phones = batch.alignment.clamp(min=0)  # (B, U)
        losses, feasible = ctc_loss(*self.log_posteriors(encoded), phones, lengths)
        each = losses.detach().masked_fill(~feasible, float("inf"))
        return {
            "loss": LossPart(losses.sum(), int(lengths.sum()), self.weight, each),
            "infeasible": LossPart((~feasible).sum().float(), len(batch), weight=0.0),
        }

    def log_posteriors(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities (B, T, K + 1) of phones and blank, and valid frames (B,)."""
        logits = self.output(self.dropout(encoded.at(self.tap)))
        return logits.float().log_softmax(2), encoded.lengths

    def state_scores(self, encoded: Encoded) -> FrameScores:
        """Returns log-probabilities (B, T, K + 1) of phones and blank, for a search of words."""
        return FrameScores(*self.log_posteriors(encoded))
