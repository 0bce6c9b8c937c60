"""Batches of speech to train on, in a planned order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from lhotse import CutSet

from asrkit.data.amounts import Amounts
from asrkit.data.batch import Batch
from asrkit.data.cuts import num_labels
from asrkit.data.cuts import read_cut as read_cut
from asrkit.data.decode_batches import refuse_endless
from asrkit.data.orders import LengthOrder
from asrkit.data.positions import Keys, Positions
from asrkit.data.sampling import Planned, Sampler, speeds_of
from asrkit.data.settings import DataSettings
from asrkit.data.utterances import (
    FrameSymbols,
    Utterances,
    read_batch,
    read_training_batch,
)
from asrkit.data.workers import read_ahead
from asrkit.errors import UserError
from asrkit.text.segmentations import BestSegmentation
from asrkit.text.tokenizers import Tokenizer

MAX_LEFT_OUT = 100
"""More unusable utterances than this are not an accident."""

log = logging.getLogger(__name__)


class CutData:
    """The batches of each epoch; a source for the trainer.

    Args:
        cuts: Utterances.
        tokenizer: Turns transcripts into labels.
        settings: How utterances become batches.
        seed: Decides order, speeds and random segmentations.
        training: Whether utterances are shuffled, perturbed and filtered by length.
        rank: This process among `world_size`; takes every world_size-th batch.
        world_size: Number of processes.
        alignments: Of all utterances, where the loss needs them.

    Raises:
        UserError: If no utterance is left, one to evaluate on is too long, or the tokenizer does
            not fit the segmentation.
    """

    def __init__(
        self,
        cuts: CutSet,
        tokenizer: Tokenizer,
        settings: DataSettings,
        seed: int,
        training: bool,
        rank: int = 0,
        world_size: int = 1,
        alignments: FrameSymbols | None = None,
    ) -> None:
        kept = list(cuts)
        if training:
            low, high = settings.limits.min_seconds, settings.limits.max_seconds
            kept = [cut for cut in kept if low <= cut.duration <= high]
            if len(kept) < len(list(cuts)):
                log.warning(
                    "%d of %d utterances are left out of training: they are shorter than %g s or "
                    "longer than %g s",
                    len(list(cuts)) - len(kept),
                    len(list(cuts)),
                    low,
                    high,
                )
            most = settings.limits.max_labels
            if most is not None:
                kept = [c for c in kept if num_labels(c, tokenizer) <= most]
                log.info("%d have at most data.limits.max_labels = %d", len(kept), most)
        else:
            refuse_endless(kept, settings.decoding.max_seconds)
        if not kept:
            raise UserError(
                "no utterance is left to train on; see the warnings above, and data.limits"
                if training
                else "no utterance of dev is left to evaluate on; `asrkit check SPEC --data DIR` "
                "says why"
            )
        segmentation = settings.segmentation if training else BestSegmentation()
        segmentation.require(tokenizer)
        self.utterances = Utterances(
            kept, tokenizer, settings.sample_rate, alignments, segmentation
        )
        self.training, self.world_size = training, world_size
        self.num_workers = settings.num_workers
        if not training:
            settings = _unshuffled(settings)
        seconds = np.array([cut.duration for cut in kept])
        self.sampler = Sampler([cut.id for cut in kept], seconds, settings, seed)
        self._left_out: set[str] = set()
        self._labels: dict[int, int] = {}
        keys_of = self.sampler.keys_of
        self.positions = Positions(self._plan, keys_of, speeds_of, rank, world_size)

    def num_batches(self, epoch: int) -> int:
        """Returns the number of batches of this process in an epoch."""
        first, plan = self.positions.batches(epoch)
        return first + len(plan)

    def amounts(self, epoch: int) -> Amounts:
        """Returns the amount of data in an epoch, over all processes."""
        plan = self.sampler.plan(epoch)
        played = [(index, speed) for batch in plan for index, speed in batch]
        return Amounts(
            batches=len(plan),
            utterances=len(played),
            labels=sum(self._num_labels(index) for index, _ in played),
            seconds=sum(float(self.sampler.seconds[index]) / speed for index, speed in played),
        )

    def _num_labels(self, index: int) -> int:
        if index not in self._labels:
            reader = self.utterances
            self._labels[index] = num_labels(reader.cuts[index], reader.tokenizer)
        return self._labels[index]

    def mark(self, epoch: int, number: int) -> dict[str, Any]:
        """Returns the position to store in a checkpoint before batch `number` of each process."""
        return self.positions.mark(epoch, number)

    def go_on(self, epoch: int, number: int, mark: dict[str, Any]) -> str:
        """Goes to the position stored in a checkpoint; returns what has changed since, if any."""
        return self.positions.go_on(epoch, number, mark)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's batches of an epoch, from number `start` on."""
        (first, plan), draw = self.positions.batches(epoch), self.sampler.draw(epoch)
        read = read_training_batch if self.training else read_batch
        numbers = range(max(start - first, 0), len(plan))
        found_any = not numbers
        reading = read_ahead(partial(read, self.utterances, plan, draw), numbers, self.num_workers)
        with closing(reading):
            for batch, problems in reading:
                self._report(problems)
                if batch is not None:
                    found_any = True
                    yield batch
        if not found_any and self.world_size == 1:  # others may have found some utterances
            raise UserError(
                f"no utterance of epoch {epoch} can be used; the messages above and "
                "`asrkit check SPEC --data DIR` say why"
            )

    def _plan(self, epoch: int, done: Keys) -> list[Planned]:
        plan = self.sampler.plan(epoch, done)
        if not plan and not len(done):
            raise UserError(f"epoch {epoch} has no utterance: lower data.sub_epochs")
        return plan

    def _report(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._left_out:
                log.warning("left out: %s", problem)
            self._left_out.add(problem)
        if len(self._left_out) > MAX_LEFT_OUT:
            raise UserError(
                f"more than {MAX_LEFT_OUT} utterances can't be used; the last: {problems[-1]}; "
                "run `asrkit check SPEC --data DIR` to list them all"
            )


def _unshuffled(settings: DataSettings) -> DataSettings:
    batches = replace(settings.batches, order=LengthOrder(), num_buckets=1)
    return DataSettings(settings.train, settings.dev, batches)
