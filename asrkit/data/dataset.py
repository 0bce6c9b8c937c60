"""Batches of real speech: for training by plan, for decoding sorted by length."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import gcd
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
import torch
import torchaudio.functional as audio
from lhotse import CutSet
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asrkit.data.audio import AudioError, read_samples
from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.data.orders import LengthOrder
from asrkit.data.sampling import Planned, Sampler
from asrkit.data.settings import DataSettings
from asrkit.errors import UserError
from asrkit.text.segmentations import BestSegmentation, Segmentation
from asrkit.text.tokenizers import Tokenizer

MAX_LEFT_OUT = 100
"""So many unusable utterances are no accident any more."""

log = logging.getLogger(__name__)


class FrameSymbols(Protocol):
    """Alignments of utterances."""

    def of(self, utterance: str, speed: float) -> Tensor:
        """Returns the symbols (T,) of an utterance played at a speed."""
        ...


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
            low, high = settings.min_seconds, settings.max_seconds
            kept = [cut for cut in kept if low <= cut.duration <= high]
            if len(kept) < len(list(cuts)):
                log.warning(
                    "%d of %d utterances are left out: shorter than %g s or longer than %g s",
                    len(list(cuts)) - len(kept),
                    len(list(cuts)),
                    low,
                    high,
                )
            if settings.max_labels is not None:
                kept = [c for c in kept if num_labels(c, tokenizer) <= settings.max_labels]
                log.info("%d have at most data.max_labels = %d", len(kept), settings.max_labels)
        else:
            refuse_endless(kept, settings.max_decode_seconds)
        if not kept:
            raise UserError(
                "no utterance is left to train or evaluate on; see the warnings above, "
                "data.max_seconds and data.max_labels"
            )
        segmentation = settings.segmentation if training else BestSegmentation()
        segmentation.require(tokenizer)
        self.utterances = Utterances(
            kept, tokenizer, settings.sample_rate, alignments, segmentation
        )
        self.training, self.rank, self.world_size = training, rank, world_size
        self.num_workers = settings.num_workers
        if not training:
            settings = _unshuffled(settings)
        seconds = np.array([cut.duration for cut in kept])
        self.sampler = Sampler([cut.id for cut in kept], seconds, settings, seed)
        self._left_out: set[str] = set()
        self._planned: tuple[int, list[Planned]] = (0, [])

    def num_batches(self, epoch: int) -> int:
        """Returns how many batches this process takes in an epoch."""
        return len(self._plan(epoch))

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's batches of an epoch, from number `start` on."""
        plan, draw = self._plan(epoch), self.sampler.draw(epoch)
        read = read_training_batch if self.training else read_batch
        planned = PlannedBatches(
            partial(read, self.utterances, plan, draw), range(start, len(plan))
        )
        found_any = not planned
        loader: DataLoader[Any] = DataLoader(
            planned,
            batch_size=None,
            num_workers=self.num_workers,
            prefetch_factor=4 if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=leave_signals_to_the_trainer,
        )
        for batch, problems in loader:
            self._report(problems)
            if batch is not None:
                found_any = True
                yield batch
        if not found_any:
            raise UserError(
                f"no utterance of epoch {epoch} can be used; the messages above say why, and so "
                "does `asrkit check SPEC --data DIR`"
            )

    def _plan(self, epoch: int) -> list[Planned]:
        if self._planned[0] != epoch:
            self._planned = (epoch, self.sampler.plan(epoch))
        plan = self._planned[1]
        if self.training:  # all processes make the same number of steps
            plan = plan[: len(plan) - len(plan) % self.world_size]
            if not plan:
                raise UserError(
                    f"an epoch has fewer batches than processes ({self.world_size}); lower "
                    "data.batch_seconds or data.sub_epochs"
                )
        return plan[self.rank :: self.world_size]

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


def leave_signals_to_the_trainer(worker: int) -> None:
    """Lets Ctrl-C and a scheduler's SIGTERM reach the trainer only, and it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _unshuffled(settings: DataSettings) -> DataSettings:
    return DataSettings(
        train=settings.train,
        dev=settings.dev,
        batch_seconds=settings.batch_seconds,
        max_utterances=settings.max_utterances,
        order=LengthOrder(),
        num_buckets=1,
    )


class Utterances:
    """Reads utterances by index.

    Args:
        cuts: Utterances.
        tokenizer: Turns transcripts into labels.
        sample_rate: Expected of every file.
        alignments: Where the loss needs them.
        segmentation: How transcripts are cut into labels.
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
            UserError: If the text has unknown symbols.
        """
        cut = self.cuts[index]
        return self.segmentation.encode(self.tokenizer, text_of(cut), Random(f"{draw} {cut.id}"))

    def signal(self, index: int, speed: float = 1.0) -> Tensor:
        """Returns the int16 samples (N,) of an utterance, played at a speed.

        Raises:
            AudioError: If they can't be read.
        """
        samples = torch.from_numpy(read_cut(self.cuts[index], self.sample_rate))
        return samples if speed == 1.0 else at_speed(samples, speed)

    def alignment(self, index: int, speed: float) -> list[Tensor]:
        """Returns the alignment (T,) of an utterance, if alignments are needed.

        Raises:
            UserError: If it is missing.
        """
        return [] if self.alignments is None else [self.alignments.of(self.cuts[index].id, speed)]


Read = tuple[Batch | None, list[str]]
"""A batch, None where nothing could be used, and a message per unusable utterance."""


class PlannedBatches(Dataset[Read]):
    """Reads some of the planned batches, by number."""

    def __init__(self, read: Callable[[int], Read], numbers: range) -> None:
        self.read, self.numbers = read, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Read:
        return self.read(self.numbers[index])


def read_training_batch(
    utterances: Utterances, plan: Sequence[Planned], draw: str, number: int
) -> Read:
    """Returns a planned batch, or the next one of which something can be used.

    As many batches as are planned have to come: all processes make the same number of steps, and
    a run that goes on counts batches to find its place.
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
    )
    return batch, problems


def refuse_endless(cuts: Iterable[Any], max_seconds: float) -> None:
    """Makes sure that utterances can be encoded whole.

    Raises:
        UserError: If some are longer than that; names the longest.
    """
    longest = max(cuts, key=lambda cut: float(cut.duration), default=None)
    if longest is not None and longest.duration > max_seconds:
        raise UserError(
            f"utterance {longest.id} is {longest.duration:.1f} s long, data.max_decode_seconds is "
            f"{max_seconds:g}: cut it into shorter ones, leave it out of the set, or raise "
            "data.max_decode_seconds where the memory is enough"
        )


def decode_batches(
    cuts: CutSet, settings: DataSettings, speed: float = 1.0
) -> Iterator[tuple[Batch, list[UtteranceInfo]]]:
    """Yields all utterances in batches of similar length, longest first, with their facts.

    They are played at a speed. Labels are empty: references may have symbols that the vocabulary
    lacks.

    Raises:
        UserError: If audio is too long or can't be read: a score without it would be of another
            set.
    """
    refuse_endless(cuts, settings.max_decode_seconds)
    sample_rate = settings.sample_rate
    ordered = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
    batch: list[Any] = []
    for cut in ordered:
        if batch and (len(batch) + 1) * batch[0].duration > settings.decode_batch_seconds:
            yield _decode_batch(batch, sample_rate, speed)
            batch = []
        batch.append(cut)
    if batch:
        yield _decode_batch(batch, sample_rate, speed)


def _decode_batch(
    cuts: list[Any], sample_rate: int, speed: float
) -> tuple[Batch, list[UtteranceInfo]]:
    try:
        signals = [torch.from_numpy(read_cut(cut, sample_rate)) for cut in cuts]
    except AudioError as error:
        raise UserError(f"a set can't be decoded without its audio: {error}") from error
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
    infos = [UtteranceInfo(c.id, speaker_of(c), text_of(c), float(c.duration)) for c in cuts]
    return batch, infos


def read_cut(cut: Any, sample_rate: int) -> NDArray[np.int16]:
    """Returns the samples of a lhotse cut, which may be a part of its recording.

    Raises:
        AudioError: If they can't be read.
    """
    start, count = round(cut.start * sample_rate), round(cut.duration * sample_rate)
    path = Path(cut.recording.sources[0].source)
    return read_samples(path, sample_rate, start, count, int(cut.channel))


def num_labels(cut: Any, tokenizer: Tokenizer) -> int:
    """Returns the labels of a cut's transcript; 0 where it has unknown symbols.

    Such a cut is reported once its batch is read.
    """
    return len(tokenizer.encode_if_known(text_of(cut)) or [])


def text_of(cut: Any) -> str:
    """Returns the transcript of a lhotse cut."""
    return " ".join(s.text for s in cut.supervisions if s.text)


def speaker_of(cut: Any) -> str:
    """Returns the speaker of a lhotse cut."""
    return next((str(s.speaker) for s in cut.supervisions if s.speaker), "unknown")


def at_speed(samples: Tensor, speed: float, resolution: int = 100) -> Tensor:
    """Returns int16 samples played faster (above 1) or slower, pitch included.

    Source: Ko et al. 2015; speeds are rounded to hundredths.
    """
    resampled = audio.resample(
        samples.float(), round(speed * resolution), resolution, lowpass_filter_width=6
    )
    played: Tensor = resampled.round().clamp(-32768, 32767).to(torch.int16)
    return played


def num_samples_at(num_samples: int, speed: float, resolution: int = 100) -> int:
    """Returns how many samples `at_speed` gives."""
    if speed == 1.0:
        return num_samples
    pace = round(speed * resolution)
    common = gcd(pace, resolution)
    return -(-num_samples * (resolution // common) // (pace // common))
