"""Says before training which utterances can't be used, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from asrkit.data.audio import AudioError
from asrkit.data.dataset import read_cut, text_of
from asrkit.data.manifests import DUPLICATE_NAME, Unusable
from asrkit.text.tokenizers import Tokenizer


def check_set(
    cuts: Iterable[Any],
    tokenizer: Tokenizer,
    output_frames: Callable[[int], int],
    min_frames: Callable[[list[int]], int],
    max_seconds: float,
    fastest: float = 1.0,
    sample_rate: int = 16000,
    jobs: int = 2,
) -> list[Unusable]:
    """Returns the utterances of a set that can't be used.

    Args:
        cuts: Utterances.
        tokenizer: Turns transcripts into labels.
        output_frames: Encoder frames of so many samples.
        min_frames: Encoder frames that labels need at least.
        max_seconds: Longer utterances are left out.
        fastest: Highest speed that utterances are played at, which leaves the fewest frames.
        sample_rate: Expected of every file.
        jobs: Processes that read the audio.
    """
    utterances = list(cuts)
    found: list[Unusable] = []
    seen: dict[str, str] = {}
    with ProcessPoolExecutor(jobs) as pool:
        prints = pool.map(partial(fingerprint, sample_rate=sample_rate), utterances, chunksize=64)
        for cut, (digest, trouble) in zip(utterances, prints, strict=True):
            problem = (
                trouble
                or _duplicate(cut, digest, seen)
                or _too_long(cut, max_seconds)
                or _bad_text(cut, tokenizer)
                or _too_few_frames(cut, tokenizer, output_frames, min_frames, fastest, sample_rate)
            )
            if problem is not None:
                found.append(problem)
    return found


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


def _too_long(cut: Any, max_seconds: float) -> Unusable | None:
    if cut.duration <= max_seconds:
        return None
    detail = f"{cut.duration:.1f} s, data.max_seconds is {max_seconds:g}"
    return Unusable(cut.id, "too long", detail)


def _bad_text(cut: Any, tokenizer: Tokenizer) -> Unusable | None:
    text = text_of(cut)
    if not text.strip():
        return Unusable(cut.id, "empty text", "the transcript is empty")
    unknown = tokenizer.unknown_in(text)
    if unknown:
        shown = " ".join(repr(symbol) for symbol in unknown[:5])
        return Unusable(cut.id, "unknown characters", f"{shown} in {text!r}")
    return None


def _too_few_frames(
    cut: Any,
    tokenizer: Tokenizer,
    output_frames: Callable[[int], int],
    min_frames: Callable[[list[int]], int],
    fastest: float,
    sample_rate: int,
) -> Unusable | None:
    frames = output_frames(int(cut.duration * sample_rate / fastest))
    needed = min_frames(tokenizer.encode(text_of(cut)))
    if needed <= frames:
        return None
    return Unusable(cut.id, "too few frames", f"labels need {needed} frames, there are {frames}")
