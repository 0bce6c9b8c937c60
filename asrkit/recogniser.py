"""A trained run as an object that turns audio into text.

recogniser = asrkit.load("run/first")
print(recogniser.transcribe("talk.flac"))
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from asrkit.config.build import build
from asrkit.config.yaml_loader import Spec
from asrkit.cpu import multiply_with_onednn
from asrkit.data.audio import AudioError
from asrkit.data.channels import Channel
from asrkit.data.cuts import resampled
from asrkit.data.given_audio import Samples, from_file, from_samples, tell_oddities
from asrkit.errors import UserError
from asrkit.experiment.decode_spec import pick, searches_of
from asrkit.experiment.spec import available_device
from asrkit.experiment.stream import SpeechStream
from asrkit.experiment.system import System
from asrkit.files import matching
from asrkit.run_folder import RunFolder
from asrkit.search.search import LoadedSearch, Search


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
        _require_run(folder)
        which = checkpoint or ("average" if folder.average.is_file() else "best")
        self._system = System(folder.path, None, which, _device(device))
        searches = searches_of(Spec(self._system.resolved))
        if not searches:
            raise UserError(f"{run}: its spec has no search below decoding:")
        found = pick(searches, search or next(iter(searches)))
        self.search = found.name
        chosen = build(Search, found.spec, found.path)
        self._search = self._prepared(chosen, folder, list(searches))
        self._system.eval()

    def _prepared(self, search: Search, folder: RunFolder, names: list[str]) -> LoadedSearch:
        """Returns the search with what it scores with."""
        try:
            return self._system.prepare(search)
        except UserError as error:
            raise UserError(
                f"search {self.search} of {folder.path}: {error}; its searches are "
                f"{', '.join(names)}"
            ) from error

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model hears; other audio is resampled."""
        return self._system.experiment.speech.sample_rate

    def transcribe(
        self,
        audio: str | Path | Samples,
        sample_rate: int | None = None,
        channel: Channel | None = None,
        max_seconds: float | None = None,
    ) -> str:
        """Returns what is said in a recording.

        Args:
            audio: An audio file, or samples (N,): 16-bit integers, or floats of -1 to 1.
            sample_rate: Of samples; that of the model if not given. Files say theirs.
            channel: Which channel of a file is heard: a number from 0 on, "first", or "mix", the
                mean of all, which is also meant if not given.
            max_seconds: The longest audio that is taken; the memory must be enough for it.
                data.decoding.max_seconds of the run if not given.

        Raises:
            UserError: If the audio can't be read, or is too long.
        """
        name = str(audio) if isinstance(audio, (str, Path)) else "the audio"
        try:
            if isinstance(audio, (str, Path)):
                samples, rate = from_file(Path(audio), sample_rate, channel)
            else:
                own = self.sample_rate if sample_rate is None else sample_rate
                samples, rate = from_samples(audio, own, channel)
        except AudioError as error:
            raise UserError(str(error)) from error
        tell_oddities(name, samples, rate, self.sample_rate)
        if rate != self.sample_rate:
            samples = resampled(samples, rate, self.sample_rate)
        self._refuse_endless(name, len(samples), max_seconds)
        return self._text(torch.from_numpy(samples))

    def stream(self) -> SpeechStream:
        """Returns what hears a recording of any length as it comes, and says what it understood.

        Example: `stream.feed(samples)` as often as there are samples, then `stream.finish()`.

        Raises:
            UserError: If the model's encoder is not of type `chunked`, or the search or another
                part of the model needs whole utterances.
        """
        return SpeechStream(self._system, self._search)

    def _refuse_endless(self, name: str, num_samples: int, max_seconds: float | None) -> None:
        seconds = num_samples / self.sample_rate
        own = self._system.experiment.speech.decoding.max_seconds
        if seconds > (own if max_seconds is None else max_seconds):
            most = f"data.decoding.max_seconds of the run is {own:g}"
            raise UserError(
                f"{name} is {seconds:.1f} s long, "
                + (most if max_seconds is None else f"expected {max_seconds:g} at most")
                + f": cut it into shorter parts, or allow {math.ceil(seconds)} where the memory is "
                "enough (max_seconds, --max-seconds)"
            )

    def _text(self, signal: torch.Tensor) -> str:
        """Returns the text of samples (N,)."""
        device = self._system.device
        with torch.inference_mode():
            lengths = torch.tensor([len(signal)], device=device)  # (1,)
            encoded = self._system.encode(signal[None].to(device), lengths)
            hypotheses = self._search.run(encoded)[0]
        return self._system.tokenizer.decode(hypotheses[0].labels) if hypotheses else ""


def _require_run(folder: RunFolder) -> None:
    """Checks that a folder is a run folder.

    Raises:
        UserError: If not; names the run folders in it.
    """
    if folder.spec.is_file():
        return
    if not folder.path.is_dir():
        raise UserError(f"there is no run folder {folder.path}")
    inside = [path.parent.name for path in matching(folder.path, f"*/{folder.spec.name}")]
    hint = f"; run folders in it: {', '.join(inside)}" if inside else "; train there first"
    raise UserError(f"{folder.path} is not a run folder: it has no {folder.spec.name}{hint}")


def _device(name: str | torch.device | None) -> torch.device:
    """Returns a device.

    Raises:
        UserError: If it is unknown or not there.
    """
    if name is None:
        return available_device()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (AssertionError, RuntimeError) as error:
        said = str(error).split("\n")[0].split(". ")[0]
        hint = "expected such as cpu or cuda:0" if said.startswith("Expected one of") else said
        raise UserError(f"device {name} can't be used: {hint}") from error
    if device.type == "cpu":
        multiply_with_onednn()
    return device
