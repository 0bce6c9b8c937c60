"""The gradient of one update: batch by batch, in halves where memory runs out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from asrkit.bounds import refuse_below, refuse_not_above
from asrkit.config.ordered import Ordered
from asrkit.cpu import affordable
from asrkit.data.batch import Batch
from asrkit.models.interfaces import LossReport
from asrkit.nn.applied import Applied
from asrkit.training.decay import count_decay
from asrkit.training.distributed import World
from asrkit.training.exchange import Exchange, GradientAverage
from asrkit.training.loss_scale import LossScale, Scaler
from asrkit.training.noise import GradientNoise, WeightChange, changed_weights
from asrkit.training.normalization import By, Normalization, Over
from asrkit.training.planning import Accumulation
from asrkit.training.short_memory import ShortMemory

log = logging.getLogger(__name__)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Done = list[tuple[Batch, LossReport]]
"""The parts computed for an update, with their losses."""


@dataclass(frozen=True)
class Update:
    """How an update is made of batches, and when there are too many without a finite number.

    Args:
        accumulate: Batches per update and process; or pairs of a first epoch and their number from
            there on, such as [[1, 3], [20, 1]].
        max_grad_norm: Longer gradients are clipped to this global norm.
        precision: Of the forward pass; fp32 on CPUs without instructions for the given one.
            Weights are always fp32. With fp16 there must be a `loss_scale`.
        loss_scale: Scaling of the loss, if set, so that small gradients are not rounded to 0.
        normalize: What summed losses are divided by: labels (without end of sentence), utterances,
            nothing, or each part of the loss by what it counts, such as labels with end of
            sentence (`parts`, over batches only).
        normalize_over: What is counted for that: all batches of an update and all processes; or
            each batch for itself, and of these means an update takes the mean or the sum.
        weight_changes: Noise on weights, and weight dropout, by name, in order.
        gradient_noise: Added to gradients before they are clipped, if set.
        max_nonfinite: Stop after this many updates in a row without a finite loss and gradient.
        exchange: How the processes started by torchrun are synchronised.

    Raises:
        ValueError: If a number is too small, or epochs of `accumulate` do not ascend from 1.
    """

    accumulate: int | list[tuple[int, int]] = 1
    max_grad_norm: float = 5.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    loss_scale: LossScale | None = None
    normalize: By = "labels"
    normalize_over: Over = "update"
    weight_changes: Ordered[WeightChange] = field(default_factory=Ordered)
    gradient_noise: GradientNoise | None = None
    max_nonfinite: int = 10
    exchange: Exchange = field(default_factory=GradientAverage)

    def __post_init__(self) -> None:
        refuse_not_above(0, max_grad_norm=self.max_grad_norm)
        refuse_below(1, max_nonfinite=self.max_nonfinite)
        if self.precision == "fp16" and self.loss_scale is None:
            raise ValueError(
                "precision: fp16 needs a loss_scale, or small gradients would be rounded to 0: "
                "expected loss_scale: {}, or precision: bf16"
            )
        Normalization(self.normalize, self.normalize_over)  # refuses what can't be
        starts = [start for start, _ in self.accumulation]
        least = min((number for _, number in self.accumulation), default=0)
        if starts[:1] != [1] or starts != sorted(set(starts)) or least < 1:
            raise ValueError(
                f"accumulate ({self.accumulate}) must be a positive number, or pairs of ascending "
                "epochs, the first of them 1, and positive numbers"
            )

    @property
    def accumulation(self) -> Accumulation:
        """Pairs of a first epoch and the batches per update and process from there on."""
        given = self.accumulate
        return [(1, given)] if isinstance(given, int) else list(given)

    def batches(self, epoch: int) -> int:
        """Returns the batches per update and process in an epoch."""
        return next(n for start, n in reversed(self.accumulation) if start <= epoch)


class Gradients:
    """Adds up the gradients of updates.

    Args:
        world: All processes.
        seed: Of all randomness.
        settings: How an update is made.
        decoupled: Whether the optimiser's weight decay is, for counting what it does.
    """

    def __init__(self, world: World, seed: int, settings: Update, decoupled: bool = False) -> None:
        self.decoupled = decoupled
        self.world, self.seed, self.settings = world, seed, settings
        self.exchange = settings.exchange
        self.dtype = affordable(DTYPES[settings.precision], world.device)
        self.memory = ShortMemory(
            "training", "lower data.limits.max_seconds or the size of the model"
        )
        self.applied = Applied()
        self.scaler = Scaler(settings.loss_scale)
        self.normalization = Normalization(settings.normalize, settings.normalize_over)

    def make(
        self, model: nn.Module, optimizer: Optimizer, batches: Sequence[Batch], step: int
    ) -> tuple[Done, float]:
        """Gives a model the gradient of an update, with noise and clipped; see `add`.

        Returns:
            What was calculated, with its losses, and the norm of the gradient before it is clipped.
        """
        settings = self.settings
        changes, seed = settings.weight_changes, self.step_seed(step, 0)
        with changed_weights(model, changes, seed, self.applied):
            done = self.add(model, optimizer, batches, step)
        self.scaler.unscale(model)
        if settings.gradient_noise is not None:
            seed = self.step_seed(step, 1)
            settings.gradient_noise.add(model, step + 1, seed, self.applied)
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm))
        self.applied.count("clipped", float(norm > settings.max_grad_norm), 1.0)
        if math.isfinite(norm):
            count_decay(optimizer, self.decoupled, self.applied)
        return done, norm

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
        pieces, count = list(enumerate(batches)), self.normalization.count
        factor = self.exchange.factor(count(pieces), self.world)
        done = self._add_all(model, pieces, step, factor)
        right = self.exchange.factor(count(pieces), self.world)
        if right != factor:  # utterances were left out
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(right / factor)
        self.exchange.share(model, optimizer, self.world)
        return done

    def _add_all(
        self, model: nn.Module, pieces: list[tuple[int, Batch]], step: int, factor: float
    ) -> Done:
        """Adds up the gradients of batches.

        If memory runs out, some parameters may already have a batch's gradient, so the update
        starts again, with that batch in halves, or without it if it is one utterance: `pieces`
        becomes what was calculated.
        """
        done: Done = []
        while len(done) < len(pieces):
            number, batch = pieces[len(done)]
            if not done or number != pieces[len(done) - 1][0]:  # halves draw one after the other
                torch.manual_seed(self._mixed_seed(step, number))
            parts = [part for other, part in pieces if other == number]
            report = self._backward(model, batch, parts, step, factor)
            if report is not None:
                done.append((batch, report))
                continue
            model.zero_grad(set_to_none=True)
            smaller = [(number, part) for part in self.memory.smaller(batch)]
            pieces[len(done) : len(done) + 1] = smaller
            done = []
        return done

    def _backward(
        self, model: nn.Module, batch: Batch, whole: Sequence[Batch], step: int, factor: float
    ) -> LossReport | None:
        """Adds the gradient of a part of a whole batch; returns None if memory runs out."""
        try:
            with self.autocast():
                report: LossReport = model(batch.to(self.world.device), step)
            objective = self.normalization.objective(report, batch, whole) * factor
            if torch.isfinite(objective):
                (objective * self.scaler.scale).backward()
            return {name: _detached(part) for name, part in report.items()}
        except torch.cuda.OutOfMemoryError:
            return None

    def autocast(self) -> Any:
        """Returns the context of a forward pass."""
        half = self.dtype != torch.float32
        kind = self.dtype if half else torch.bfloat16
        return torch.autocast(self.world.device.type, kind, enabled=half)

    def _mixed_seed(self, step: int, number: int) -> int:
        """Returns the seed of a micro-batch, numbered over all processes as one process would."""
        overall = number * self.world.size + self.world.rank
        return ((self.seed * 1_000_003 + step) * 65_537 + overall) % (2**63)

    def step_seed(self, step: int, purpose: int) -> int:
        """Returns a seed of a step, the same in all processes and not that of a micro-batch."""
        return ((self.seed * 1_000_003 + step) * 65_537 + 65_536 - purpose) % (2**63)


def all_finite(norm: float, objective: float, world: World) -> tuple[bool, bool]:
    """Returns whether gradient and loss are finite in all processes, and the loss alone."""
    loss = math.isfinite(objective)
    own = torch.tensor([float(loss and math.isfinite(norm)), float(loss)])
    both, losses = world.sum(own).tolist()
    return both == world.size, losses == world.size


def warn_of_nonfinite(done: Done, step: int, norm: float) -> None:
    """Logs the utterances of an update without a finite loss or gradient: those with such a loss.

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
