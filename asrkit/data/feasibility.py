"""Says before training which utterances can't be used, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from asrkit.children import process_pool
from asrkit.data.audio import AudioError
from asrkit.data.cuts import read_cut, text_of
from asrkit.data.manifests import DUPLICATE_NAME, Unusable
from asrkit.text.tokenizers import Tokenizer

AUDIO_REASONS = ("unreadable audio", DUPLICATE_NAME, "duplicate audio")
"""What is wrong with an utterance whatever the spec."""


def check_set(
    cuts: Iterable[Any],
    unfit: Callable[[Any], Unusable | None],
    sample_rate: int = 16000,
    jobs: int = 2,
) -> list[Unusable]:
    """Returns the utterances of a set that can't be used.

    Args:
        cuts: Utterances.
        unfit: Says why a spec can't use an utterance, if it can't: `Fitness`.
        sample_rate: Expected of every file.
        jobs: Processes that read the audio.
    """
    utterances = list(cuts)
    found: list[Unusable] = []
    seen: dict[str, str] = {}
    with process_pool(jobs) as pool:
        prints = pool.map(partial(fingerprint, sample_rate=sample_rate), utterances, chunksize=64)
        for cut, (digest, trouble) in zip(utterances, prints, strict=True):
            problem = trouble or _duplicate(cut, digest, seen) or unfit(cut)
            if problem is not None:
                found.append(problem)
    return found


@dataclass(frozen=True)
class Fitness:
    """What a spec asks of an utterance, besides audio that can be read.

    Args:
        tokenizer: Turns transcripts into labels.
        output_frames: Encoder frames of so many samples.
        min_frames: Encoder frames that labels need at least.
        max_seconds: Longer utterances are left out.
        fastest: Highest speed that utterances are played at, which leaves the fewest frames.
        sample_rate: Of the audio.
    """

    tokenizer: Tokenizer
    output_frames: Callable[[int], int]
    min_frames: Callable[[list[int]], int]
    max_seconds: float
    fastest: float = 1.0
    sample_rate: int = 16000

    def __call__(self, cut: Any) -> Unusable | None:
        """Returns why an utterance can't be used; None where it can."""
        return self._too_long(cut) or _bad_text(cut, self.tokenizer) or self._too_few_frames(cut)

    def _too_long(self, cut: Any) -> Unusable | None:
        if cut.duration <= self.max_seconds:
            return None
        detail = f"{cut.duration:.1f} s, data.max_seconds is {self.max_seconds:g}"
        return Unusable(cut.id, "too long", detail)

    def _too_few_frames(self, cut: Any) -> Unusable | None:
        frames = self.output_frames(int(cut.duration * self.sample_rate / self.fastest))
        needed = self.min_frames(self.tokenizer.encode(text_of(cut)))
        if needed <= frames:
            return None
        detail = f"labels need {needed} frames, there are {frames}"
        return Unusable(cut.id, "too few frames", detail)


def fingerprint(cut: Any, sample_rate: int) -> tuple[str, Unusable | None]:
    """Reads all samples of an utterance; returns their digest, and what is wrong with them."""
    try:
        samples = read_cut(cut, sample_rate)
    except AudioError as error:
        return "", Unusable(cut.id, "unreadable audio", str(error))
    return hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest(), None


def _duplicate(cut: Any, digest: str, seen: dict[str, str]) -> Unusable | None:
    for key, reason in ((f"id {cut.id}", DUPLICATE_NAME), (f"audio {digest}", "duplicate audio")):
        if key in seen:
            return Unusable(cut.id, reason, f"the same as {seen[key]}")
        seen[key] = cut.id
    return None


def _bad_text(cut: Any, tokenizer: Tokenizer) -> Unusable | None:
    text = text_of(cut)
    if not text.strip():
        return Unusable(cut.id, "empty text", "the transcript is empty")
    unknown = tokenizer.unknown_in(text)
    if unknown:
        shown = " ".join(repr(symbol) for symbol in unknown[:5])
        return Unusable(cut.id, "unknown characters", f"{shown} in {text!r}")
    return None
