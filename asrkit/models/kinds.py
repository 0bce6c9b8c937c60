"""The kinds of models that verbs ask for: those that hear, and those that read.

Shape letters: B utterances, T frames, N samples, U labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.interfaces import Encoded, Head, Pictures, TrainableModel
from asrkit.nn.features import Features
from asrkit.scorers.interfaces import LabelScorer
from asrkit.text.vocabulary import Vocabulary


class SpeechModel(TrainableModel, ABC):
    """A model that searches decode with; implementations set the attributes."""

    features: Features
    vocabulary: Vocabulary

    @abstractmethod
    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        """Returns the frames of samples (B, N) with lengths (B,), without augmentation."""

    @abstractmethod
    def named_heads(self) -> dict[str, Head]:
        """Returns the heads by name."""

    @abstractmethod
    def output_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the number of encoder frames (B,) for numbers of samples (B,)."""

    @property
    def sample_rate(self) -> int:
        """Samples per second that the features are made for."""
        return self.features.sample_rate

    def noise(self, lengths: Tensor) -> Tensor:
        """Returns noise that the features can be made of."""
        return self.features.noise(lengths)

    def statistics(self) -> Features | None:
        """Returns the features if they need statistics."""
        return self.features if self.features.normalization.needs_statistics else None

    def pictures(self, batch: Batch) -> dict[str, Pictures]:
        """Returns what each head shows."""
        encoded = self.encode(batch.signal, batch.signal_lengths)
        return {name: head.pictures(encoded, batch) for name, head in self.named_heads().items()}


class TextModel(TrainableModel, ABC):
    """A language model: searches add its scores to those of a model that hears."""

    @abstractmethod
    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the log-probabilities of next labels for as many utterances as are encoded."""

    def stands_beside(self, head: object) -> bool:
        """Returns whether it was trained as the internal language model of this very head."""
        return False
