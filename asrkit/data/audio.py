"""Reads audio files as 16-bit samples: FLAC, WAV, AIFF, NIST SPHERE, Ogg, MP3 and the like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asrkit.data.audio_headers import shortfall, with_its_length
from asrkit.data.channels import Channel

MPEG = {f"MPEG_LAYER_{number}" for number in ("I", "II", "III")}
DECODED_AS_FLOATS = {"FLOAT", "DOUBLE", "VORBIS", "OPUS"} | MPEG
"""Asked for integers, libsndfile fails to scale or to clip some of these."""
FULL_SCALE = 32768
UNKNOWN_LENGTH = 1 << 60
MOST_PER_BYTE = 10_000
"""Samples per byte; digital silence in FLAC has half of that. More would only fill the memory."""
LOUDEST = 4.0
"""Floats range from -1 to 1, slightly more after mixing; larger ones mean something else."""


class AudioError(Exception):
    """An audio file can't be used; the message names the file and the reason."""


def read_samples(
    path: Path,
    sample_rate: int | None = None,
    start: int = 0,
    count: int | None = None,
    channel: Channel = 0,
) -> NDArray[np.int16]:
    """Returns the samples (N,) of one channel of a file, or of a part of it.

    Only the requested samples are read: an utterance of an hour's talk costs no more than others.

    Args:
        path: The audio file.
        sample_rate: Expected samples per second, if known.
        start: First sample.
        count: Number of samples; all to the end where None.
        channel: Which channel, from 0 on, or "mix".

    Raises:
        AudioError: If the file is missing, empty, damaged, truncated, too short, or has another
            sample rate, no such channel, or samples that are NaN or infinite.
    """
    require_whole(path)
    try:
        with opened(path) as file:
            _check_format(path, file, sample_rate, channel)
            samples = _read(path, file, start, count)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {reason(path, error)}") from error
    chosen = _chosen(samples, channel)
    return chosen if chosen.dtype == np.int16 else to_int16(chosen, str(path))


def read_recording(path: Path, channel: Channel = "mix") -> tuple[NDArray[np.int16], int]:
    """Returns the samples (N,) of a whole file, and how many there are per second.

    Args:
        path: The audio file.
        channel: Which channel, from 0 on, or "mix".

    Raises:
        AudioError: If the file can't be read; see `read_samples`.
    """
    require_whole(path)
    try:
        with opened(path) as file:
            rate = int(file.samplerate)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path} can't be read as audio: {reason(path, error)}") from error
    return read_samples(path, channel=channel), rate


def opened(path: Path) -> soundfile.SoundFile:
    """Opens a file; a WAV file with length 0 in its header, as from a pipe, is read to its end.

    Raises:
        RuntimeError: If it can't be read; libsndfile's own errors are of this type, too.
    """
    try:
        file = soundfile.SoundFile(path)
    except TypeError as error:  # for a name ending in .raw
        raise RuntimeError(
            "raw samples have no header with rate and format; convert them to WAV"
        ) from error
    most = MOST_PER_BYTE * path.stat().st_size
    if most < file.frames < UNKNOWN_LENGTH:
        raise RuntimeError(
            f"its header promises {file.frames} samples, more than the file can hold"
        )
    if file.frames >= UNKNOWN_LENGTH:
        raise RuntimeError(
            "its header does not give its length, as when FLAC was written to a pipe: write it "
            f"again, for example with `ffmpeg -i {path.name} whole/{path.name}`"
        )
    if file.frames:
        return file
    whole = with_its_length(path)
    return file if whole is None else soundfile.SoundFile(whole)


def _read(path: Path, file: soundfile.SoundFile, start: int, count: int | None) -> NDArray[Any]:
    """Returns all channels of a part (N, channels), as floats where they are decoded as such."""
    total = int(file.frames)
    _check_part(path, total, start, count)
    if start:
        file.seek(start)
    kind = "float32" if file.subtype in DECODED_AS_FLOATS else "int16"
    expected = total - start if count is None else count
    samples: NDArray[Any] = file.read(expected, dtype=kind, always_2d=True)
    if len(samples) != expected:
        raise AudioError(f"{path} is cut off: {len(samples)} of {expected} samples can be read")
    return samples


def _chosen(samples: NDArray[Any], channel: Channel) -> NDArray[Any]:
    """Returns one channel (N,) of samples (N, channels)."""
    if channel != "mix":
        return np.ascontiguousarray(samples[:, 0 if channel == "first" else channel])
    mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    return mean.round().astype(np.int16) if samples.dtype == np.int16 else mean


def to_int16(samples: NDArray[np.floating[Any]], name: str) -> NDArray[np.int16]:
    """Converts floats (N,) of -1 to 1 to 16-bit samples; louder samples are clipped.

    Raises:
        AudioError: If some are NaN, infinite, or far beyond that range.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        wrong = np.flatnonzero(~np.isfinite(samples))
        raise AudioError(
            f"{name} has {len(wrong)} of {len(samples)} samples that are NaN or "
            f"infinite; the first is number {wrong[0]}"
        )
    if peak > LOUDEST:
        raise AudioError(
            f"{name} has float samples up to {peak:g}, expected -1 to 1: scale them when writing "
            "the file (divide 16-bit values by 32768)"
        )
    scaled: NDArray[Any] = np.rint(samples * np.float32(FULL_SCALE))
    return scaled.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def require_whole(path: Path) -> None:
    """Checks that a file is as long as its header says.

    Raises:
        AudioError: If it is missing or truncated.
    """
    if path.is_dir():
        raise AudioError(f"{path} is a folder, expected an audio file")
    if not path.is_file():
        raise AudioError(f"{path} is missing")
    lacking = shortfall(path)
    if lacking:
        raise AudioError(f"{path} is cut off: {lacking}; copy it again")


def _check_format(
    path: Path, file: soundfile.SoundFile, sample_rate: int | None, channel: Channel
) -> None:
    rate, channels = file.samplerate, file.channels
    if sample_rate is not None and rate != sample_rate:
        raise AudioError(f"{path} has {rate} samples per second, expected {sample_rate}")
    if isinstance(channel, int) and not 0 <= channel < channels:
        raise AudioError(f"{path} has {channels} channels, and no channel {channel + 1}")


def _check_part(path: Path, total: int, start: int, count: int | None) -> None:
    if not total:
        raise AudioError(f"{path} has no samples")
    end = total if count is None else start + count
    if not 0 <= start < end <= total:
        raise AudioError(f"{path} has {total} samples, expected some from {start} to {end}")


def said_by_lhotse(error: Exception) -> str:
    """Returns the message of an error, without the arguments of all functions that lhotse adds."""
    return str(error).split("\n[extra info]", 1)[0]


def reason(path: Path, error: Exception) -> str:
    """Returns why a file can't be read, and what to do about it if that is known."""
    if not path.stat().st_size:
        return "the file is empty"
    with path.open("rb") as file:
        header = file.read(1024)
    if header.startswith(b"NIST_1A") and b"shorten" in header:
        return (
            "it is shorten-compressed SPHERE; expand it first: `sph2pipe -f sph "
            f"{path} expanded/{path.name}` keeps samples and channels as they are"
        )
    if "Format not recognised" in str(error):
        return (
            "its format is unknown; if it is audio, convert it, such as with "
            f"`ffmpeg -i {path.name} {path.stem}.wav`"
        )
    return str(error)
