"""Language models: a label decoder without frames, trained with cross-entropy on text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.decoders.interfaces import LabelDecoder
from asrkit.models.decoders.mini_lstm import MiniLstmDecoder
from asrkit.models.decoders.scorer import DecoderScorer
from asrkit.models.decoders.targets import with_eos
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.interfaces import LossPart, LossReport, models, require_share
from asrkit.models.kinds import TextModel
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

    Raises:
        ValueError: If the smoothing is not a share.
    """

    by_chunk: frozenset[Kind] = frozenset({"labels"})

    def __init__(
        self, vocabulary: Vocabulary, decoder: Factory[LabelDecoder], label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        require_share("label_smoothing", label_smoothing)
        self.vocabulary, self.label_smoothing = vocabulary, label_smoothing
        self.outputs = Outputs.labels_with_eos(vocabulary)
        self.decoder = decoder(outputs=self.outputs, encoder_dim=None)

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the loss per label (eos included), and the share of wrong labels."""
        inputs, targets, mask = with_eos(batch, self.outputs.eos)
        smoothing = self.label_smoothing if self.training else 0.0  # dev losses give perplexities
        logits = self.decoder(inputs, None, self._no_frames(batch.label_lengths))
        losses = cross_entropy(logits, targets, mask, smoothing)
        count = int(batch.label_lengths.sum()) + len(batch)
        return {
            "loss": LossPart(losses.sum(), count, 1.0, losses.detach()),
            "errors": LossPart(label_errors(logits, targets, mask).float(), count, weight=0.0),
        }

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
