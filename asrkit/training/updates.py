"""The gradient of one update: batch by batch, in halves where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossReport
from asrkit.training.distributed import World
from asrkit.training.exchange import Exchange
from asrkit.training.short_memory import ShortMemory

log = logging.getLogger(__name__)
Done = list[tuple[Batch, LossReport]]
"""The parts computed for an update, with their losses."""


class Gradients:
    """Adds up the gradients of updates.

    Args:
        world: All processes.
        exchange: How they stay together.
        seed: Of all randomness.
        precision: Of the forward pass.
        normalize: What the summed loss of an update is divided by.
    """

    def __init__(
        self,
        world: World,
        exchange: Exchange,
        seed: int,
        precision: Literal["fp32", "bf16"],
        normalize: Literal["labels", "utterances", "sum"],
    ) -> None:
        self.world, self.exchange, self.seed = world, exchange, seed
        self.precision, self.normalize = precision, normalize
        self.memory = ShortMemory("training")

    def add(
        self, model: nn.Module, optimizer: Optimizer, batches: Sequence[Batch], step: int
    ) -> Done:
        """Gives a model the gradient of an update.

        Args:
            model: All its gradients are empty.
            optimizer: Of this model.
            batches: Those of this process; there may be none.
            step: How many updates were made before.

        Returns:
            What was calculated, with its losses.

        Raises:
            UserError: If too many utterances need more memory than there is.
        """
        factor = self.exchange.factor(self._count(batches), self.world)
        done = self._add_all(model, batches, step, factor)
        right = self.exchange.factor(self._count([batch for batch, _ in done]), self.world)
        if right != factor:  # utterances were left out
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(right / factor)
        self.exchange.share(model, optimizer, self.world)
        return done

    def _add_all(
        self, model: nn.Module, batches: Sequence[Batch], step: int, factor: float
    ) -> Done:
        """Adds up the gradients of batches.

        If memory runs out, some parameters may already have a batch's gradient, so the update
        starts again, with that batch in halves, or without it if it is one utterance.
        """
        pieces = list(enumerate(batches))
        done: Done = []
        while len(done) < len(pieces):
            number, batch = pieces[len(done)]
            if not done or number != pieces[len(done) - 1][0]:  # halves draw one after the other
                torch.manual_seed(self._mixed_seed(step, number))
            report = self._backward(model, batch, step, factor)
            if report is not None:
                done.append((batch, report))
                continue
            model.zero_grad(set_to_none=True)
            smaller = [(number, part) for part in self.memory.smaller(batch)]
            pieces[len(done) : len(done) + 1] = smaller
            done = []
        return done

    def _backward(
        self, model: nn.Module, batch: Batch, step: int, factor: float
    ) -> LossReport | None:
        """Adds the gradient of a batch; returns None if memory runs out."""
        try:
            with self.autocast():
                report: LossReport = model(batch.to(self.world.device), step)
            parts = [part.weight * part.total for part in report.values() if part.weight]
            objective = torch.stack(parts).sum() * factor
            if torch.isfinite(objective):
                objective.backward()
            return {name: _detached(part) for name, part in report.items()}
        except torch.cuda.OutOfMemoryError:
            return None

    def autocast(self) -> Any:
        """Returns the context of a forward pass."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=enabled)

    def _count(self, batches: Sequence[Batch]) -> Tensor | None:
        """Returns () what the loss of the update is divided by, None for nothing."""
        if self.normalize == "sum":
            return None
        labels = sum(int(batch.label_lengths.sum()) for batch in batches)
        count = labels if self.normalize == "labels" else sum(len(batch) for batch in batches)
        return torch.tensor(float(count))

    def _mixed_seed(self, step: int, number: int) -> int:
        """Returns the seed of a micro-batch, numbered over all processes as one process would."""
        overall = number * self.world.size + self.world.rank
        return ((self.seed * 1_000_003 + step) * 65_537 + overall) % (2**63)

    def step_seed(self, step: int, purpose: int) -> int:
        """Returns a seed of a step, the same in all processes and not that of a micro-batch."""
        return ((self.seed * 1_000_003 + step) * 65_537 + 65_536 - purpose) % (2**63)


def warn_of_nonfinite(done: Done, step: int, norm: float) -> None:
    """Names the utterances of an update that gave no finite number: those whose own loss is none.

    Args:
        done: What was calculated.
        step: Number of the update.
        norm: Of its gradient.
    """
    culprits = sorted({i for batch, report in done for i in _culprits(batch, report)})
    log.warning(
        "step %d: the loss or its gradient is not finite (norm %g); skipped; utterances: %s",
        step,
        norm,
        ", ".join(culprits or [i for batch, _ in done for i in batch.ids]),
    )


def _culprits(batch: Batch, report: LossReport) -> Iterator[str]:
    for part in report.values():
        losses: Tensor | None = part.per_utterance
        if losses is not None and len(losses) == len(batch):
            bad = (~torch.isfinite(losses)).tolist()
            yield from (name for name, wrong in zip(batch.ids, bad, strict=True) if wrong)


def _detached(part: Any) -> Any:
    return type(part)(part.total.detach(), part.count, part.weight, part.per_utterance)
