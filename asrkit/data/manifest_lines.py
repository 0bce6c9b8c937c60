"""The lines of a manifest: lhotse cuts, whose fields are checked before lhotse reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from asrkit.errors import UserError
from asrkit.records import Amount, Count, read_json_lines
from asrkit.typed_values import WrongError, check_of

REMEDY = "the recipe's stage 1 writes manifests again"
PLAIN = ("MonoCut", "MultiCut")
"""Cuts of one recording; other kinds are made of these, and only checked by lhotse."""


class SupervisionFields(TypedDict):
    """The transcript of a part of a cut."""

    id: str
    start: float
    duration: float
    text: NotRequired[str | None]
    speaker: NotRequired[str | None]


class AudioFields(TypedDict):
    """Where the samples of a recording are."""

    type: str
    channels: list[Count]
    source: str


class RecordingFields(TypedDict):
    """The recording that a cut is taken from."""

    id: str
    sources: list[AudioFields]
    sampling_rate: Count
    num_samples: Count
    duration: Amount


class CutFields(TypedDict):
    """A line of a manifest."""

    id: str
    type: str
    supervisions: NotRequired[list[SupervisionFields]]


class PlainCutFields(CutFields):
    """A line for a part of one recording."""

    start: Amount
    duration: Amount
    recording: RecordingFields


class FeatureFields(TypedDict):
    """Where ready-made features are."""

    num_frames: Count
    num_features: Count
    frame_shift: Amount
    storage_type: str
    storage_path: str
    storage_key: str


class FeatureCutFields(CutFields):
    """A line for ready-made features without audio."""

    start: Amount
    duration: Amount
    features: FeatureFields


def read_cuts(path: Path) -> list[Cut]:
    """Returns the cuts of a manifest.

    Raises:
        UserError: If a line is not a cut; names the line and the field.
    """
    lines = read_json_lines(path, CutFields, REMEDY)
    return [_cut(cast(dict[str, Any], line), path, n) for n, line in enumerate(lines, start=1)]


def _cut(line: dict[str, Any], path: Path, number: int) -> Cut:
    try:
        if line["type"] in PLAIN:
            ready_made = "features" in line and "recording" not in line
            check_of(FeatureCutFields if ready_made else PlainCutFields)(line)
        cut = deserialize_item(line)
        int(cut.duration * cut.sampling_rate)  # fails without tracks, or with an invalid length
        return cut
    except WrongError as wrong:
        said = wrong.told()
    except Exception as error:  # the constructors of lhotse may raise anything
        said = f"not a cut of lhotse: {type(error).__name__}: {error}"
    raise UserError(f"{path}:{number} is damaged: {said}; {REMEDY}")
