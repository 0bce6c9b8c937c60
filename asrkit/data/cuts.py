"""Access to lhotse cuts: their samples, played at a speed, their transcript and speaker."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchaudio.functional as audio
from lhotse import MonoCut
from lhotse.audio import AudioSource
from lhotse.cut import MixedCut, MultiCut
from lhotse.cut.data import DataCut
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.transforms import Resample

from asrkit.data.audio import (
    AudioError,
    read_samples,
    require_whole,
    said_by_lhotse,
    to_int16,
)
from asrkit.data.channels import Channel
from asrkit.data.feature_sets import frame_rate, has_only_features, read_features
from asrkit.data.lookups import costs_one_utterance
from asrkit.data.sphere import read_sphere_without_sph2pipe
from asrkit.text.normalization import normalized
from asrkit.text.tokenizers import Tokenizer

MIXED = "channels_are_mixed"
"""A custom field of cuts: use the mean of the channels."""


UNKNOWN = "unknown"
"""Stands for the speaker where no one says who it is."""


class Place(NamedTuple):
    """Where the unchanged samples of a cut are: a file, and which of its channels."""

    path: Path
    channel: Channel


@costs_one_utterance
def read_cut(cut: Any, sample_rate: int) -> NDArray[np.int16]:
    """Returns the samples (N,) of a lhotse cut, resampled if it has another rate.

    A cut that is a file or a part of one is read from there; a cut that was changed, mixed or
    padded is read through lhotse.

    Raises:
        AudioError: If they can't be read, or the cut has several channels.
    """
    place = place_of(cut)
    if place is None:
        samples = _read_by_lhotse(cut)
    else:
        rate = cut.recording.sampling_rate
        start, count = round(cut.start * rate), _own_samples(cut)
        samples = read_samples(place.path, rate, start, count, place.channel)
    return resampled(samples, cut.sampling_rate, sample_rate)


def read_signal(cut: Any, sample_rate: int) -> NDArray[np.int16] | NDArray[np.float32]:
    """Returns what a model hears of a cut: samples (N,), or ready-made features (T, F).

    Raises:
        AudioError: If they can't be read.
    """
    if has_only_features(cut):
        return read_features(cut)
    return read_cut(cut, sample_rate)


def place_of(cut: Any) -> Place | None:
    """Returns where the unchanged samples of a cut are; None if lhotse must compute them.

    Raises:
        AudioError: If the cut has no audio, or has several channels and none is chosen.
    """
    trouble = no_audio(cut)
    if trouble:
        raise AudioError(trouble)
    if not isinstance(cut, MonoCut | MultiCut) or cut.recording.transforms:
        return None
    wanted = channels_of(cut)
    for source in cut.recording.sources:
        if source.type == "file" and len(wanted) == 1 and wanted[0] in source.channels:
            return Place(Path(source.source), source.channels.index(wanted[0]))
        if source.type == "file" and sorted(source.channels) == wanted:
            return Place(Path(source.source), "mix")
    return None


def channels_of(cut: Any) -> list[int]:
    """Returns the channels of a cut of one recording."""
    return sorted(cut.channel) if isinstance(cut.channel, list | tuple) else [cut.channel]


def no_audio(cut: Any) -> str:
    """Returns why a cut can't be used, whatever is in its files; nothing if it may be usable."""
    if not cut.has_recording:
        return f"cut {cut.id} has no audio to compute features from"
    several = isinstance(cut, MultiCut) and len(channels_of(cut)) > 1
    if several and not (cut.custom or {}).get(MIXED):
        return (
            f"cut {cut.id} has the channels {channels_of(cut)}, expected one; choose one with "
            f"lhotse's `cut.to_mono()`, or use their mean with the custom field {MIXED}: true"
        )
    return ""


def _read_by_lhotse(cut: Any) -> NDArray[np.int16]:
    """Returns the samples (N,) of a cut at its own rate, with all changes made by lhotse."""
    for source in sources_of(cut):
        if source.type == "command":
            raise AudioError(
                f"the audio of cut {cut.id} is the output of a command, and asrkit runs none; "
                "write "
                "it to files with lhotse's `cuts.save_audios`"
            )
        if source.type == "file":
            require_whole(Path(source.source))
    try:
        read_sphere_without_sph2pipe()
        samples = np.atleast_2d(cut.load_audio())
    except Exception as error:  # backends of lhotse may raise anything
        said = said_by_lhotse(error)
        raise AudioError(f"cut {cut.id} can't be read by lhotse: {said}") from error
    if len(samples) > 1 and not (getattr(cut, "custom", None) or {}).get(MIXED):
        raise AudioError(f"cut {cut.id} has {len(samples)} channels, expected one")
    return to_int16(samples.mean(axis=0), f"cut {cut.id}")


def sources_of(cut: Any) -> list[AudioSource]:
    """Returns the audio sources of a cut."""
    parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    return [s for part in parts if isinstance(part, DataCut) for s in part.recording.sources]


def rate_of(cut: Any) -> int:
    """Returns the samples per second of a cut, or its frames per second where it has no audio."""
    return frame_rate(cut) if has_only_features(cut) else int(cut.sampling_rate)


def _own_samples(cut: Any) -> int:
    return int(round(cut.duration * cut.sampling_rate))


def num_samples_of(cut: Any, sample_rate: int) -> int:
    """Returns the number of samples that `read_cut` returns, or of ready-made frames."""
    if has_only_features(cut):
        return int(cut.num_frames)
    rate = int(cut.sampling_rate)
    if rate == sample_rate:
        return _own_samples(cut)
    common = gcd(rate, sample_rate)
    return -(-_own_samples(cut) * (sample_rate // common) // (rate // common))


def resampled(samples: NDArray[np.int16], rate: int, wanted: int) -> NDArray[np.int16]:
    """Resamples (N,) samples of one rate to (M,) samples of another."""
    if rate == wanted:
        return samples
    found: Tensor = _resampler(rate, wanted)(torch.from_numpy(samples).float())
    return _rounded(found).numpy()


@lru_cache(maxsize=8)
def _resampler(rate: int, wanted: int) -> Resample:
    return Resample(rate, wanted)


def _rounded(samples: Tensor) -> Tensor:
    return samples.round().clamp(-32768, 32767).to(torch.int16)


def num_labels(cut: Any, tokenizer: Tokenizer) -> int:
    """Returns the number of labels of a cut's transcript; 0 if it has unknown symbols.

    Such a cut is reported once its batch is read.
    """
    return len(tokenizer.encode_if_known(text_of(cut)) or [])


def text_of(cut: Any) -> str:
    """Returns the transcript of a lhotse cut, empty if it has none."""
    return transcript_of(cut) or ""


def transcript_of(cut: Any) -> str | None:
    """Returns the transcript of a lhotse cut, with single spaces; None if it has none."""
    texts = [s.text for s in cut.supervisions if s.text is not None]
    return normalized(" ".join(texts)) if texts else None


def has_transcript(cut: Any) -> bool:
    """Returns whether a lhotse cut has a transcript, which may be empty."""
    return transcript_of(cut) is not None


def speaker_of(cut: Any) -> str:
    """Returns the speaker of a lhotse cut."""
    return next((str(s.speaker) for s in cut.supervisions if s.speaker), UNKNOWN)


def at_speed(samples: Tensor, speed: float, resolution: int = 100) -> Tensor:
    """Returns int16 samples played faster (above 1) or slower, pitch included.

    Source: Ko et al. 2015; speeds are rounded to hundredths.
    """
    played = audio.resample(
        samples.float(), round(speed * resolution), resolution, lowpass_filter_width=6
    )
    return _rounded(played)


def num_samples_at(num_samples: int, speed: float, resolution: int = 100) -> int:
    """Returns the number of samples that `at_speed` returns."""
    if speed == 1.0:
        return num_samples
    pace = round(speed * resolution)
    common = gcd(pace, resolution)
    return -(-num_samples * (resolution // common) // (pace // common))
