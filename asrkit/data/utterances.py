"""Reads utterances by index, and planned batches of them, in the processes of a loader."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from asrkit.data.audio import AudioError
from asrkit.data.batch import Batch
from asrkit.data.cuts import at_speed, read_signal, text_of
from asrkit.data.sampling import Planned
from asrkit.data.signals import silence
from asrkit.errors import UserError
from asrkit.text.segmentations import BestSegmentation, Segmentation
from asrkit.text.tokenizers import Tokenizer


class FrameSymbols(Protocol):
    """Alignments of utterances."""

    def of(self, utterance: str, speed: float) -> Tensor:
        """Returns the symbols (T,) of an utterance played at a speed."""
        ...


class Utterances:
    """Reads utterances by index.

    Args:
        cuts: Utterances.
        tokenizer: Turns transcripts into labels.
        sample_rate: Of the model.
        alignments: If the loss needs them.
        segmentation: How transcripts are split into labels.
    """

    def __init__(
        self,
        cuts: list[Any],
        tokenizer: Tokenizer,
        sample_rate: int,
        alignments: FrameSymbols | None = None,
        segmentation: Segmentation = BestSegmentation(),  # noqa: B008 - has no state
    ) -> None:
        self.cuts, self.tokenizer, self.sample_rate = cuts, tokenizer, sample_rate
        self.alignments, self.segmentation = alignments, segmentation

    def labels(self, index: int, draw: str) -> list[int]:
        """Returns the labels of an utterance; `draw` names the pass over the data.

        Raises:
            UserError: If there is no text, or it has unknown symbols.
        """
        cut = self.cuts[index]
        text = text_of(cut)
        if not text.strip():
            raise UserError("its transcript is empty or missing")
        return self.segmentation.encode(self.tokenizer, text, Random(f"{draw} {cut.id}"))

    def signal(self, index: int, speed: float = 1.0) -> Tensor:
        """Returns the int16 samples (N,) of an utterance, played at a speed, or features (T, F).

        Raises:
            AudioError: If they can't be read, or are silent.
        """
        found = read_signal(self.cuts[index], self.sample_rate)
        empty = silence(found)
        if empty:
            raise AudioError(f"it is silent: {empty}")
        samples = torch.from_numpy(found)
        return samples if speed == 1.0 else at_speed(samples, speed)

    def alignment(self, index: int, speed: float) -> list[Tensor]:
        """Returns the symbols (N,) of an utterance's frames, if alignments are needed.

        Raises:
            UserError: If it is missing.
        """
        return [] if self.alignments is None else [self.alignments.of(self.cuts[index].id, speed)]


Read = tuple[Batch | None, list[str]]
"""A batch, None if nothing could be used, and a message per unusable utterance."""


def read_training_batch(
    utterances: Utterances, plan: Sequence[Planned], draw: str, number: int
) -> Read:
    """Returns a planned batch, or the next one with a usable utterance.

    The number of batches must be as planned: all processes make the same number of steps, and a
    run that continues counts batches to find its position.
    """
    problems: list[str] = []
    for distance in range(len(plan)):
        batch, found = read_batch(utterances, plan, draw, (number + distance) % len(plan))
        problems += found
        if batch is not None:
            return batch, problems
    return None, problems


def read_batch(utterances: Utterances, plan: Sequence[Planned], draw: str, number: int) -> Read:
    """Returns the usable utterances of a planned batch."""
    ids, signals, labels, problems = [], [], [], []
    speeds: list[float] = []
    alignments: list[Tensor] = []
    for index, speed in plan[number]:
        try:
            found = utterances.labels(index, draw)
            alignment = utterances.alignment(index, speed)
            signals.append(utterances.signal(index, speed))
        except (AudioError, UserError) as error:
            problems.append(f"utterance {utterances.cuts[index].id}: {error}")
            continue
        ids.append(utterances.cuts[index].id)
        speeds.append(speed)
        alignments += alignment
        labels.append(torch.tensor(found, dtype=torch.int64))
    if not ids:
        return None, problems
    pad = torch.nn.utils.rnn.pad_sequence
    batch = Batch(
        ids=ids,
        signal=pad(signals, batch_first=True),
        signal_lengths=torch.tensor([len(signal) for signal in signals]),
        labels=pad(labels, batch_first=True),
        label_lengths=torch.tensor([len(label) for label in labels]),
        alignment=pad(alignments, batch_first=True, padding_value=-1) if alignments else None,
        speeds=speeds,
    )
    return batch, problems
