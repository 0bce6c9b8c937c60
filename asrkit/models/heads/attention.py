"""The attention head: a label decoder over the encoder's frames, trained with cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.decoders.interfaces import AttendingDecoder, LabelDecoder
from asrkit.models.decoders.scorer import DecoderAttention, DecoderScorer
from asrkit.models.decoders.targets import with_eos
from asrkit.models.heads.pictures import attention_figure
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    Pictures,
    heads,
    require_share,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.applied import Applied
from asrkit.nn.masking import length_mask
from asrkit.nn.switchout import Switchout
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("attention")
class AttentionHead(Head):
    """Predicts the next label from the labels before it and the frames.

    Args:
        encoder: Whose frames are read.
        vocabulary: The V labels.
        weight: Of the loss in the training objective.
        decoder: Scores next labels.
        label_smoothing: Probability taken from the target and shared by the other labels, in
            training; dev losses are without.
        tap: Block, counted from 1, whose output is read; the last where null.
        switchout: Share of the labels before, in training, that are replaced by random ones.

    Raises:
        ValueError: If the encoder has no such tap, the smoothing or switchout is not a share, or
            the decoder reads no frames.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        decoder: Factory[LabelDecoder],
        label_smoothing: float = 0.1,
        tap: int | None = None,
        switchout: float = 0.0,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        require_share("label_smoothing", label_smoothing)
        self.weight, self.tap, self.label_smoothing = weight, tap, label_smoothing
        self.applied = Applied()
        self.switchout = Switchout(switchout, len(vocabulary))
        self.outputs = Outputs.labels_with_eos(vocabulary)
        self.eos = self.outputs.eos
        made = decoder(outputs=self.outputs, encoder_dim=encoder.dim)
        if not isinstance(made, AttendingDecoder):
            raise ValueError(f"decoder: a {type(made).__name__} has no attention to frames")
        self.decoder = made

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per label (eos included), and the share of wrong labels."""
        inputs, targets, mask = with_eos(batch, self.eos)
        inputs = torch.cat([inputs[:, :1], self.switchout(inputs[:, 1:])], dim=1)  # bos stays
        frames = encoded.at(self.tap)
        logits = self.decoder(inputs, frames, length_mask(encoded.lengths, frames.shape[1]))
        smoothing = self.label_smoothing if self.training else 0.0  # dev: what the decoder knows
        losses = cross_entropy(logits, targets, mask, smoothing, applied=self.applied)
        count = int(batch.label_lengths.sum()) + len(batch)
        return {
            "loss": LossPart(losses.sum(), count, self.weight, losses.detach()),
            "errors": LossPart(label_errors(logits, targets, mask).float(), count, weight=0.0),
        }

    def label_scorer(self, encoded: Encoded) -> DecoderScorer:
        """Returns the decoder's log-probabilities, step by step."""
        return DecoderScorer(self.decoder, self._memory(encoded), encoded.lengths, self.eos)

    def label_attention(self, encoded: Encoded) -> DecoderAttention:
        """Returns how the decoder attends to the frames, step by step."""
        return DecoderAttention(self.decoder, self._memory(encoded), encoded.lengths, self.eos)

    def internal_lm(self, encoded: Encoded) -> DecoderScorer:
        """Returns what the decoder says of next labels where attention gives zeros.

        Source: Variani et al. 2020; Meng et al. 2021, section 3.
        """
        unheard = encoded.lengths.new_zeros(len(encoded.lengths), 0).bool()
        memory = self.decoder.without_frames(unheard)
        return DecoderScorer(self.decoder, memory, encoded.lengths, self.eos)

    def pictures(self, encoded: Encoded, batch: Batch) -> Pictures:
        """Returns a picture of the first utterance's attention."""
        weights = self.attention_weights(encoded, batch)
        return Pictures(figure=attention_figure(weights[0], batch, encoded))

    def attention_weights(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Returns the attention (B, U, T) of each label to the frames, for pictures."""
        inputs, _, _ = with_eos(batch, self.eos)
        frames = encoded.at(self.tap)
        mask = length_mask(encoded.lengths, frames.shape[1])
        return self.decoder.attention_weights(inputs, frames, mask)

    def _memory(self, encoded: Encoded) -> Any:
        frames = encoded.at(self.tap)
        return self.decoder.begin(frames, length_mask(encoded.lengths, frames.shape[1]))
