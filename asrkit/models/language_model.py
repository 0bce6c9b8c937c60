"""Language models: a label decoder without frames, trained with cross-entropy on text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.bounds import refuse_below
from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.losses.linear_cross_entropy import linear_cross_entropy
from asrkit.models.decoders.interfaces import LabelDecoder, LinearOutput
from asrkit.models.decoders.mini_lstm import MiniLstmDecoder
from asrkit.models.decoders.scorer import DecoderScorer
from asrkit.models.decoders.targets import with_eos
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.interfaces import LossPart, LossReport, models, require_share
from asrkit.models.kinds import TextModel
from asrkit.nn.applied import Applied
from asrkit.scorers.interfaces import Kind, LabelScorer
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@models.register("language_model")
class LanguageModel(TextModel):
    """Predicts the next label from the labels before it.

    Args:
        vocabulary: The V labels.
        decoder: Scores next labels.
        label_smoothing: Probability taken from the target and shared by the other labels.
        softmax_chunk: Positions whose logits are computed at a time, if set: with thousands of
            labels this takes much less memory, and is faster.

    Raises:
        ValueError: If the smoothing is not a share, or the decoder has no linear output layer that
            could be computed in chunks.
    """

    by_chunk: frozenset[Kind] = frozenset({"labels"})

    def __init__(
        self,
        vocabulary: Vocabulary,
        decoder: Factory[LabelDecoder],
        label_smoothing: float = 0.0,
        softmax_chunk: int | None = None,
    ) -> None:
        super().__init__()
        require_share("label_smoothing", label_smoothing)
        self.vocabulary, self.label_smoothing = vocabulary, label_smoothing
        self.applied = Applied()
        self.outputs = Outputs.labels_with_eos(vocabulary)
        self.decoder = decoder(outputs=self.outputs, encoder_dim=None)
        self.softmax_chunk = softmax_chunk
        if softmax_chunk is not None:
            refuse_below(1, softmax_chunk=softmax_chunk)
            if not isinstance(self.decoder, LinearOutput):
                name = type(self.decoder).__name__
                raise ValueError(f"softmax_chunk: the scores of a {name} can't be made in chunks")

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the loss per label (eos included), and the share of wrong labels."""
        inputs, targets, mask = with_eos(batch, self.outputs.eos)
        smoothing = self.label_smoothing if self.training else 0.0  # dev losses give perplexities
        total, losses, errors = self._losses(inputs, targets, mask, smoothing)
        count = int(batch.label_lengths.sum()) + len(batch)
        return {
            "loss": LossPart(total, count, 1.0, losses.detach()),
            "errors": LossPart(errors.float(), count, weight=0.0),
        }

    def _losses(
        self, inputs: Tensor, targets: Tensor, mask: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss () of labels (B, L), those of utterances (B,), and the errors ()."""
        frames = self._no_frames(inputs[:, 0])
        if self.softmax_chunk is None:
            logits = self.decoder(inputs, None, frames)
            losses = cross_entropy(logits, targets, mask, smoothing, applied=self.applied)
            return losses.sum(), losses, label_errors(logits, targets, mask)
        assert isinstance(self.decoder, LinearOutput)
        output = self.decoder.output
        x = self.decoder.hidden(inputs, None, frames)[mask]  # (N, D) of valid positions
        found = linear_cross_entropy(
            x, output.weight, output.bias, targets[mask], smoothing, self.softmax_chunk
        )
        if smoothing:
            self.applied.count("smoothed_probability", smoothing * len(x), len(x))
        each = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, found.each)
        return found.total, each.sum(1), found.errors

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the log-probabilities of next labels for as many utterances as are encoded."""
        memory = self.decoder.begin(None, self._no_frames(encoded.lengths))
        return DecoderScorer(self.decoder, memory, encoded.lengths, self.outputs.eos)

    def stands_beside(self, head: object) -> bool:
        """Returns whether it was trained as the internal language model of this very head."""
        if not isinstance(self.decoder, MiniLstmDecoder) or not isinstance(head, AttentionHead):
            return False
        mine, theirs = self.decoder.decoder.state_dict(), head.decoder.state_dict()
        return mine.keys() == theirs.keys() and all(
            tensor.shape == theirs[name].shape and torch.allclose(tensor, theirs[name], rtol=1e-4)
            for name, tensor in mine.items()
        )

    @staticmethod
    def _no_frames(lengths: Tensor) -> Tensor:
        return lengths.new_zeros(len(lengths), 0).bool()
