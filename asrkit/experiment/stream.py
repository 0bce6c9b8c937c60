"""A recogniser that hears a stream: samples go in as they come, and text comes out."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.experiment.system import Encodings, System
from asrkit.models.encoder_stream import EncoderStream
from asrkit.models.interfaces import Encoded
from asrkit.search.frame_search import BeamState, FrameSearch
from asrkit.search.lengths import UNCHANGED
from asrkit.search.search import LoadedSearch


class SpeechStream:
    """Recognises one recording of any length, chunk by chunk, with a memory that doesn't grow.

    What the hypotheses of a beam agree upon is settled; only the rest may still change.

    Args:
        system: The model, outside of training.
        search: A search over frames.

    Raises:
        UserError: If the model or the search needs whole utterances.
    """

    def __init__(self, system: System, search: LoadedSearch) -> None:
        if not isinstance(search.search, FrameSearch):
            raise UserError(
                f"a {type(search.search).__name__} can't follow a stream; expected one over frames,"
                " such as transducer, time_sync or ctc_greedy"
            )
        search.search.refuse_whole(search.parts)
        if len(system.encoders) > 1:
            raise UserError("a stream is heard by one model; the search has scorers of others")
        self._system, self._parts = system, search.parts
        self._search: FrameSearch[object] = search.search
        self._frames = EncoderStream.of(system.encoders[0])
        self._state: object | None = None
        self._ended = False
        self.settled: list[int] = []
        """Labels that can't change any more."""

    def feed(self, samples: Tensor) -> str:
        """Hears samples (N,), 16-bit integers or floats of -1 to 1, at the model's rate.

        Returns:
            The text of what is settled by now.

        Raises:
            UserError: If the stream has ended.
        """
        if self._ended:
            raise UserError("the stream has ended: begin another one")
        with torch.inference_mode():
            for chunk in self._frames.feed(samples.to(self._system.device)):
                self._step(chunk)
        return self._system.tokenizer.decode(self.settled)

    def finish(self) -> str:
        """Returns the text of all that was heard."""
        self._ended = True
        with torch.inference_mode():
            for chunk in self._frames.finish():
                self._step(chunk)
            if self._state is None:
                return ""
            (n_best,) = self._search.end(self._state)
        rest = n_best[0].labels if n_best else []
        return self._system.tokenizer.decode([*self.settled, *rest])

    def _step(self, chunk: Encoded) -> None:
        encoded = Encodings([chunk])
        if self._state is None:
            self._state = self._search.begin(self._parts, encoded)
        self._search.step(self._state, encoded)
        norm = getattr(self._search, "norm", UNCHANGED)  # any other counts all labels
        if isinstance(self._state, BeamState) and norm == UNCHANGED:
            self.settled += self._state.beam.take_shared()[0]
