"""The arithmetic that decides whether a training can work: updates, amounts, and learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrkit.config.factories import CheckedFactory
from asrkit.data.amounts import Amounts, mean_amounts
from asrkit.data.dataset import CutData
from asrkit.data.text import TextData
from asrkit.experiment.spec import Experiment
from asrkit.training.planning import SAMPLED, Accumulation, count_updates
from asrkit.training.refusals import accumulation
from asrkit.training.schedules import Schedule
from asrkit.training.trainer import Trainer

POINTS = 1000
"""So many learning rates are looked at."""
FAR_BEYOND = 4
"""A schedule that plans so many times the updates that there are is a mistake."""


@dataclass(frozen=True)
class Arithmetic:
    """What a training will be.

    Args:
        epochs: (Sub-)epochs.
        sub_epochs: Of one pass over the data.
        accumulate: Batches per update and process.
        amounts: Of one (sub-)epoch, on average.
        schedule: Learning rates.
        processes: How many train together.
    """

    epochs: int
    sub_epochs: int
    accumulate: Accumulation
    amounts: Amounts
    schedule: Schedule
    processes: int = 1

    @property
    def updates(self) -> int:
        """All updates."""
        batches = self.amounts.batches
        return count_updates(batches, self.accumulate, self.epochs, processes=self.processes)

    def lines(self) -> list[str]:
        """Returns the report for the console."""
        share = self.epochs / max(self.updates, 1)  # of an epoch, in each update
        amounts = self.amounts
        per_update = [f"{amounts.labels * share:.0f} labels"]
        if amounts.seconds:
            per_update.insert(0, f"{amounts.seconds * share:.0f} s of audio")
        several = f" over {self.processes} processes" if self.processes > 1 else ""
        return [
            f"training: {self.updates} updates of {' and '.join(per_update)}{several}, each "
            f"utterance {self.epochs / self.sub_epochs:.4g} times",
            f"learning rate: {self._peak_text()}; {self._rates[-1][1]:.3g} at the end",
        ]

    def problems(self) -> Iterator[str]:
        """Yields why a training can't work as it is planned."""
        batches = self.amounts.batches
        for start, number in self.accumulate:
            if number * self.processes > batches and start <= self.epochs:
                yield (
                    f"training.accumulate: an update is of {number} batches of each process, an "
                    f"epoch has {batches:.0f} of all: lower it, or data.batch_seconds"
                )
        step, rate = self._peak
        if step == self.updates and rate > 1.001 * self._rates[0][1]:
            yield (
                f"training.schedule: the learning rate still rises when the training ends after "
                f"{self.updates} updates: its peak is never reached; shorten the warm-up (`warmup` "
                "is a share of the training), or train longer"
            )
        end = self.schedule.end
        if end is not None and end > FAR_BEYOND * self.updates:
            yield (
                f"training.schedule: planned for {end} updates, the training makes {self.updates}: "
                "leave total_steps out, so that it ends with the training, or give that number"
            )

    @cached_property
    def _rates(self) -> list[tuple[int, float]]:
        """Some updates, the first and the last among them, and their learning rates."""
        schedule, last = self.schedule.over(self.updates), self.updates
        steps = sorted({max(-(-last * n // POINTS), 1) for n in range(POINTS + 1)})
        return [(step, schedule.lr(step, -(-step * self.epochs // last))) for step in steps]

    @property
    def _peak(self) -> tuple[int, float]:
        """The first update with the highest learning rate."""
        return max(self._rates, key=lambda pair: (pair[1], -pair[0]))

    def _peak_text(self) -> str:
        step, rate = self._peak
        if step == 1:
            return f"{rate:.3g} at the start"
        return f"highest, {rate:.3g}, after {100 * step / self.updates:.1f} % of the training"


def arithmetic_of(
    experiment: Experiment, source: CutData | TextData, processes: int
) -> Arithmetic | None:
    """Returns the arithmetic of an experiment; None if another trainer than asrkit's trains it.

    Args:
        experiment: Of a checked spec.
        source: All its training data, for one process.
        processes: How many will train together.
    """
    factory = experiment.training
    if not isinstance(factory, CheckedFactory) or factory.target is not Trainer:
        return None
    settings: dict[str, Any] = factory.given_to(dict)()
    epochs = settings["epochs"]
    return Arithmetic(
        epochs,
        experiment.data.sub_epochs,
        accumulation(settings.get("accumulate", 1)),
        mean_amounts([source.amounts(n) for n in range(1, min(epochs, SAMPLED) + 1)]),
        settings["schedule"],
        processes,
    )
