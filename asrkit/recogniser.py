"""A trained run as an object that turns audio into text.

recogniser = asrkit.load("run/first")
print(recogniser.transcribe("talk.flac"))
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asrkit.config.build import build
from asrkit.config.yaml_loader import Spec
from asrkit.data.audio import AudioError, Channel, read_recording, to_int16
from asrkit.data.cuts import resampled
from asrkit.errors import UserError
from asrkit.experiment.decode_spec import pick, searches_of
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.run_folder import RunFolder
from asrkit.search.search import Search

log = logging.getLogger(__name__)

Samples = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.float64]


class Recogniser:
    """A trained speech recogniser; made by `asrkit.load`.

    Args:
        run: Run folder.
        search: Name of a search below the run's `decoding:`; the first one if not given.
        checkpoint: "average", "best", "last" or a path; the average if there is one, else the best.
        device: Where it computes; the GPU if there is one, else the CPU.

    Raises:
        UserError: If the run, the search or the checkpoint can't be used.
    """

    def __init__(
        self,
        run: str | Path,
        search: str | None = None,
        checkpoint: str | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        folder = RunFolder(Path(run))
        which = checkpoint or ("average" if folder.average.is_file() else "best")
        place = available_device() if device is None else torch.device(device)
        self._system = System(folder.path, None, which, place)
        searches = searches_of(Spec(self._system.resolved))
        if not searches:
            raise UserError(f"{run}: its spec has no search below decoding:")
        found = pick(searches, search or next(iter(searches)))
        self.search = found.name
        self._search = build(Search, found.spec, found.path)
        self._system.prepare(self._search)
        self._system.eval()

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model hears; other audio is resampled."""
        return self._system.experiment.speech.sample_rate

    def transcribe(
        self,
        audio: str | Path | Samples,
        sample_rate: int | None = None,
        channel: Channel = "mix",
    ) -> str:
        """Returns what is said in a recording.

        Args:
            audio: An audio file, or samples (N,): 16-bit integers, or floats of -1 to 1.
            sample_rate: Of samples, if it is not that of the model.
            channel: Which channel of a file is heard, from 0 on; "mix" is the mean of all.

        Raises:
            UserError: If the audio can't be read, or is longer than data.max_decode_seconds.
        """
        try:
            if isinstance(audio, (str, Path)):
                samples, rate = read_recording(Path(audio), channel)
            else:
                samples, rate = _as_int16(audio), sample_rate or self.sample_rate
        except AudioError as error:
            raise UserError(str(error)) from error
        if rate != self.sample_rate:
            samples = resampled(samples, rate, self.sample_rate)
        self._refuse_endless(len(samples))
        return self._text(torch.from_numpy(samples))

    def _refuse_endless(self, num_samples: int) -> None:
        seconds = num_samples / self.sample_rate
        most = self._system.experiment.speech.max_decode_seconds
        if seconds > most:
            raise UserError(
                f"the audio is {seconds:.1f} s long, data.max_decode_seconds of the run is "
                f"{most:g}: cut it into shorter parts"
            )

    def _text(self, signal: torch.Tensor) -> str:
        """Returns the text of samples (N,)."""
        device = self._system.device
        with torch.inference_mode():
            lengths = torch.tensor([len(signal)], device=device)  # (1,)
            encoded = self._system.encode(signal[None].to(device), lengths)
            hypotheses = self._search.run(self._system.named_heads(), encoded)[0]
        return self._system.tokenizer.decode(hypotheses[0].labels) if hypotheses else ""


def _as_int16(samples: Samples) -> NDArray[np.int16]:
    """Returns samples (N,) as 16-bit integers.

    Raises:
        UserError: If they are of another kind or shape.
    """
    given: NDArray[Any] = np.asarray(samples)
    if given.ndim != 1 or not len(given):
        raise UserError(f"expected samples of one channel, (N,), got shape {given.shape}")
    if given.dtype == np.int16:
        return given
    if given.dtype.kind != "f":
        raise UserError(f"expected 16-bit integers or floats of -1 to 1, got {given.dtype}")
    return to_int16(given, "the audio")
