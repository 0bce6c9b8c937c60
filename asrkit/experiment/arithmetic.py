"""The arithmetic that decides whether a training can work: updates, amounts, and learning rates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrkit.config.factories import CheckedFactory
from asrkit.config.problems import Problem, SpecError
from asrkit.data.amounts import Amounts, mean_amounts
from asrkit.data.dataset import CutData
from asrkit.data.text import TextData
from asrkit.experiment.phases import phase_ends
from asrkit.experiment.spec import Experiment
from asrkit.training.planning import SAMPLED, Accumulation, count_updates
from asrkit.training.schedules import Schedule
from asrkit.training.sources import EpochSource
from asrkit.training.trainer import Trainer
from asrkit.training.updates import Update

log = logging.getLogger(__name__)

POINTS = 1000
"""Number of learning rates that are checked."""
FAR_BEYOND = 4
"""A schedule that plans this many times the number of updates is a mistake."""


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
        in_phases: Updates of all phases, if these last updates.
    """

    epochs: int
    sub_epochs: int
    accumulate: Accumulation
    amounts: Amounts
    schedule: Schedule
    processes: int = 1
    in_phases: int = 0

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

    def problems(self) -> Iterator[Problem]:
        """Yields why a training can't work as it is planned."""
        yield from self.too_few_batches()
        yield from self.long_phases()
        yield from self.odd_rates()

    def too_few_batches(self) -> Iterator[Problem]:
        """Yields where an update needs more batches than an epoch has."""
        batches = self.amounts.batches
        for start, number in self.accumulate:
            if number * self.processes > batches and start <= self.epochs:
                most = int(batches // self.processes)
                expected = f"{most} at most" if most else "fewer processes"
                yield Problem(
                    "training.update.accumulate",
                    f"an update is of {number} batches of each process, an epoch has {batches:.0f} "
                    f"of all: expected {expected}, or smaller batches",
                )

    def long_phases(self) -> Iterator[Problem]:
        """Yields where phases leave nothing for what follows them."""
        if 0 < self.updates <= self.in_phases:
            yield Problem(
                "phases",
                f"they last {self.in_phases} updates, and the training is of {self.updates}: some "
                "must be left for the whole model; expected shorter phases, or more epochs",
            )

    def odd_rates(self) -> Iterator[Problem]:
        """Yields where learning rates are those of another, longer training."""
        step, rate = self._peak
        if step == self.updates and rate > 1.001 * self._rates[0][1]:
            yield Problem(
                "training.schedule",
                "the learning rate still rises when the training ends after "
                f"{self.updates} updates: its peak is never reached; shorten the warm-up (`warmup` "
                "is a share of the training), or train longer",
            )
        end = self.schedule.end
        if end is not None and end > FAR_BEYOND * self.updates:
            yield Problem(
                "training.schedule",
                f"planned for {end} updates, the training makes {self.updates}: "
                "leave total_steps out, so that it ends with the training, or give that number",
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
    return _planned(experiment, source.amounts, processes)


def refuse_impossible(
    experiment: Experiment, source: EpochSource, processes: int, whole: bool
) -> None:
    """Makes sure that each update of a training can have its batches; warns of odd learning rates.

    Args:
        experiment: Of a checked spec.
        source: Training data of the first process.
        processes: How many train together.
        whole: Whether this is all of the training, not a phase of it.

    Raises:
        SpecError: If an epoch has fewer batches than an update needs.
    """

    def amounts(epoch: int) -> Amounts:
        return Amounts(source.num_batches(epoch) * processes, utterances=0, labels=0)

    found = _planned(experiment, amounts, processes)
    if found is None:
        return
    problems = list(found.too_few_batches())
    if problems:
        raise SpecError(problems)
    for problem in found.odd_rates() if whole else ():
        log.warning("%s", problem)


def _planned(
    experiment: Experiment, amounts: Callable[[int], Amounts], processes: int
) -> Arithmetic | None:
    factory = experiment.training
    if not isinstance(factory, CheckedFactory) or factory.target is not Trainer:
        return None
    settings: dict[str, Any] = factory.given_to(dict)()
    epochs = settings["epochs"]
    return Arithmetic(
        epochs,
        experiment.data.sub_epochs,
        settings.get("update", Update()).accumulation,
        mean_amounts([amounts(n) for n in range(1, min(epochs, SAMPLED) + 1)]),
        settings["schedule"],
        processes,
        max((end for end in phase_ends(experiment.phases) if end is not None), default=0),
    )
