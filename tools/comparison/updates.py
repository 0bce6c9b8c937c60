"""Two updates of a spec's model on synthetic utterances, with weights derived from their names."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.experiment import Experiment
from asrkit.models.asr_model import AsrModel
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.job import Job

UTTERANCES, LABELS, RATE = 8, 12, 16000


class Repeated:
    """A source that repeats one batch, for training and dev."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def num_batches(self, epoch: int) -> int:
        """Returns the length of a long epoch."""
        return 1000

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batch."""
        while True:
            yield self.batch


def two_updates(experiment: Experiment, old_name: Callable[[str], str]) -> dict[str, Any]:
    """Returns what two updates compute, and what they start from.

    Args:
        experiment: Of a checked spec.
        old_name: Returns the name for deriving and recording a parameter.
    """
    torch.manual_seed(experiment.seed)
    model = experiment.model(vocabulary=Vocabulary([f"l{i}" for i in range(LABELS)]))
    initial = {old_name(n): _facts(p) for n, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _set_by_name(parameter, old_name(name))
    batch = _batch(experiment, model)
    source = Repeated(batch)
    updates = []
    with tempfile.TemporaryDirectory() as run:
        trainer = experiment.training(model=model, job=Job(source, source, Path(run), seed=1))
        model.train()
        for _ in range(2):
            sums, norm = trainer.train_step([batch])
            updates.append({"norm": norm, **sums.values()})
    after = {old_name(n): _facts(p) for n, p in model.named_parameters()}
    return {"initial": initial, "updates": updates, "after": after}


def _set_by_name(parameter: nn.Parameter, name: str) -> None:
    """Draws weights seeded by their name; vectors stay near their values, as gains must near 1."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(parameter.shape, generator=random)
    if parameter.dim() > 1:
        parameter.copy_(noise * (2.0 / sum(parameter.shape[:2])) ** 0.5)
    else:
        constant = 1.0 if float(parameter.mean()) > 0.5 else 0.0
        parameter.copy_(constant + 0.01 * noise)


def _facts(parameter: Tensor) -> list[Any]:
    """Returns shape, sum, and sum of squares, which change if any number does."""
    wide = parameter.detach().double()
    return [list(parameter.shape), float(wide.sum()), float((wide * wide).sum())]


def _batch(experiment: Experiment, model: nn.Module) -> Batch:
    random = torch.Generator().manual_seed(1)
    rate = experiment.data.sample_rate or RATE
    lengths = torch.tensor([rate + 400 * i for i in range(UTTERANCES)])
    signal = torch.randn(UTTERANCES, int(lengths.max()), generator=random).cumsum(1).remainder(7.0)
    signal = (1000 * (signal - 3.5)).to(torch.int16)
    batch = Batch(
        ids=[f"u{i}" for i in range(UTTERANCES)],
        signal=signal,
        signal_lengths=lengths,
        labels=torch.randint(0, LABELS, (UTTERANCES, 4), generator=random),
        label_lengths=torch.tensor([2 + i % 3 for i in range(UTTERANCES)]),
    )
    if isinstance(model, AsrModel) and model.given_targets:
        return replace(batch, alignment=_alignment(batch, model.output_frames(lengths)))
    return batch


def _alignment(batch: Batch, frames: Tensor) -> Tensor:
    """Returns frame symbols (B, T): equally spaced labels, with blank between them."""
    alignment = torch.full((len(frames), int(frames.max())), LABELS)
    for row, (count, size) in enumerate(zip(batch.label_lengths, frames, strict=True)):
        places = torch.linspace(1, int(size) - 2, int(count)).long()
        alignment[row, places] = batch.labels[row, : int(count)]
        alignment[row, int(size) :] = -1
    return alignment
