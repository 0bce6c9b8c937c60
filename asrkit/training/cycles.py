"""Learning rates that rise and fall again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from asrkit.bounds import refuse_below
from asrkit.training.schedules import Schedule, schedules


@schedules.register("cosine_cycles")
@dataclass(frozen=True)
class CosineCycles(Schedule):
    """Another schedule, times a cosine of the step that begins at 1 and never ends.

    Args:
        schedule: What is multiplied, such as a constant rate.
        period: Updates from one highest factor to the next.
        low: The lowest factor, half a period after the highest one.

    Raises:
        ValueError: If the period is below 2, or the factor is not from 0 to 1.

    Source: `lrcos` of rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf, with period
        10000 and low 0.0001.
    """

    schedule: Schedule
    period: int
    low: float = 0.0

    def __post_init__(self) -> None:
        refuse_below(2, period=self.period)
        refuse_below(0, low=self.low)
        if self.low > 1:
            raise ValueError(f"low ({self.low}) must be at most 1, the highest factor")

    @property
    def needs_dev(self) -> bool:  # type: ignore[override]
        """Whether the other schedule depends on dev objectives."""
        return self.schedule.needs_dev

    @property
    def needs_updates(self) -> bool:
        """Whether the other schedule has shares."""
        return self.schedule.needs_updates

    @property
    def end(self) -> int | None:
        """The end of the other schedule, if it is given in steps."""
        return self.schedule.end

    def over(self, updates: int) -> CosineCycles:
        """Returns the schedule with its lengths in steps."""
        return replace(self, schedule=self.schedule.over(updates))

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        wave = (1 + math.cos(2 * math.pi * step / self.period)) / 2
        return self.schedule.lr(step, epoch) * (self.low + (1 - self.low) * wave)

    def observe(self, epoch: int, dev: float) -> None:
        """Hands the dev objective on."""
        self.schedule.observe(epoch, dev)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the other schedule."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the other schedule."""
        self.schedule.load_state_dict(state)
