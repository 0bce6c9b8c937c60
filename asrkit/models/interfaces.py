"""What models are made of: an encoder and named heads; and all that a trainer knows of them.

Shape letters: B utterances, T frames, N samples, F features, D model dim, U labels, V labels of
the vocabulary, H hypotheses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.scorers.interfaces import FrameScorer, LabelScorer, scores_no_frames
from asrkit.text.outputs import Outputs


@dataclass(frozen=True)
class LossPart:
    """A sum and the count it belongs to; never a mean, so that accumulation and logs agree.

    Args:
        total: () the sum over everything counted.
        count: How many things were counted (labels, frames, utterances).
        weight: The factor of `total / count` in the training objective; 0 for a mere statistic.
        per_utterance: (B,) detached, the part of each utterance, to name culprits.
    """

    total: Tensor
    count: int
    weight: float = 1.0
    per_utterance: Tensor | None = None


LossReport = dict[str, LossPart]


def require_weight(weight: float) -> None:
    """Makes sure that more of a loss can't be better.

    Raises:
        ValueError: If its weight in the training objective is negative.
    """
    if weight < 0:
        raise ValueError(f"weight ({weight}) must be at least 0: losses are minimised")


@dataclass(frozen=True)
class Encoded:
    """What an encoder gives.

    Args:
        frames: (B, T, D); padding has any value.
        lengths: (B,) valid frames.
        taps: Outputs of tapped blocks, (B, T, D) by block number, counted from 1.
    """

    frames: Tensor
    lengths: Tensor
    taps: Mapping[int, Tensor] = field(default_factory=dict)

    def at(self, tap: int | None) -> Tensor:
        """Returns the last frames, or those of a tapped block."""
        return self.frames if tap is None else self.taps[tap]


class Encoder(nn.Module, ABC):
    """Features to frames; implementations set `dim` (D), `num_layers` and `taps`."""

    dim: int
    num_layers: int
    taps: list[int]

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""


class Head(nn.Module, ABC):
    """One training loss and the scorers that decode with it; reads the last frames or one tap.

    Implementations set `outputs`, the symbols that it gives probabilities to.

    `aligned_repeats` says, of a head that is trained on given alignments, whether equal labels in a
    row are one label there; None of all others.
    """

    outputs: Outputs
    aligned_repeats: bool | None = None

    @abstractmethod
    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the named parts: "loss" and any statistics."""

    def label_scorer(self, encoded: Encoded) -> LabelScorer:
        """Returns the scorer of next labels for these utterances."""
        raise UserError(f"a head of type {type(self).__name__} does not score labels one by one")

    def frame_scorer(self, encoded: Encoded) -> FrameScorer:
        """Returns the scorer of frame symbols for these utterances."""
        raise scores_no_frames(f"a head of type {type(self).__name__}")

    def min_frames(self, labels: list[int]) -> int:
        """Returns how many encoder frames the labels of one utterance need at least."""
        return 1


class TrainableModel(nn.Module, ABC):
    """All that the trainer knows of a model."""

    @abstractmethod
    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the named parts of the loss; `step` counts optimiser updates."""


encoders: Registry[Encoder] = Registry("encoder", Encoder, late=("input_dim",))
heads: Registry[Head] = Registry("head", Head, late=("encoder", "vocabulary"))
models: Registry[TrainableModel] = Registry(
    "model", TrainableModel, late=("vocabulary",), default="asr"
)
