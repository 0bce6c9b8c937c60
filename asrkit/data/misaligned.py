"""Which utterances have an alignment that they can be trained on, and why others have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from asrkit.data.alignments import Alignments
from asrkit.data.cuts import num_samples_at, num_samples_of, text_of
from asrkit.data.manifests import Unusable
from asrkit.errors import UserError
from asrkit.lattice.topologies import min_frames
from asrkit.text.tokenizers import Tokenizer


def misaligned(
    cuts: Iterable[Any],
    alignments: Alignments,
    speeds: Sequence[float],
    tokenizer: Tokenizer,
    target_frames: Callable[[Tensor], Tensor],
    sample_rate: int,
) -> list[Unusable]:
    """Returns the utterances that can't be trained on their alignments.

    Args:
        cuts: Utterances.
        alignments: What is there.
        speeds: All speeds that an utterance may be played at.
        tokenizer: Turns transcripts into labels.
        target_frames: Symbols (N,) that so many samples (N,) should have.
        sample_rate: Samples per second.
    """
    pairs = [(cut, speed) for cut in cuts for speed in speeds]
    samples = [num_samples_at(num_samples_of(cut, sample_rate), speed) for cut, speed in pairs]
    expected = target_frames(torch.tensor(samples, dtype=torch.int64)).tolist() if pairs else []
    found: dict[str, Unusable] = {}
    for (cut, speed), frames in zip(pairs, expected, strict=True):
        if cut.id not in found:
            problem = _problem(cut, speed, frames, alignments, tokenizer)
            if problem:
                found[cut.id] = Unusable(cut.id, *problem)
    return list(found.values())


def _problem(
    cut: Any, speed: float, frames: int, alignments: Alignments, tokenizer: Tokenizer
) -> tuple[str, str] | None:
    """Returns a reason and its details, None where the alignment fits."""
    try:
        symbols = alignments.of(cut.id, speed)
        labels = tokenizer.encode(text_of(cut))
    except UserError as error:
        return "no alignment", str(error)
    targets = alignments.targets
    if targets.rate == "sequence":
        return _too_many(symbols, frames, speed)
    if len(symbols) != frames:
        detail = f"the alignment has {len(symbols)} frames, the {targets.rate} {frames}"
        return "alignment of other frames", f"{detail} at speed {speed:g}"
    if not targets.spell_text:
        return None
    spelt = targets.labels_of(symbols[None]).labels[0].tolist()
    if spelt != labels:
        detail = f"the alignment has labels {spelt[:8]}, the transcript {labels[:8]}"
        return "alignment of other labels", detail
    return None


def _too_many(symbols: Tensor, frames: int, speed: float) -> tuple[str, str] | None:
    """Returns a reason and its details where a sequence of symbols (N,) is longer than frames."""
    if not len(symbols):
        return "no phones", f"nothing but silence and noise was aligned at speed {speed:g}"
    needed = int(min_frames(symbols[None], torch.tensor([len(symbols)])))
    if needed <= frames:
        return None
    detail = f"{len(symbols)} phones need {needed} frames of the encoder, which has {frames}"
    return "too many phones", f"{detail} at speed {speed:g}"
