"""The speech recogniser: features, augmentation, encoder, and any number of named heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.models.chunked import cut_batch, require_chunkable
from asrkit.models.interfaces import (
    AligningHead,
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    models,
)
from asrkit.models.kinds import SpeechModel
from asrkit.nn.applied import Applied
from asrkit.nn.augment import Augment
from asrkit.nn.chunks import Chunking
from asrkit.nn.dropout import SharedMasks
from asrkit.nn.features import Features
from asrkit.nn.initialization import Initialization
from asrkit.nn.named import named_modules
from asrkit.nn.volume import VolumePerturbation
from asrkit.text.vocabulary import Vocabulary


@models.register("asr")
class AsrModel(SpeechModel):
    """An encoder with named heads; each head gives a loss and scorers.

    Args:
        vocabulary: The V labels.
        features: Computes features from samples.
        encoder: Turns features into frames.
        heads: Training outputs by name.
        augment: Changes to the features in training, by name, in order.
        training_chunks: How features are cut in training, before they are changed, where there are
            given alignments; all heads then learn from chunks. Whole utterances where null.
        initialization: How weights are drawn, by name, in order: the last that draws a layer holds,
            and layers that none draws are as they come.
        dropout_masks: Where dropout has the same mask for all utterances or frames of a batch, by
            name; nowhere where there is none.
        views: How many views of each utterance there are in training: as many times it is changed
            by `augment` and encoded, for heads that compare two. Losses are means of them.

    Raises:
        ValueError: If there is no head, the name of one can't be that of a module, one compares
            views that there are not, an augmentation changes samples where features are made of
            none, or volume where that is undone, a head is to be aligned by one that is no CTC
            head, or utterances can't be cut: no head has given alignments, a head needs labels that
            these don't tell, or chunks would end within a frame.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        features: Features,
        encoder: Factory[Encoder],
        heads: dict[str, Factory[Head]],
        augment: Ordered[Augment] = Ordered(),  # noqa: B006, B008 - never changed
        training_chunks: Chunking | None = None,
        initialization: Ordered[Initialization] = Ordered(),  # noqa: B006, B008 - never changed
        dropout_masks: Ordered[SharedMasks] = Ordered(),  # noqa: B006, B008 - never changed
        views: int = 1,
    ) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a model needs at least one head, such as ctc: {type: ctc, weight: 1}")
        self.vocabulary = vocabulary
        self.features = features
        self.augment = named_modules(augment, "an augmentation")
        self._require_samples()
        self._require_volume()
        self.encoder = encoder(input_dim=features.dim)
        made = {n: make(encoder=self.encoder, vocabulary=vocabulary) for n, make in heads.items()}
        self.heads = named_modules(made, "a head")
        self.applied = Applied()
        _require_aligners(self.named_heads())
        self.views = views
        self._require_views()
        self.training_chunks = training_chunks
        if training_chunks is not None:
            require_chunkable(training_chunks, self.encoder.output_lengths, self.named_heads())
        for each in initialization.values():
            each.apply(self)
        for masks in dropout_masks.values():
            masks.apply(self)

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        """Returns the loss parts of all heads, named HEAD.PART."""
        encoded, batch = self._encode(batch, step)
        return {
            f"{name}.{part}": value
            for name, head in self.named_heads().items()
            for part, value in self._loss(name, head, encoded, batch).items()
        }

    def _require_views(self) -> None:
        """Raises a ValueError if heads can't compare the views that there are."""
        if self.views < 1:
            raise ValueError(f"views ({self.views}) must be at least 1")
        for name, head in self.named_heads().items():
            if head.compares_views and self.views != 2:
                raise ValueError(
                    f"heads.{name} compares two views of each utterance (consistency): expected "
                    f"views: 2 in the model, got {self.views}"
                )
            if head.compares_views and self.moves_frames():
                raise ValueError(
                    f"heads.{name} compares frames of two views, which don't stay in their places: "
                    f"{', '.join(self.moves_frames())}"
                )

    def _loss(self, name: str, head: Head, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss parts of a head, whose alignment another one may find."""
        aligned = self._aligned(head, encoded, batch)
        report = head.loss(self._watched(encoded, name), aligned)
        if encoded.views == 1:
            return report
        return {part: _mean_of_views(value, encoded.views) for part, value in report.items()}

    def _watched(self, encoded: Encoded, head: str) -> Encoded:
        """Returns the same frames; the norm of the gradient that a head gives them is counted."""
        if not (self.training and torch.is_grad_enabled() and encoded.frames.requires_grad):
            return encoded

        def watched(frames: Tensor) -> Tensor:
            seen = frames.view_as(frames)
            seen.register_hook(
                lambda gradient: self.applied.count(
                    f"gradient.{head}", gradient.detach().float().norm(), 0.0
                )
            )
            return seen

        taps = {number: watched(frames) for number, frames in encoded.taps.items()}
        return replace(encoded, frames=watched(encoded.frames), taps=taps)

    def _aligned(self, head: Head, encoded: Encoded, batch: Batch) -> Batch:
        """Returns the batch with the alignment that a head is trained on, if another finds it."""
        if head.aligned_by is None:
            return batch
        aligner = self.heads[head.aligned_by]
        assert isinstance(aligner, AligningHead)
        with torch.no_grad():
            found = aligner.align(encoded, batch.labels, batch.label_lengths)
        return replace(batch, alignment=found.symbols)

    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        """Returns the frames of samples (B, N) with lengths (B,), without augmentation."""
        return self._frames(*self.features(signal, lengths))

    def named_heads(self) -> dict[str, Head]:
        """Returns the heads by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, Head)}

    def output_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the number of encoder frames (B,) for numbers of samples (B,)."""
        return self.encoder.output_lengths(self.features.num_frames(num_samples))

    def moves_frames(self) -> list[str]:
        """Returns the augmentations that change the time of frames."""
        return [
            f"model.augment.{name} ({type(augment).__name__})"
            for name, augment in self.augment.items()
            if isinstance(augment, Augment) and not augment.keeps_time
        ]

    def target_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the number of alignment symbols (B,) for numbers of samples (B,)."""
        frames = self.features.num_frames(num_samples)
        encoded = self.encoder.output_lengths(frames)
        targets = self.given_targets
        return encoded if targets is None else targets.count(frames, encoded)

    def _encode(self, batch: Batch, step: int) -> tuple[Encoded, Batch]:
        """Returns the frames to train on or to evaluate, and the batch that they belong to."""
        learned = any(
            p.requires_grad for p in (*self.features.parameters(), *self.augment.parameters())
        )
        # Most features have no parameters, and nothing to remember for a gradient.
        with torch.set_grad_enabled(learned and torch.is_grad_enabled()):
            features, lengths = self.features(self._signal(batch, step), batch.signal_lengths)
            if self.training and self.training_chunks is not None:
                count = len(features)
                batch = self._cut(batch, features, lengths, self.training_chunks)
                self.applied.count("chunks_per_utterance", len(batch.signal), count)
                features, lengths = batch.signal, batch.signal_lengths
            views = self.views if self.training else 1
            if views > 1:
                batch = batch.repeated(views)
                features, lengths = features.repeat(views, 1, 1), lengths.repeat(views)
            if self.training:
                for augment in self.augment.values():
                    features, lengths = augment(features, lengths, step)
        return replace(self._frames(features, lengths), views=views), batch

    def _signal(self, batch: Batch, step: int) -> Tensor:
        """Returns the samples (B, N) of a batch, changed in training."""
        signal = batch.signal
        for augment in self._augments() if self.training else ():
            signal = augment.on_samples(signal, batch.signal_lengths, step)
        return signal

    def _require_samples(self) -> None:
        """Raises a ValueError if samples are changed that features are not made of."""
        changing = [augment for augment in self._augments() if augment.changes_samples]
        if changing and not self.features.of_samples:
            raise ValueError(
                f"augment: {type(changing[0]).__name__} changes samples, and features of type "
                f"{type(self.features).__name__} have none: perturb the audio they are made of"
            )

    def _require_volume(self) -> None:
        """Raises a ValueError if utterances are made louder where that has no effect."""
        undone = self.features.signal_normalization
        if undone.undoes_volume and any(
            isinstance(a, VolumePerturbation) for a in self._augments()
        ):
            raise ValueError(
                "augment: VolumePerturbation has no effect, since features.signal_normalization "
                f"({type(undone).__name__}) undoes it: leave out one of them"
            )

    def _augments(self) -> list[Augment]:
        return [augment for augment in self.augment.values() if isinstance(augment, Augment)]

    def _frames(self, features: Tensor, lengths: Tensor) -> Encoded:
        encoded: Encoded = self.encoder(features, lengths)
        return replace(encoded, feature_lengths=lengths)

    def _cut(self, batch: Batch, features: Tensor, lengths: Tensor, chunking: Chunking) -> Batch:
        assert self.given_targets is not None, "chunks need given alignments"
        encoder = self.encoder.output_lengths
        return cut_batch(batch, features, lengths, chunking, encoder, self.given_targets)


def _mean_of_views(part: LossPart, views: int) -> LossPart:
    """Returns a part of the loss as a mean of views of the same utterances."""
    each = part.per_utterance
    if each is not None:
        each = each.unflatten(0, (views, -1)).mean(0)
    return replace(part, total=part.total / views, count=part.count // views, per_utterance=each)


def _require_aligners(heads: Mapping[str, Head]) -> None:
    """Checks that heads are aligned by others that can do it.

    Raises:
        ValueError: If there is no such CTC head.
    """
    for name, head in heads.items():
        aligner: object = heads.get(head.aligned_by or "")
        targets = aligner.aligned_targets if isinstance(aligner, AligningHead) else None
        if head.aligned_by is not None and (targets is None or not targets.labels_repeat):
            others = ", ".join(other for other in heads if other != name) or "none"
            raise ValueError(
                f"heads.{name} is aligned_by {head.aligned_by!r}; expected the name of a CTC head, "
                f"or null for given alignments; the other heads are {others}"
            )
