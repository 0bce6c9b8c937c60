"""The speech recogniser: features, augmentation, encoder, and any number of named heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossReport,
    TrainableModel,
    models,
)
from asrkit.nn.augment import Augment
from asrkit.nn.features import Features
from asrkit.text.vocabulary import Vocabulary


@models.register("asr")
class AsrModel(TrainableModel):
    """An encoder with named heads; each head gives a loss and scorers.

    Args:
        vocabulary: The V labels.
        features: Computes features from samples.
        encoder: Turns features into frames.
        heads: Training outputs by name.
        augment: Changes to the features in training, in order.

    Raises:
        ValueError: If there is no head, or the name of one can't be that of a module.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        features: Features,
        encoder: Factory[Encoder],
        heads: dict[str, Factory[Head]],
        augment: list[Augment] = [],  # noqa: B006 - never changed
    ) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a model needs at least one head, such as ctc: {type: ctc, weight: 1}")
        for name in heads:
            if "." in name or not name or hasattr(nn.ModuleDict(), name):
                raise ValueError(f"a head can't have the name {name!r}; take another, such as ctc")
        self.vocabulary = vocabulary
        self.features = features
        self.augment = nn.ModuleList(augment)
        self.encoder = encoder(input_dim=features.dim)
        self.heads = nn.ModuleDict(
            {
                name: make(encoder=self.encoder, vocabulary=vocabulary)
                for name, make in heads.items()
            }
        )

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the loss parts of all heads, named HEAD.PART."""
        encoded = self._encode(batch.signal, batch.signal_lengths, step)
        return {
            f"{name}.{part}": value
            for name, head in self.named_heads().items()
            for part, value in head.loss(encoded, batch).items()
        }

    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        """Returns the frames of samples (B, N) with lengths (B,), without augmentation."""
        return self.encoder(*self.features(signal, lengths))  # type: ignore[no-any-return]

    def named_heads(self) -> dict[str, Head]:
        """Returns the heads by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, Head)}

    def output_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the encoder frames (B,) of so many samples (B,)."""
        return self.encoder.output_lengths(self.features.num_frames(num_samples))

    def _encode(self, signal: Tensor, lengths: Tensor, step: int) -> Encoded:
        learned = any(
            p.requires_grad for p in (*self.features.parameters(), *self.augment.parameters())
        )
        # Most features have no parameters, and nothing to remember for a gradient.
        with torch.set_grad_enabled(learned and torch.is_grad_enabled()):
            features, lengths = self.features(signal, lengths)
            if self.training:
                for augment in self.augment:
                    features, lengths = augment(features, lengths, step)
        return self.encoder(features, lengths)  # type: ignore[no-any-return]
