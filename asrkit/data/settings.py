"""The `data:` part of a spec."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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


@data_kinds.register("speech")
@dataclass(frozen=True)
class DataSettings(Data):
    """Which sets are used, and how utterances become minibatches.

    Args:
        train: Names of the training sets (manifests of the data folder).
        dev: Names of the sets that choose checkpoints and learning rates; if empty, the newest
            checkpoints count as the best.
        batch_seconds: Largest amount of audio in a batch, including padding.
        max_utterances: Largest number of utterances in a batch.
        order: Order of the utterances.
        num_buckets: Number of groups of similar length that batches are made from.
        sub_epochs: An epoch of the trainer is one of this many parts of the training data.
        speeds: Each utterance is played at one of these speeds, chosen at random each epoch.
        min_seconds: Shorter training utterances are left out.
        max_seconds: Longer training utterances are left out.
        max_labels: Training utterances with more labels are left out, if set.
        num_workers: Number of processes that read audio.
        decode_batch_seconds: Largest amount of audio in a batch in decoding.
        max_decode_seconds: Longer utterances are refused in decoding and as dev data: the memory
            that self-attention needs grows with the square of their length.
        sample_rate: Samples per second of the model; other audio is resampled.
        alignments: Run folder with alignments of all these sets, written by `asrkit align`, for a
            head that is trained on them; utterances without one are left out.
        segmentation: How training transcripts are split into units, in each pass again if that is
            random; `max_labels` counts the tokenizer's own units.
    """

    train: list[str]
    dev: list[str]
    batch_seconds: float
    max_utterances: int = 200
    order: Order = field(default_factory=RandomOrder)
    num_buckets: int = 10
    sub_epochs: int = 1
    speeds: list[float] = field(default_factory=lambda: [1.0])
    min_seconds: float = 0.1
    max_seconds: float = 30.0
    max_labels: int | None = None
    num_workers: int = 2
    decode_batch_seconds: float = 240.0
    max_decode_seconds: float = 300.0
    sample_rate: int = 16000
    alignments: Path | None = None
    segmentation: Segmentation = field(default_factory=BestSegmentation)

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train is empty: name at least one set to train on")
        positive = (
            "batch_seconds",
            "max_utterances",
            "num_buckets",
            "sub_epochs",
            "decode_batch_seconds",
            "max_decode_seconds",
            "sample_rate",
        )
        wrong = [f"{name} ({getattr(self, name)})" for name in positive if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be positive")
        if self.num_workers < 0:
            raise ValueError(f"num_workers ({self.num_workers}) must be 0 or more")
        if self.alignments is not None and not isinstance(self.segmentation, BestSegmentation):
            raise ValueError(
                f"segmentation ({type(self.segmentation).__name__}) gives other labels than the "
                "alignments; expected segmentation: best, or alignments: null"
            )
        if not self.speeds or min(self.speeds) <= 0:
            raise ValueError(f"speeds {self.speeds} must be positive factors, such as 0.9")
        if self.min_seconds > self.max_seconds:
            raise ValueError(
                f"min_seconds ({self.min_seconds}) must not exceed max_seconds ({self.max_seconds})"
            )
