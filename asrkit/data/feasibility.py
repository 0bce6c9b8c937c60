"""Finds out before training which utterances can't be used, and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from asrkit.children import process_pool
from asrkit.data.audio import AudioError
from asrkit.data.cuts import (
    num_samples_at,
    num_samples_of,
    rate_of,
    read_signal,
    text_of,
    transcript_of,
)
from asrkit.data.set_facts import DUPLICATE_NAME
from asrkit.data.signals import SILENT, oddities, silence
from asrkit.data.sources import Unusable
from asrkit.text.tokenizers import Tokenizer

AUDIO_REASONS = ("unreadable audio", SILENT, DUPLICATE_NAME, "duplicate audio")
"""What is wrong with an utterance, whatever the spec."""


@dataclass
class SetReport:
    """What is wrong or odd in a set.

    Args:
        total: Number of utterances.
        unusable: Those that can't be used.
        doubtful: What is odd about the sound of those that are used nevertheless.
        heard: Number of utterances whose samples were all checked.
        rates: Number of utterances by samples per second.
    """

    total: int = 0
    unusable: list[Unusable] = field(default_factory=list)
    doubtful: list[Unusable] = field(default_factory=list)
    heard: int = 0
    rates: Counter[int] = field(default_factory=Counter)


def check_set(
    cuts: Iterable[Any],
    unfit: Callable[[Any], Unusable | None],
    sample_rate: int = 16000,
    jobs: int = 2,
) -> SetReport:
    """Reads all utterances of a set and reports on them.

    Args:
        cuts: Utterances.
        unfit: Returns why a spec can't use an utterance, if it can't: `Fitness`.
        sample_rate: Of the model.
        jobs: Number of processes that read the audio.
    """
    utterances = list(cuts)
    report = SetReport(len(utterances))
    seen: dict[str, str] = {}
    with process_pool(jobs) as pool:
        sounds = pool.map(partial(listen, sample_rate=sample_rate), utterances, chunksize=64)
        for cut, sound in zip(utterances, sounds, strict=True):
            report.rates[rate_of(cut)] += 1
            report.heard += bool(sound.digest)
            problem = sound.trouble or _duplicate(cut, sound.digest, seen) or unfit(cut)
            if problem is not None:
                report.unusable.append(problem)
            else:
                report.doubtful += sound.odd
    return report


@dataclass(frozen=True)
class Fitness:
    """What a spec requires of an utterance, besides readable audio.

    Args:
        tokenizer: Turns transcripts into labels.
        output_frames: Number of encoder frames for a number of samples.
        min_frames: Smallest number of encoder frames that labels need.
        fastest: Highest speed of utterances, which gives the fewest frames.
        sample_rate: Of the model.
    """

    tokenizer: Tokenizer
    output_frames: Callable[[int], int]
    min_frames: Callable[[list[int]], int]
    fastest: float = 1.0
    sample_rate: int = 16000

    def __call__(self, cut: Any) -> Unusable | None:
        """Returns why an utterance can't be used; None if it can."""
        return _bad_text(cut, self.tokenizer) or self._too_few_frames(cut)

    def _too_few_frames(self, cut: Any) -> Unusable | None:
        samples = num_samples_at(num_samples_of(cut, self.sample_rate), self.fastest)
        frames = self.output_frames(samples)
        needed = self.min_frames(self.tokenizer.encode(text_of(cut)))
        if needed <= frames:
            return None
        detail = f"labels need {needed} frames, but there are {frames}"
        return Unusable(cut.id, "too few frames", detail)


@dataclass(frozen=True)
class Sound:
    """What was found out about the samples of an utterance.

    Args:
        digest: Of all samples; empty if they can't be read.
        trouble: Why they can't be used.
        odd: What is odd about them.
    """

    digest: str
    trouble: Unusable | None = None
    odd: tuple[Unusable, ...] = ()


def listen(cut: Any, sample_rate: int) -> Sound:
    """Reads and checks all samples of an utterance."""
    try:
        samples = read_signal(cut, sample_rate)
    except AudioError as error:
        return Sound("", Unusable(cut.id, "unreadable audio", str(error)))
    digest = hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest()
    empty = silence(samples)
    if empty:
        return Sound(digest, Unusable(cut.id, SILENT, empty))
    return Sound(digest, odd=tuple(Unusable(cut.id, *odd) for odd in oddities(samples)))


def _duplicate(cut: Any, digest: str, seen: dict[str, str]) -> Unusable | None:
    for key, reason in ((f"id {cut.id}", DUPLICATE_NAME), (f"audio {digest}", "duplicate audio")):
        if key in seen:
            return Unusable(cut.id, reason, f"the same as {seen[key]}")
        seen[key] = cut.id
    return None


def _bad_text(cut: Any, tokenizer: Tokenizer) -> Unusable | None:
    text = transcript_of(cut)
    if text is None:
        return Unusable(cut.id, "no transcript", "the transcript is missing")
    if not text.strip():
        return Unusable(cut.id, "empty text", "the transcript is empty")
    unknown = tokenizer.unknown_in(text)
    if unknown:
        shown = " ".join(repr(symbol) for symbol in unknown[:5])
        return Unusable(cut.id, "unknown characters", f"{shown} in {text!r}")
    return None
