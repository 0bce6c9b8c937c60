"""Reads CTM files of words or phones as tied states of an HMM."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asrkit.data.cuts import num_samples_at, num_samples_of
from asrkit.data.feature_sets import has_only_features
from asrkit.data.kaldi_archive import Integers
from asrkit.data.manifests import open_set
from asrkit.errors import UserError
from asrkit.hmm.hmm_folder import read_hmm
from asrkit.hmm.timed_phones import (
    TimedName,
    alignment_of_phones,
    phones_of_words,
    reaching,
    timed_phones,
)
from asrkit.scoring.nist.ctm import read_ctm

NAMED = 5
"""So many utterances are named in a message."""

log = logging.getLogger(__name__)


class TimedStates:
    """Reads CTM files whose recordings are the utterances of a set.

    Args:
        hmm: Folder of the HMM that gives words phones, and phones states.
        data: Data folder, which tells how many frames utterances have.
        set_name: The set.
        of: What the files have times of.
        frame_shift: Seconds between frames of features.
        reach: Seconds that words reach into the gaps around them.
        speed: Of the audio whose states are wanted; the files have times of speed 1.

    Raises:
        UserError: If HMM or set are missing, or features without audio are to be played faster.
    """

    def __init__(
        self,
        hmm: Path,
        data: Path,
        set_name: str,
        of: Literal["words", "phones"],
        frame_shift: float = 0.01,
        reach: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self.speed = speed
        self.hmm, self.set_name, self.frame_shift = read_hmm(hmm), set_name, frame_shift
        self.reach = reach
        self.phones_of = phones_of_words if of == "words" else timed_phones
        self.frames = {cut.id: self._frames(cut) for cut in open_set(data, [set_name])}
        self.count = self.hmm.num_states

    def __call__(self, path: Path) -> Iterator[tuple[str, Integers]]:
        """Yields the names and tied states of utterances.

        Raises:
            UserError: If the file is damaged, or has unknown words or phones.
        """
        found: dict[str, list[TimedName]] = defaultdict(list)
        for word in read_ctm(path):
            times = word.start / self.speed, (word.start + word.duration) / self.speed
            found[word.recording].append(TimedName(word.word, *times))
        for text, names in (
            ("utterances of %s are not in %s: %d, such as %s", self.frames.keys() - found),
            ("recordings are not in %s, but in %s: %d, such as %s", found.keys() - self.frames),
        ):
            if names:
                some = ", ".join(sorted(names)[:NAMED])
                log.warning(text, self.set_name, path, len(names), some)
        for name, said in found.items():
            if self.frames.get(name):
                yield name, self._states(f"{path}: {name}", said, self.frames[name])

    def _states(self, where: str, said: list[TimedName], num_frames: int) -> Integers:
        try:
            names = reaching(sorted(said, key=lambda one: one.start), self.reach / self.speed)
            phones = self.phones_of(names, self.hmm, self.frame_shift)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        return alignment_of_phones(phones, num_frames, self.hmm).states.astype(np.int32)

    def _frames(self, cut: Any) -> int:
        if has_only_features(cut):
            if self.speed != 1.0:
                raise UserError(
                    f"utterance {cut.id} of {self.set_name} has features and no audio, so it has "
                    f"speed 1 only, not {self.speed:g}"
                )
            return int(cut.num_frames)
        rate = int(cut.sampling_rate)
        samples = num_samples_at(num_samples_of(cut, rate), self.speed)
        return max(samples // round(rate * self.frame_shift), 1)
