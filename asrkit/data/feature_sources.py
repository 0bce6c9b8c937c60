"""Sets of features that other programs have made: what is taken, and what is left out and why."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lhotse import MonoCut, SupervisionSegment

from asrkit.data.audio import AudioError
from asrkit.data.demands import Demands
from asrkit.data.feature_sets import LARGEST, Frames, feature_cut, write_feature_set
from asrkit.data.manifests import rejected_path, require_utterances, write_unusable
from asrkit.data.set_facts import SetFacts
from asrkit.data.sources import Unusable

FRAME_SHIFT = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSource:
    """One utterance whose features another program has made.

    Args:
        id: Name of the utterance.
        read: Returns its features (T, F); may raise AudioError.
        text: The transcript; empty if nothing is said, None if there is none.
        speaker: Who speaks.
    """

    id: str
    read: Callable[[], Frames]
    text: str | None = None
    speaker: str = ""


def write_features(
    data: Path,
    name: str,
    sources: Iterable[FeatureSource | Unusable],
    demands: Demands = Demands(),  # noqa: B008 - has no state
    frame_shift: float = FRAME_SHIFT,
) -> SetFacts:
    """Writes a set of features; unusable utterances are listed in DATA/rejected/NAME.tsv.

    Args:
        data: Data folder.
        name: Name of the set.
        sources: Utterances, and rejected ones; taken one by one.
        demands: What utterances must have.
        frame_shift: Seconds between frames.

    Returns:
        Statistics of the set.

    Raises:
        UserError: If no utterance can be used, or one is missing from a set that must be complete.
    """
    facts = SetFacts()

    def used() -> Iterator[tuple[Any, Frames]]:
        dim = 0
        for source in sources:
            found = source if isinstance(source, Unusable) else _checked(source, dim)
            if isinstance(found, Unusable):
                facts.taken(found, demands)
                continue
            cut = feature_cut(_said(found, frame_shift), found.frames, frame_shift)
            if facts.taken(cut, demands) is not None:
                dim = found.frames.shape[1]
                yield cut, found.frames
        write_unusable(rejected_path(data, name), facts.unusable)
        require_utterances(data, name, facts, demands)

    write_feature_set(data, name, used(), frame_shift)
    for line in facts.remarks(round(1 / frame_shift), rejected_path(data, name)):
        log.warning("%s: %s", name, line)
    return facts


@dataclass(frozen=True)
class _Read:
    """An utterance and its features (T, F)."""

    source: FeatureSource
    frames: Frames


def _checked(source: FeatureSource, dim: int) -> _Read | Unusable:
    """Returns an utterance with its features, or what is wrong with them.

    Args:
        source: The utterance.
        dim: F of those before it; 0 if it is the first.
    """
    try:
        frames = source.read()
    except AudioError as error:
        return Unusable(source.id, "unreadable features", str(error))
    if frames.ndim != 2 or not frames.size:
        return Unusable(
            source.id, "no features", f"they have shape {frames.shape}, expected (frames, features)"
        )
    if dim not in (0, frames.shape[1]):
        return Unusable(
            source.id,
            "another number of features",
            f"a frame has {frames.shape[1]}, those of utterances before have {dim}",
        )
    wrong = np.argwhere(~(np.abs(frames) < LARGEST))
    if len(wrong):
        frame, feature = wrong[0].tolist()
        value = frames[frame, feature]
        return Unusable(source.id, "impossible features", f"frame {frame} has the value {value}")
    return _Read(source, frames)


def _said(found: _Read, frame_shift: float) -> MonoCut:
    """Returns a cut with a transcript and nothing else."""
    source, seconds = found.source, round(len(found.frames) * frame_shift, ndigits=8)
    segment = SupervisionSegment(
        id=source.id,
        recording_id=source.id,
        start=0.0,
        duration=seconds,
        text=source.text,
        speaker=source.speaker,
    )
    return MonoCut(source.id, 0.0, seconds, 0, [segment])
