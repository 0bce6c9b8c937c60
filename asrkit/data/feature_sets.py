"""Sets of ready-made features: what other programs, or Gaussian mixtures, have made of the audio.

Their cuts have features and no recording. To a model with features of type `ready_made` the frames
are what samples are to others: its sample rate is frames per second, such as 100.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from lhotse import MonoCut
from lhotse.features.base import Features
from lhotse.features.io import NumpyFilesWriter
from numpy.typing import NDArray

from asrkit.data.audio import AudioError, said_by_lhotse
from asrkit.data.lookups import costs_one_utterance
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.files import json_line, replaced
from asrkit.owners import owned

Frames = NDArray[np.float32]
LARGEST = 1e6
"""Numbers beyond this are no features: files were damaged, or are of another type."""


def has_only_features(cut: Any) -> bool:
    """Returns whether there are features of a cut in place of its audio."""
    return bool(cut.has_features) and not cut.has_recording


def frame_rate(cut: Any) -> int:
    """Returns the frames per second of a cut's features."""
    return round(1 / float(cut.features.frame_shift))


def require_rate(cuts: Iterable[Any], rate: int, speeds: Iterable[float] = (1.0,)) -> None:
    """Checks that cuts of ready-made features have the frames that are asked for.

    Args:
        cuts: Of audio, which may have any rate, or of features.
        rate: Samples or frames per second that a model hears.
        speeds: At which they are to be played.

    Raises:
        UserError: If features have another rate, or are to be played at another speed than 1.
    """
    cut = next((cut for cut in cuts if has_only_features(cut)), None)
    if cut is not None and frame_rate(cut) != rate:
        raise UserError(
            f"cut {cut.id} has {frame_rate(cut)} ready-made features a second and no audio; "
            f"expected {rate} samples: such sets need model.features of type ready_made, and "
            f"data.sample_rate: {frame_rate(cut)}"
        )
    other = next((speed for speed in speeds if speed != 1.0), None)
    if cut is not None and other is not None:
        raise UserError(
            f"cut {cut.id} has ready-made features, which can't be played at speed {other:g}: make "
            f"a set of features at that speed (`asrkit features --speed {other:g}`), and use both"
        )


@costs_one_utterance
def read_features(cut: Any) -> Frames:
    """Returns the features (T, F) of a cut that has no recording.

    Raises:
        AudioError: If they can't be read, or are not all numbers.
    """
    try:
        found = np.asarray(cut.load_features(), dtype=np.float32)
    except Exception as error:  # storages of lhotse may raise anything
        raise AudioError(
            f"the features of cut {cut.id} can't be read: {said_by_lhotse(error)}; if their folder "
            "was moved, make them again"
        ) from error
    if found.ndim != 2 or not len(found):
        raise AudioError(f"the features of cut {cut.id} have shape {found.shape}, expected (T, F)")
    wrong = np.flatnonzero(~(np.abs(found) < LARGEST).all(axis=1))
    if len(wrong):
        values = found[wrong[0]]
        value = values[~(np.abs(values) < LARGEST)][0]
        raise AudioError(f"frame {wrong[0]} of the features of cut {cut.id} has the value {value}")
    return found


def write_feature_set(
    data: Path, name: str, utterances: Iterable[tuple[Any, Frames]], frame_shift: float = 0.01
) -> int:
    """Writes DATA/features/NAME/ and its manifest; what was there before is replaced.

    Args:
        data: Data folder.
        name: Of the set.
        utterances: A cut, which gives name, transcript and speaker, and its features (T, F); taken
            one by one.
        frame_shift: Seconds between frames.

    Returns:
        The number of utterances.

    Raises:
        UserError: If there is none.
    """
    folder = DataFolder(data)
    arrays, manifest, count = folder.features(name), folder.manifest(name), 0
    with owned(manifest.parent, f"making features {name}"):
        partial_arrays = arrays.with_name(f"{arrays.name}.partial")
        shutil.rmtree(partial_arrays, ignore_errors=True)
        with replaced(manifest) as partial, partial.open("w", encoding="utf-8") as file:
            writer = NumpyFilesWriter(partial_arrays)
            for cut, frames in utterances:
                # Not the name of the utterance, which may have slashes.
                key = writer.write(f"{count:07d}", np.ascontiguousarray(frames, np.float32))
                made = feature_cut(cut, frames, frame_shift, arrays, key)
                file.write(json_line(made.to_dict()) + "\n")
                count += 1
            if not count:
                raise UserError(f"set {name}: no utterance has features")
            shutil.rmtree(arrays, ignore_errors=True)
            partial_arrays.rename(arrays)
    return count


def feature_cut(
    cut: Any, frames: Frames, frame_shift: float, arrays: Path = Path(), key: str = ""
) -> MonoCut:
    """Returns a cut of features with the supervisions of another one.

    Args:
        cut: Gives name, transcript and speaker.
        frames: The features (T, F).
        frame_shift: Seconds between frames.
        arrays: Folder of the set's features.
        key: What these are called there; empty while they are not.
    """
    duration = round(len(frames) * frame_shift, ndigits=8)
    features = Features(
        type="ready_made",
        num_frames=len(frames),
        num_features=frames.shape[1],
        frame_shift=frame_shift,
        sampling_rate=round(1 / frame_shift),
        start=0.0,
        duration=duration,
        storage_type=NumpyFilesWriter.name,
        storage_path=str(arrays.absolute()),
        storage_key=key,
        recording_id=cut.id,
        channels=0,
    )
    said = [each.with_offset(-each.start).trim(duration) for each in cut.supervisions]
    return MonoCut(cut.id, 0.0, duration, 0, said, features)
