"""Batches of text for language models: transcripts of sets, and files with a sentence per line."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asrkit.data.amounts import Amounts
from asrkit.data.batch import Batch
from asrkit.data.cuts import text_of
from asrkit.data.manifests import open_set
from asrkit.data.positions import NONE, Keys, Positions
from asrkit.data.settings import Data, data_kinds
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.files import read_lines, replaced
from asrkit.text.normalization import normalized
from asrkit.text.tokenizers import Tokenizer

log = logging.getLogger(__name__)


@data_kinds.register("text")
@dataclass(frozen=True)
class TextSettings(Data):
    """The `data:` part of a language model's spec.

    Args:
        train: Sets whose transcripts are trained on.
        dev: Sets whose transcripts choose checkpoints and learning rates; may be empty.
        files: Further training text, a sentence per line: names below DATA/text, or paths; may be
            compressed with gzip or xz.
        batch_labels: Largest number of labels in a batch, including padding and ends of sentence.
        max_labels: Longer training sentences are left out.
        sub_epochs: An epoch of the trainer is one of this many parts of the training text.
    """

    train: list[str]
    dev: list[str]
    files: list[str] = field(default_factory=list)
    batch_labels: int = 4000
    max_labels: int = 300
    sub_epochs: int = 1

    def __post_init__(self) -> None:
        if self.batch_labels < 1 or self.max_labels < 1 or self.sub_epochs < 1:
            raise ValueError("batch_labels, max_labels and sub_epochs must be positive")


@dataclass(frozen=True)
class Sentences:
    """Label ids of many sentences, concatenated.

    Args:
        labels: (N,) all labels.
        ends: (S + 1,) boundaries: sentence s is ends[s] .. ends[s + 1].
    """

    labels: NDArray[np.int32]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> Tensor:
        part = self.labels[self.ends[index] : self.ends[index + 1]]
        return torch.from_numpy(part.astype(np.int64))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(S,) number of labels of each sentence."""
        return np.diff(self.ends)

    @cached_property
    def _digest(self) -> int:
        content = hashlib.sha256(np.ascontiguousarray(self.labels).data)
        content.update(np.ascontiguousarray(self.ends).data)
        return int.from_bytes(content.digest()[:3], "little") >> 1

    def keys(self, chosen: NDArray[np.int64]) -> Keys:
        """Returns numbers that identify sentences: their positions, and a digest of all text."""
        return chosen.astype(np.int64) + (self._digest << 40)


class TextData:
    """The batches of each epoch; a source for the trainer.

    Args:
        sentences: Sentences to train or evaluate on.
        settings: How sentences become batches.
        seed: Decides their order.
        training: Whether sentences are shuffled and filtered by length.
        rank: This process among `world_size`; takes every world_size-th batch.
        world_size: Number of processes.

    Raises:
        UserError: If no sentence is left.
    """

    def __init__(
        self,
        sentences: Sentences,
        settings: TextSettings,
        seed: int,
        training: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sentences, self.settings, self.seed = sentences, settings, seed
        self.training = training
        lengths = sentences.lengths
        longest = settings.max_labels if training else int(lengths.max(initial=0))
        self.usable = np.flatnonzero((lengths > 0) & (lengths <= longest))
        if num_long := int((lengths > longest).sum()):
            log.warning(
                "%d of %d sentences are left out: they are longer than data.max_labels = %d",
                num_long,
                len(lengths),
                longest,
            )
        if not len(self.usable):
            raise UserError("no sentence is left to train or evaluate on; see data.max_labels")
        keys = sentences.keys
        self.positions = Positions(self._plan, keys, lambda batch: b"", rank, world_size)

    def num_batches(self, epoch: int) -> int:
        """Returns the number of batches of this process in an epoch."""
        first, plan = self.positions.batches(epoch)
        return first + len(plan)

    def amounts(self, epoch: int) -> Amounts:
        """Returns the amount of data in an epoch, over all processes."""
        plan = self._plan(epoch, NONE)
        lengths = self.sentences.lengths
        labels = sum(int(lengths[chosen].sum()) for chosen in plan)
        return Amounts(len(plan), sum(len(chosen) for chosen in plan), labels)

    def mark(self, epoch: int, number: int) -> dict[str, Any]:
        """Returns the position to store in a checkpoint before batch `number` of each process."""
        return self.positions.mark(epoch, number)

    def go_on(self, epoch: int, number: int, mark: dict[str, Any]) -> str:
        """Goes to the position stored in a checkpoint; returns what has changed since, if any."""
        return self.positions.go_on(epoch, number, mark)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's batches of an epoch, from number `start` on."""
        first, plan = self.positions.batches(epoch)
        for chosen in plan[max(start - first, 0) :]:
            labels = [self.sentences[int(index)] for index in chosen]
            lengths = torch.tensor([len(label) for label in labels])
            yield Batch(
                ids=[f"sentence-{index}" for index in chosen],
                signal=torch.zeros(len(labels), 0, dtype=torch.int16),
                signal_lengths=torch.zeros(len(labels), dtype=torch.int64),
                labels=torch.nn.utils.rnn.pad_sequence(labels, batch_first=True),
                label_lengths=lengths,
            )

    def _plan(self, epoch: int, done: Keys) -> list[NDArray[np.int64]]:
        """Returns the sentences of each batch: similar lengths together, batches shuffled."""
        order = self.usable
        if self.training:
            full, part = divmod(epoch - 1, self.settings.sub_epochs)
            order = np.random.default_rng([self.seed, full]).permutation(self.usable)
            parts = self.settings.sub_epochs
            order = order[len(order) * part // parts : len(order) * (part + 1) // parts]
            if not len(order):
                raise UserError(f"epoch {epoch} has no sentence: lower data.sub_epochs")
        if len(done):
            order = order[~np.isin(self.sentences.keys(order), done)]
        order = order[np.argsort(self.sentences.lengths[order], kind="stable")]
        batches = self._fill(order)
        if self.training:
            shuffled = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
            batches = [batches[index] for index in shuffled]
        return batches

    def _fill(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Splits sentences, sorted by length, into batches."""
        padded = self.sentences.lengths[order] + 1  # the end of the sentence counts
        batches, begin = [], 0
        for end in range(1, len(order) + 1):
            if end == len(order) or padded[end] * (end + 1 - begin) > self.settings.batch_labels:
                batches.append(order[begin:end])
                begin = end
        return batches


def read_texts(data: Path, names: list[str]) -> Iterator[str]:
    """Yields the transcripts of sets, without those that are empty or missing."""
    for cut in open_set(data, names):
        text = text_of(cut)
        if text:
            yield text


def load_sentences(
    settings: TextSettings, data: Path, tokenizer: Tokenizer, training: bool
) -> Sentences:
    """Returns the labels of all sentences; those of files are kept in DATA/text/tokens."""
    names = settings.train if training else settings.dev
    found = [encode_all(read_texts(data, names), tokenizer, f"sets {names}")]
    if training:
        for name in settings.files:
            below = DataFolder(data).text / name
            path = below if below.is_file() else Path(name)
            found.append(_encoded_file(path, DataFolder(data).text / "tokens", tokenizer))
    starts = np.cumsum([0] + [len(part.labels) for part in found])
    ends = [part.ends[1:] + start for part, start in zip(found, starts, strict=False)]
    labels = np.concatenate([part.labels for part in found])
    return Sentences(labels, np.concatenate([np.zeros(1, np.int64), *ends]))


def encode_all(texts: Iterable[str], tokenizer: Tokenizer, where: str) -> Sentences:
    """Returns the labels of sentences; those with unknown symbols are left out and counted."""
    labels: list[NDArray[np.int32]] = []
    left_out: list[str] = []
    for text in map(normalized, texts):
        if not text:
            continue
        try:
            labels.append(np.array(tokenizer.encode(text), np.int32))
        except UserError as error:
            left_out.append(str(error))
    if left_out:
        log.warning("%s: %d sentences are left out: %s", where, len(left_out), left_out[0])
    sizes = np.array([0] + [len(label) for label in labels], np.int64)
    joined = np.concatenate(labels) if labels else np.zeros(0, np.int32)
    return Sentences(joined, np.cumsum(sizes))


def _kept_sentences(file: Path) -> Sentences | None:
    """Returns the labels stored in a file; None if it is damaged, to compute them again."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            labels, ends = arrays["labels"], arrays["ends"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("%s is damaged (%s) and written again", file, error)
        return None
    whole = labels.ndim == ends.ndim == 1 and len(ends) > 0 and ends[0] == 0
    if whole and ends[-1] == len(labels) and bool((np.diff(ends) >= 0).all()):
        return Sentences(labels, ends)
    log.warning("%s is damaged and written again", file)
    return None


def _encoded_file(path: Path, kept: Path, tokenizer: Tokenizer) -> Sentences:
    if not path.is_file():
        raise UserError(f"there is no text file {path}; see data.files")
    state = path.stat()
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {tokenizer.vocabulary.symbols}"
    key += " normalized"  # not so in older versions
    file = kept / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"
    known = _kept_sentences(file) if file.is_file() else None
    if known is not None:
        return known
    found = encode_all(read_lines(path), tokenizer, str(path))
    with replaced(file) as partial:
        np.savez(partial, labels=found.labels, ends=found.ends)
    return found
