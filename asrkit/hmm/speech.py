"""A set in memory: cepstra of all utterances, one after the other, normalised by speaker."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from asrkit.data.audio import AudioError
from asrkit.data.cuts import UNKNOWN, at_speed, read_cut, speaker_of, text_of
from asrkit.data.feature_sets import (
    frame_rate,
    has_only_features,
    read_features,
    require_rate,
)
from asrkit.errors import UserError
from asrkit.hmm.features import FrontEnd, Mfcc, normalized_by_speaker

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """What is known of an utterance, and which frames are its own.

    Args:
        name: Its name.
        speaker: Who speaks; the utterance's own name where that is not known.
        words: The transcript.
        begin: First frame.
        end: Frame after the last.
    """

    name: str
    speaker: str
    words: tuple[str, ...]
    begin: int
    end: int

    def __len__(self) -> int:
        """Number of frames."""
        return self.end - self.begin


@dataclass(frozen=True)
class Speech:
    """Utterances and their N frames.

    Args:
        utterances: In the order of their frames.
        frames: (N, D).
        heard: A digest of the audio, which is the same on all machines; frames differ in their last
            digits. None where there was no audio.
    """

    utterances: list[Utterance]
    frames: Tensor
    heard: int | None = None

    def __iter__(self) -> Iterator[tuple[Utterance, Tensor]]:
        """Yields utterances with their frames (T, D)."""
        for utterance in self.utterances:
            yield utterance, self.frames[utterance.begin : utterance.end]

    @cached_property
    def speakers(self) -> dict[str, list[Utterance]]:
        """The utterances of every speaker."""
        found: dict[str, list[Utterance]] = {}
        for utterance in self.utterances:
            found.setdefault(utterance.speaker, []).append(utterance)
        return found

    def transformed(self, front: FrontEnd) -> Tensor:
        """Returns the features (N, D) of all utterances."""
        return torch.cat([front(frames) for _, frames in self])

    def subset(self, utterances: Iterable[Utterance]) -> Speech:
        """Returns the speech of some utterances."""
        kept, parts, begin = [], [], 0
        for one in utterances:
            parts.append(self.frames[one.begin : one.end])
            kept.append(Utterance(one.name, one.speaker, one.words, begin, begin + len(one)))
            begin += len(one)
        return Speech(kept, torch.cat(parts))


def read_speech(
    cuts: Iterable[Any],
    mfcc: Mfcc,
    normalize_variance: bool = False,
    jobs: int = 1,
    speed: float = 1.0,
) -> Speech:
    """Returns the cepstra of a set, normalised by speaker.

    Utterances that can't be read are left out, with a warning each. Ready-made features are taken
    as cepstra.

    Args:
        cuts: The set.
        mfcc: How samples become cepstra.
        normalize_variance: Whether their variance becomes 1, and not only their mean 0.
        jobs: Threads that read and compute.
        speed: At which the audio is played; above 1 it is faster.

    Raises:
        UserError: If no utterance is left, or ready-made features are of another kind.
    """
    cuts = list(cuts)
    _require_features(cuts, mfcc.shift, speed)

    def read(cut: Any) -> tuple[Tensor, int] | AudioError:
        try:
            return _cepstra(cut, mfcc, speed)
        except AudioError as error:
            return error

    utterances, parts, begin, digest = [], [], 0, 0
    for cut, found in zip(cuts, _in_threads(read, cuts, jobs), strict=True):
        if isinstance(found, AudioError):
            log.warning("left out: %s", found)
            continue
        frames, heard = found
        digest = zlib.crc32(heard.to_bytes(4, "little"), digest)
        speaker = speaker_of(cut)
        end = begin + len(frames)
        words = tuple(text_of(cut).split())
        name = cut.id if speaker == UNKNOWN else speaker
        utterances.append(Utterance(cut.id, name, words, begin, end))
        parts.append(frames)
        begin = end
    if not utterances:
        raise UserError(f"none of the {len(cuts)} utterances can be used: see the messages above")
    alone = sum(one.speaker == one.name for one in utterances)
    if alone:
        log.warning("%d utterances have no speaker, and are normalised alone", alone)
    numbers: dict[str, int] = {}
    owners = torch.tensor([numbers.setdefault(u.speaker, len(numbers)) for u in utterances])
    sizes = torch.tensor([len(one) for one in utterances])
    speakers = owners.repeat_interleave(sizes)
    frames = normalized_by_speaker(torch.cat(parts), speakers, normalize_variance)
    return Speech(utterances, frames, digest)


def _cepstra(cut: Any, mfcc: Mfcc, speed: float) -> tuple[Tensor, int]:
    """Returns the cepstra (T, D) of an utterance, and a digest of what they were made of."""
    if has_only_features(cut):
        found = read_features(cut)
        return torch.from_numpy(found), zlib.crc32(found.tobytes())
    samples = read_cut(cut, mfcc.sample_rate)
    heard = zlib.crc32(samples.tobytes())
    if speed != 1.0:
        samples = at_speed(torch.from_numpy(samples), speed).numpy()
    return mfcc(samples), heard


def _require_features(cuts: list[Any], shift: float, speed: float) -> None:
    """Checks that ready-made features of a set can be cepstra.

    Raises:
        UserError: If they have another frame shift, if there are several sizes, or if they are to
            be played at another speed.
    """
    made = [cut for cut in cuts if has_only_features(cut)]
    if not made:
        return
    require_rate(made, frame_rate(made[0]), [speed])
    other = next((cut for cut in made if not math.isclose(cut.frame_shift, shift)), None)
    if other is not None:
        raise UserError(
            f"cut {other.id} has features every {other.frame_shift:g} s, expected them every "
            f"{shift:g} s (mixtures.mfcc.shift)"
        )
    sizes = {cut.num_features: cut.id for cut in made}
    if len(sizes) > 1 or len(made) < len(cuts):
        told = [f"{name} has {size} features" for size, name in sizes.items()]
        told += [f"{cut.id} has audio" for cut in cuts if not has_only_features(cut)][:1]
        raise UserError(
            f"one training needs features of one kind, but {', '.join(told)}: make sets of each"
        )


def _in_threads(function: Callable[[Any], T], items: list[Any], jobs: int) -> Iterator[T]:
    if jobs <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(function, items)
