"""Samples that come bit by bit, and the frames of the chunks that are complete."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.models.chunked_encoder import ChunkedEncoder
from asrkit.models.interfaces import Encoded
from asrkit.models.kinds import SpeechModel
from asrkit.nn.features import Features, LogMel, UtteranceNormalization, as_floats


class EncoderStream:
    """Gives the frames that a chunked encoder makes of a whole recording, chunk by chunk.

    Only the samples of the next window are kept.

    Args:
        features: Whose frames depend on their own samples alone.
        encoder: The encoder, outside of training.
    """

    def __init__(self, features: LogMel, encoder: ChunkedEncoder) -> None:
        self.features, self.encoder = features, encoder
        self.samples = torch.zeros(0)
        """(N,) those from feature frame `first` on."""
        self.first = 0
        self.start = 0
        """The first feature frame of the next chunk."""

    @classmethod
    def of(cls, model: SpeechModel) -> EncoderStream:
        """Returns the stream of a model.

        Raises:
            UserError: If the model needs whole utterances.
        """
        encoder, features = getattr(model, "encoder", None), model.features
        if not isinstance(encoder, ChunkedEncoder):
            raise UserError(
                f"a stream needs an encoder of type chunked; the model has {type(encoder).__name__}"
            )
        return cls(_of_own_samples(features), encoder)

    def feed(self, samples: Tensor) -> Iterator[Encoded]:
        """Yields the frames (1, S, D) of chunks that are complete with these samples (N,)."""
        self.samples = torch.cat([self.samples.to(samples.device), as_floats(samples)])
        shift = self.features.shift_samples
        known = self.first + max((len(self.samples) - self._span) // shift + 1, 0)
        heard = self.encoder.window.size + self.encoder.window.right
        while self.start + heard <= known:
            yield self._next(self.start + heard)

    def finish(self) -> Iterator[Encoded]:
        """Yields the frames of the last chunks; nothing can be fed after that."""
        whole = torch.tensor([len(self.samples)])
        end = self.first + int(self.features.num_frames(whole))
        while self.start < end:
            heard = self.start + self.encoder.window.size + self.encoder.window.right
            yield self._next(min(heard, end))

    @property
    def _span(self) -> int:
        """Samples after which a frame is known: features count whole shifts."""
        return max(self.features.window_samples, self.features.shift_samples)

    def _next(self, end: int) -> Encoded:
        """Returns the next chunk, heard with the features before `end`."""
        window, shift = self.encoder.window, self.features.shift_samples
        begin = max(self.start - window.left, 0)
        offset = (begin - self.first) * shift
        needed = (end - begin - 1) * shift + self._span
        signal = self.samples[None, offset : offset + needed]
        features, _ = self.features(signal, torch.tensor([signal.shape[1]], device=signal.device))
        features = features[:, : end - begin]
        lengths = torch.tensor([features.shape[1]], device=signal.device)
        encoded = self.encoder.encode(features, lengths, lengths.new_tensor([self.start - begin]))
        self.start += window.size
        first = max(self.start - window.left, 0)
        dropped = max(first - self.first, 0)
        # A copy, so that what was heard is let go.
        self.samples, self.first = self.samples[dropped * shift :].clone(), self.first + dropped
        return encoded


def _of_own_samples(features: Features) -> LogMel:
    """Returns features of which each frame depends on its own samples alone.

    Raises:
        UserError: If they are no such features.
    """
    why_whole = features.signal_normalization.why_whole
    if why_whole:
        raise UserError(
            "a stream can't have model.features.signal_normalization of type "
            f"{type(features.signal_normalization).__name__}: {why_whole}; recognise the whole "
            "recording instead (asrkit transcribe, Recogniser.transcribe), or train a model with "
            "signal_normalization: none"
        )
    normalization = features.normalization
    if not isinstance(features, LogMel) or isinstance(normalization, UtteranceNormalization):
        raise UserError(
            f"a stream can't have features of type {type(features).__name__} with "
            f"{type(normalization).__name__}: a frame needs more than its own samples; expected "
            "log_mel or mfcc, with normalization global or none"
        )
    return features
