"""The `data:` part of a spec."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from asrkit.bounds import refuse_below, refuse_not_above
from asrkit.config.registry import Registry
from asrkit.data.orders import Order, RandomOrder
from asrkit.text.segmentations import BestSegmentation, Segmentation


class Data:
    """The `data:` part of a spec: what is trained on.

    `sample_rate` is that of the audio; None of text. `alignments` is the run folder of those that
    are trained on, if there are any.
    """

    train: list[str]
    dev: list[str]
    sub_epochs: int
    sample_rate: int | None = None
    alignments: Path | None = None


data_kinds: Registry[Data] = Registry("data", Data, default="speech")


@dataclass(frozen=True)
class Batches:
    """How training utterances become minibatches.

    Args:
        max_seconds: Largest amount of audio in a batch, including padding.
        max_utterances: Largest number of utterances in a batch.
        num_buckets: Number of groups of similar length that batches are made from.
        order: Order of the utterances.

    Raises:
        ValueError: If a number is too small.
    """

    max_seconds: float
    max_utterances: int = 200
    num_buckets: int = 10
    order: Order = field(default_factory=RandomOrder)

    def __post_init__(self) -> None:
        most = {"max_seconds": self.max_seconds, "max_utterances": self.max_utterances}
        refuse_not_above(0, **most, num_buckets=self.num_buckets)


@dataclass(frozen=True)
class Limits:
    """Which utterances are trained on; dev sets keep all of theirs, so that losses are comparable.

    Args:
        min_seconds: Shorter training utterances are left out.
        max_seconds: Longer training utterances are left out.
        max_labels: Training utterances with more labels are left out, if set; counted are the
            tokenizer's own units, whatever the segmentation.

    Raises:
        ValueError: If a number is too small, or nothing is between the least and the most.
    """

    min_seconds: float = 0.1
    max_seconds: float = 30.0
    max_labels: int | None = None

    def __post_init__(self) -> None:
        refuse_below(0, min_seconds=self.min_seconds)
        refuse_not_above(0, max_seconds=self.max_seconds)
        refuse_below(1, max_labels=self.max_labels)
        if self.min_seconds > self.max_seconds:
            raise ValueError(
                f"min_seconds ({self.min_seconds}) must not exceed max_seconds ({self.max_seconds})"
            )


@dataclass(frozen=True)
class DecodeBatches:
    """How utterances are decoded together.

    Args:
        batch_seconds: Largest amount of audio in a batch in decoding.
        max_seconds: Longer utterances are refused in decoding and as dev data: the memory that
            self-attention needs grows with the square of their length.

    Raises:
        ValueError: If a number is not above 0.
    """

    batch_seconds: float = 240.0
    max_seconds: float = 300.0

    def __post_init__(self) -> None:
        refuse_not_above(0, batch_seconds=self.batch_seconds, max_seconds=self.max_seconds)


@data_kinds.register("speech")
@dataclass(frozen=True)
class DataSettings(Data):
    """Which sets are used, and how utterances become minibatches.

    Args:
        train: Names of the training sets (manifests of the data folder).
        dev: Names of the sets that choose checkpoints and learning rates; if empty, the newest
            checkpoints count as the best.
        batches: How training utterances become minibatches.
        limits: Which utterances are trained on; dev sets keep all of theirs.
        sub_epochs: An epoch of the trainer is one of this many parts of the training data.
        speeds: Each utterance is played at one of these speeds, chosen at random each epoch.
        segmentation: How training transcripts are split into units, in each pass again if that is
            random.
        alignments: Run folder with alignments of all these sets, written by `asrkit align`, for a
            head that is trained on them; utterances without one are left out.
        sample_rate: Samples per second of the model; other audio is resampled.
        num_workers: Number of processes that read audio.
        decoding: How utterances are decoded together.

    Raises:
        ValueError: If settings do not fit together.
    """

    train: list[str]
    dev: list[str]
    batches: Batches
    limits: Limits = field(default_factory=Limits)
    sub_epochs: int = 1
    speeds: list[float] = field(default_factory=lambda: [1.0])
    segmentation: Segmentation = field(default_factory=BestSegmentation)
    alignments: Path | None = None
    sample_rate: int = 16000
    num_workers: int = 2
    decoding: DecodeBatches = field(default_factory=DecodeBatches)

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train is empty: name at least one set to train on")
        refuse_below(1, sub_epochs=self.sub_epochs, sample_rate=self.sample_rate)
        refuse_below(0, num_workers=self.num_workers)
        if not self.speeds or min(self.speeds) <= 0:
            raise ValueError(f"speeds {self.speeds} must be positive factors, such as 0.9")
        if self.alignments is not None and not isinstance(self.segmentation, BestSegmentation):
            raise ValueError(
                f"segmentation ({type(self.segmentation).__name__}) gives other labels than the "
                "alignments; expected segmentation: best, or alignments: null"
            )

    def speeds_of(self, name: str) -> list[float]:
        """Returns the speeds at which utterances of a set are played: others only in training."""
        return self.speeds if name in self.train else [1.0]
