"""Batches to decode: all utterances of a set, sorted by length."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lhotse import CutSet
from torch import Tensor

from asrkit.data.audio import AudioError
from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.cuts import at_speed, has_transcript, rate_of, read_signal, speaker_of, text_of
from asrkit.data.feature_sets import require_rate
from asrkit.data.set_facts import Examples, of_other_rate
from asrkit.data.settings import DataSettings
from asrkit.data.signals import SILENT, oddities, silence
from asrkit.errors import UserError

log = logging.getLogger(__name__)


Oddities = defaultdict[str, Examples]
"""Utterances by what is said of them."""


def refuse_endless(cuts: Iterable[Any], max_seconds: float) -> None:
    """Checks that no utterance is too long to be encoded.

    Raises:
        UserError: If some are longer than that; names the longest.
    """
    longest = max(cuts, key=lambda cut: float(cut.duration), default=None)
    if longest is not None and longest.duration > max_seconds:
        raise UserError(
            f"utterance {longest.id} is {longest.duration:.1f} s long, data.decoding.max_seconds "
            f"is {max_seconds:g}: cut it into shorter ones, leave it out of the set, or give "
            f"data.decoding.max_seconds={math.ceil(longest.duration)} on the command line if there "
            "is enough memory"
        )


def decode_batches(
    cuts: CutSet, settings: DataSettings, speed: float = 1.0
) -> Iterator[tuple[Batch, list[UtteranceInfo]]]:
    """Yields all utterances in batches of similar length, longest first, with their facts.

    They are played at the given speed. Labels are empty: references may have symbols that are not
    in the vocabulary.

    Raises:
        UserError: If audio is too long or can't be read: without it, the score would be for
            another set.
    """
    refuse_endless(cuts, settings.decoding.max_seconds)
    require_rate(cuts, settings.sample_rate, [speed])
    sample_rate = settings.sample_rate
    ordered = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
    batch: list[Any] = []
    odd: Oddities = defaultdict(Examples)
    for cut in ordered:
        if batch and (len(batch) + 1) * batch[0].duration > settings.decoding.batch_seconds:
            yield _decode_batch(batch, sample_rate, speed, odd)
            batch = []
        batch.append(cut)
    if batch:
        yield _decode_batch(batch, sample_rate, speed, odd)
    for reason, found in odd.items():
        log.warning(
            "%d of %d utterances are decoded, but %s, such as %s",
            found.count,
            len(ordered),
            reason,
            found.first,
        )


def _signal(cut: Any, sample_rate: int, odd: Oddities) -> Tensor:
    """Returns the samples (N,) of an utterance; records anything odd about them."""
    try:
        samples = read_signal(cut, sample_rate)
    except AudioError as error:
        raise UserError(f"a set can't be decoded without its audio: {error}") from error
    if rate_of(cut) != sample_rate:
        odd[of_other_rate(rate_of(cut), sample_rate)].add(cut.id)
    found = [SILENT] if silence(samples) else [reason for reason, _ in oddities(samples)]
    for reason in found:
        odd[f"sound odd ({reason})"].add(cut.id)
    return torch.from_numpy(samples)


def _decode_batch(
    cuts: list[Any], sample_rate: int, speed: float, odd: Oddities
) -> tuple[Batch, list[UtteranceInfo]]:
    signals = [_signal(cut, sample_rate, odd) for cut in cuts]
    if speed != 1.0:
        signals = [at_speed(signal, speed) for signal in signals]
    count = len(cuts)
    batch = Batch(
        ids=[cut.id for cut in cuts],
        signal=torch.nn.utils.rnn.pad_sequence(signals, batch_first=True),
        signal_lengths=torch.tensor([len(signal) for signal in signals]),
        labels=torch.zeros(count, 0, dtype=torch.int64),
        label_lengths=torch.zeros(count, dtype=torch.int64),
    )
    infos = [
        UtteranceInfo(c.id, speaker_of(c), text_of(c), float(c.duration), has_transcript(c))
        for c in cuts
    ]
    return batch, infos
