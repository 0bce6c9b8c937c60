"""Frame-wise cross-entropy on the tied states of given alignments: the head of a hybrid model."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    heads,
    require_share,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import Dropout
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.upsampling import Upsampling
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("frame_cross_entropy")
class FrameCrossEntropyHead(Head):
    """Predicts the tied state of every feature frame.

    Args:
        encoder: Whose frames are read.
        vocabulary: Not needed.
        weight: Of the loss in the training objective.
        states: S, number of outputs: at least as many as the alignments have tied states.
        upsampling: Makes as many frames as the features have; null where the encoder has as many.
        hidden: Sizes of linear layers before the output, with a ReLU between each two.
        tap: Block, counted from 1, whose output is read; the last where null.
        focal: Exponent e of the factor (1 - p(state))^e, which down-weights easy frames.
        label_smoothing: Probability taken from the state and shared among the others in training.
        dropout: Before the output.

    Raises:
        ValueError: If the encoder has no such tap, or a number is impossible.

    Source: Bourlard & Morgan 1994; upsampling and the layers of auxiliary outputs as in
        rwth-i6/i6_experiments, users/schupp/hybrid_hmm_nn.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        states: int,
        upsampling: Factory[Upsampling] | None = None,
        hidden: list[int] = [],  # noqa: B006 - never changed
        tap: int | None = None,
        focal: float = 0.0,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        require_share("label_smoothing", label_smoothing)
        if states < 2:
            raise ValueError(f"states ({states}) must be at least 2")
        self.weight, self.tap, self.focal, self.smoothing = weight, tap, focal, label_smoothing
        self.applied = Applied()
        self.outputs = Outputs.states(states)
        self.given_targets = FrameTargets(self.outputs, rate="features")
        self.upsampling = None if upsampling is None else upsampling(dim=encoder.dim)
        dim = encoder.dim if self.upsampling is None else self.upsampling.dim
        sizes = [dim, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(sizes[-1], states)

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the cross-entropy per frame, and the share of frames whose state is not best."""
        assert batch.alignment is not None, "frames are trained on given alignments"
        logits, lengths = self._logits(encoded)  # (B, T, S)
        frames = min(logits.shape[1], batch.alignment.shape[1])
        logits, states = logits[:, :frames], batch.alignment[:, :frames]  # (B, T)
        mask = length_mask(lengths, frames) & (states >= 0)
        targets, count = states.clamp(min=0), int(mask.sum())
        smoothing, applied = (self.smoothing, self.applied) if self.training else (0.0, None)
        losses = cross_entropy(logits, targets, mask, smoothing, self.focal, applied)  # (B,)
        wrong = label_errors(logits, targets, mask).float()
        return {
            "loss": LossPart(losses.sum(), count, self.weight, losses.detach()),
            "errors": LossPart(wrong, count, 0.0),
        }

    def log_posteriors(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns log p(s|x) (B, T, S) of feature frames, and how many are valid (B,)."""
        logits, lengths = self._logits(encoded)
        return logits.float().log_softmax(2), lengths

    def state_scores(self, encoded: Encoded) -> FrameScores:
        """Returns log p(s|x) (B, T, S) of feature frames."""
        return FrameScores(*self.log_posteriors(encoded))

    def _logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns logits (B, T, S) of feature frames, and how many are valid (B,)."""
        x, lengths = encoded.at(self.tap), encoded.lengths  # (B, T', D), (B,)
        if self.upsampling is not None:
            valid = zero_padding(x, length_mask(lengths, x.shape[1]))
            x, lengths = self.upsampling(valid), lengths * self.upsampling.factor
        if encoded.feature_lengths is not None:
            lengths = torch.minimum(lengths, encoded.feature_lengths)
        x = x[:, : int(lengths.max())]  # (B, T, D)
        for number, layer in enumerate(self.hidden):
            x = layer(x if number == 0 else torch.relu(x))
        return self.output(self.dropout(x)), lengths
