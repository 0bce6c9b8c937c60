"""What models are made of: an encoder and named heads; and all that a trainer knows of them.

Shape letters: B utterances, T frames, N samples, F features, D model dim, U labels, V labels of
the vocabulary, H hypotheses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.lattice.viterbi import Alignment
from asrkit.nn.features import Features
from asrkit.text.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Checks that a larger loss is never better.

    Raises:
        ValueError: If its weight in the training objective is negative.
    """
    if weight < 0:
        raise ValueError(f"weight ({weight}) must be at least 0: losses are minimised")


def require_share(name: str, share: float) -> None:
    """Checks that something is a share below 1.

    Raises:
        ValueError: If it is below 0 or not below 1.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"{name} ({share}) must be at least 0 and below 1")


@dataclass(frozen=True)
class Encoded:
    """What an encoder gives.

    Args:
        frames: (B, T, D); padding has any value.
        lengths: (B,) valid frames.
        taps: Outputs of tapped blocks, (B, T, D) by block number, counted from 1.
        feature_lengths: (B,) valid feature frames that went in, which the model adds for heads
            that score feature frames.
        views: How often each utterance is there, in training: all once, then all again.
    """

    frames: Tensor
    lengths: Tensor
    taps: Mapping[int, Tensor] = field(default_factory=dict)
    feature_lengths: Tensor | None = None
    views: int = 1

    def at(self, tap: int | None) -> Tensor:
        """Returns the last frames, or those of a tapped block."""
        return self.frames if tap is None else self.taps[tap]


@dataclass(frozen=True)
class Pictures:
    """What a head shows of some dev utterances.

    Args:
        recognised: The labels that it recognises in each of them; empty if it shows none.
        figure: A picture, such as of attention in the first of them, if it has one.
    """

    recognised: Sequence[list[int]] = ()
    figure: Figure | None = None


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
    """One training loss; reads the last frames or one tap.

    To search, it also is a source of scores: of labels, frames or symbols, as in
    `asrkit.scorers.interfaces`.

    Implementations set `outputs`, the symbols that it gives probabilities to; and `given_targets`,
    if it is trained on given alignments (`batch.alignment`): what these hold; or `aligned_by`, the
    name of the CTC head whose best paths it is given in their place; or `compares_views`, if its
    loss needs two views of each utterance.
    """

    outputs: Outputs
    given_targets: FrameTargets | None = None
    aligned_by: str | None = None
    compares_views: bool = False

    @abstractmethod
    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the named parts: "loss" and any statistics."""

    def min_frames(self, labels: list[int]) -> int:
        """Returns how many encoder frames the labels of one utterance need at least."""
        return 1

    def pictures(self, encoded: Encoded, batch: Batch) -> Pictures:
        """Returns what TensorBoard shows of a few dev utterances after each epoch."""
        return Pictures()


@runtime_checkable
class AligningHead(Protocol):
    """A head that can align: the time of each label, and the symbol of every frame."""

    @property
    def aligned_targets(self) -> FrameTargets | None:
        """What its alignments hold; None where a frame may have several symbols."""
        ...

    def align(self, encoded: Encoded, labels: Tensor, label_lengths: Tensor) -> Alignment:
        """Returns the best alignment of labels (B, U) with lengths (B,)."""
        ...


@runtime_checkable
class PosteriorHead(Protocol):
    """A head that says of every frame how probable each symbol is, so that it has a prior."""

    @property
    def outputs(self) -> Outputs:
        """Its K symbols."""
        ...

    def log_posteriors(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities (B, T, K) and valid frames (B,)."""
        ...


class TrainableModel(nn.Module, ABC):
    """All that training and the checks before it know of a model; `forward` is enough."""

    @abstractmethod
    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the named parts of the loss; `step` counts optimiser updates."""

    @property
    def sample_rate(self) -> int | None:
        """Samples per second that the model must be given; None if it takes any, or text."""
        return None

    def noise(self, lengths: Tensor) -> Tensor:
        """Returns noise (B, N) that the model can hear; nothing where it hears nothing."""
        return torch.zeros(len(lengths), 0, dtype=torch.int16)

    def statistics(self) -> Features | None:
        """Returns the features whose statistics are estimated before training, if there are any."""
        return None

    def named_heads(self) -> dict[str, Head]:
        """Returns the heads by name; none of a model that no search decodes with."""
        return {}

    @property
    def given_targets(self) -> FrameTargets | None:
        """What alignments hold that heads are trained on; None if all learn from labels."""
        every = (head.given_targets for head in self.named_heads().values())
        return next((targets for targets in every if targets is not None), None)

    def output_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the number of frames (B,) in losses for numbers of samples (B,)."""
        return num_samples

    def target_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the symbols (B,) that alignments of so many samples (B,) have."""
        return self.output_frames(num_samples)

    def moves_frames(self) -> list[str]:
        """Returns what moves frames in training, so that alignments would not hold; with keys."""
        return []

    def min_frames(self, labels: list[int]) -> int:
        """Returns how many of these frames the labels of one utterance need at least."""
        return max((head.min_frames(labels) for head in self.named_heads().values()), default=1)

    def pictures(self, batch: Batch) -> dict[str, Pictures]:
        """Returns what TensorBoard shows of a few dev utterances after each epoch, by name."""
        return {}


encoders: Registry[Encoder] = Registry("encoder", Encoder, late=("input_dim",))
heads: Registry[Head] = Registry("head", Head, late=("encoder", "vocabulary"))
models: Registry[TrainableModel] = Registry(
    "model", TrainableModel, late=("vocabulary",), default="asr"
)
