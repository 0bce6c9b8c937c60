"""The attention head: a label decoder over the encoder's frames, trained with cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.decoders.interfaces import AttendingDecoder, LabelDecoder
from asrkit.models.heads.pictures import attention_figure
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    Pictures,
    heads,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.masking import length_mask
from asrkit.scorers.interfaces import State, select
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
        ValueError: If the encoder has no such tap, the smoothing or switchout is no share, or the
            decoder reads no frames.
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
        for name, share in (("label_smoothing", label_smoothing), ("switchout", switchout)):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{name} ({share}) must be at least 0 and below 1")
        self.weight, self.tap, self.label_smoothing = weight, tap, label_smoothing
        self.switchout = switchout
        self.outputs = Outputs.labels_with_eos(vocabulary)
        self.eos = self.outputs.eos
        made = decoder(outputs=self.outputs, encoder_dim=encoder.dim)
        if not isinstance(made, AttendingDecoder):
            raise ValueError(f"decoder: a {type(made).__name__} has no attention to frames")
        self.decoder = made

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per label (eos included), and the share of wrong labels."""
        inputs, targets, mask = with_eos(batch, self.eos)
        if self.training and self.switchout:
            inputs = switch_out(inputs, self.switchout, self.eos)
        frames = encoded.at(self.tap)
        logits = self.decoder(inputs, frames, length_mask(encoded.lengths, frames.shape[1]))
        smoothing = self.label_smoothing if self.training else 0.0  # dev: what the decoder knows
        losses = cross_entropy(logits, targets, mask, smoothing)
        count = int(batch.label_lengths.sum()) + len(batch)
        return {
            "loss": LossPart(losses.sum(), count, self.weight, losses.detach()),
            "errors": LossPart(label_errors(logits, targets, mask).float(), count, weight=0.0),
        }

    def label_scorer(self, encoded: Encoded) -> AttentionScorer:
        """Returns the decoder's log-probabilities, step by step."""
        return AttentionScorer(self.decoder, self._memory(encoded), encoded.lengths, self.eos)

    def label_attention(self, encoded: Encoded) -> DecoderAttention:
        """Returns how the decoder attends to the frames, step by step."""
        return DecoderAttention(self.decoder, self._memory(encoded), encoded.lengths, self.eos)

    def internal_lm(self, encoded: Encoded) -> AttentionScorer:
        """Returns what the decoder says of next labels where attention gives zeros.

        Source: Variani et al. 2020; Meng et al. 2021, section 3.
        """
        unheard = encoded.lengths.new_zeros(len(encoded.lengths), 0).bool()
        memory = self.decoder.without_frames(unheard)
        return AttentionScorer(self.decoder, memory, encoded.lengths, self.eos)

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


@dataclass(frozen=True)
class DecoderAttention:
    """How a label decoder attends to the frames for the label after those so far.

    Args:
        decoder: The decoder.
        memory: What it computed from the frames, leading axis B.
        lengths: (B,) valid frames.
        num_labels: V, the id of the first input, too.
    """

    decoder: AttendingDecoder
    memory: Any
    lengths: Tensor
    num_labels: int

    def initial_state(self) -> tuple[Tensor, State]:
        """Returns the attention (B, T) for the first labels, and the states of empty hypotheses."""
        bos = torch.full_like(self.lengths, self.num_labels)
        return self.advance(self.decoder.initial_state(self.memory), bos)

    def advance(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns the attention (H, T) for the label after one more (H,), and new states."""
        return self.decoder.attention_step(state, labels, self.memory)

    def subset(self, utterances: Tensor) -> DecoderAttention:
        """Returns the attention of some of the utterances."""
        memory = select(self.memory, utterances)
        lengths = self.lengths[utterances]
        return DecoderAttention(self.decoder, memory, lengths, self.num_labels)


class AttentionScorer:
    """Scores next labels with a label decoder; keeps each hypothesis' scores in its state.

    Args:
        decoder: The decoder.
        memory: What it computed from the frames, leading axis B.
        lengths: (B,) valid frames.
        eos: The id of end of sentence, and of the first input.
    """

    partial = False

    def __init__(self, decoder: LabelDecoder, memory: Any, lengths: Tensor, eos: int) -> None:
        self.decoder, self.memory, self.lengths, self.eos = decoder, memory, lengths, eos

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        bos = torch.full_like(self.lengths, self.eos)
        return self.decoder.step(self.decoder.initial_state(self.memory), bos, self.memory)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates."""
        log_probs: Tensor = state[0]
        return log_probs if candidates is None else log_probs.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,)."""
        return self.decoder.step(state[1], labels, self.memory)

    def subset(self, utterances: Tensor) -> AttentionScorer:
        """Returns the scorer of some of the utterances."""
        memory = select(self.memory, utterances)
        return AttentionScorer(self.decoder, memory, self.lengths[utterances], self.eos)


def switch_out(inputs: Tensor, share: float, num_labels: int) -> Tensor:
    """Returns decoder inputs (B, L), some labels replaced by random ones; the first one stays.

    Source: Wang et al. 2018, section 3, with a fixed share, on the decoder's side only.
    """
    switched = torch.rand(inputs.shape, device=inputs.device) < share
    switched[:, 0] = False
    return torch.where(switched, torch.randint_like(inputs, num_labels), inputs)


def with_eos(batch: Batch, eos: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns decoder inputs (bos first), targets (eos last) and their mask, each (B, U + 1)."""
    labels, lengths = batch.labels, batch.label_lengths
    edge = labels.new_full((len(labels), 1), eos)
    inside = length_mask(lengths, labels.shape[1])
    inputs = torch.cat([edge, labels.masked_fill(~inside, eos)], dim=1)
    targets = torch.cat([labels.masked_fill(~inside, eos), edge], dim=1)
    return inputs, targets, length_mask(lengths + 1, labels.shape[1] + 1)
