"""Learning rates as functions of the step.

Steps and epochs count from 1: step 1 is the first update. The end of a schedule and its warm-up can
be given in steps or as shares of the whole training: `over` turns shares into steps once the number
of updates is known.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from asrkit.bounds import refuse_below
from asrkit.config.registry import Registry


class Schedule(ABC):
    """The learning rate of every update."""

    needs_dev: ClassVar[bool] = False

    @abstractmethod
    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update in an epoch."""

    @property
    def needs_updates(self) -> bool:
        """Whether it needs the number of updates of the training run, by `over`."""
        return False

    @property
    def end(self) -> int | None:
        """The update after which it no longer changes, if it has one."""
        return None

    def over(self, updates: int) -> Schedule:
        """Returns the schedule for a number of updates: shares become steps."""
        return self

    def observe(self, epoch: int, dev: float) -> None:  # noqa: B027 - most need not
        """Gets the dev objective after an epoch; only Newbob uses it."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of a schedule that depends on dev objectives."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most need not
        """Restores what `state_dict` gave."""


schedules: Registry[Schedule] = Registry("schedule", Schedule)


def share_of(share: float, updates: int) -> int:
    """Returns a share of the updates as a number of them, at least one."""
    return max(round(share * updates), 1)


def _known(steps: int | None) -> int:
    """Returns a number of steps after `over` has converted shares."""
    assert steps is not None, "call `over` of a schedule with shares first"
    return steps


def _refuse_share(name: str, steps: int | None, share: float | None) -> None:
    """Refuses a length that is given twice or not at all, or is not a share.

    Raises:
        ValueError: If it is.
    """
    if (steps is None) == (share is None):
        raise ValueError(f"give {name}_steps, or {name} as a share of the training, such as 0.05")
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"{name} ({share}) is a share of the training, from 0 to 1")


@schedules.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate.

    Args:
        value: The learning rate.
    """

    value: float

    def __post_init__(self) -> None:
        refuse_below(0, value=self.value)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value."""
        return self.value


@schedules.register("noam")
@dataclass(frozen=True)
class Noam(Schedule):
    """Rises linearly to a peak, then falls with the inverse square root of the step.

    Args:
        peak: Highest learning rate, reached at the end of the warm-up.
        warmup_steps: Updates until the peak.
        warmup: The same as a share of the whole training, instead.

    Raises:
        ValueError: If a number is below its least, or the warm-up is not given once.

    Source: Vaswani et al. 2017, equation 3, scaled to the peak.
    """

    peak: float
    warmup_steps: int | None = None
    warmup: float | None = None

    def __post_init__(self) -> None:
        refuse_below(0, peak=self.peak)
        _refuse_share("warmup", self.warmup_steps, self.warmup)
        if self.warmup_steps is not None:
            refuse_below(1, warmup_steps=self.warmup_steps)

    @property
    def needs_updates(self) -> bool:
        """Whether the warm-up is a share."""
        return self.warmup_steps is None

    def over(self, updates: int) -> Noam:
        """Returns the schedule with its warm-up in steps."""
        if self.warmup is None:
            return self
        return replace(self, warmup=None, warmup_steps=share_of(self.warmup, updates))

    def lr(self, step: int, epoch: int) -> float:
        """Returns peak · min(step / warm-up, sqrt(warm-up / step))."""
        warmup = _known(self.warmup_steps)
        return self.peak * min(step / warmup, math.sqrt(warmup / step))


@schedules.register("warmup_inverse_sqrt")
@dataclass(frozen=True)
class WarmupInverseSqrt(Schedule):
    """Rises linearly, then falls as (1 + steps since / norm)^-0.5.

    Args:
        peak: Highest learning rate.
        warmup_steps: Updates until the peak.
        norm: How slowly it falls; with norm = warm-up it is like Noam.
    """

    peak: float
    warmup_steps: int
    norm: int

    def __post_init__(self) -> None:
        refuse_below(0, peak=self.peak, warmup_steps=self.warmup_steps)
        refuse_below(1, norm=self.norm)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        return self.peak / math.sqrt(1 + (step - self.warmup_steps) / self.norm)


@schedules.register("piecewise_linear")
@dataclass(frozen=True)
class PiecewiseLinear(Schedule):
    """Piecewise linear between points; constant outside.

    Args:
        points: Pairs of a position and the learning rate there, ascending.
        by: Unit of positions: steps, epochs, or shares of the whole training.

    Raises:
        ValueError: If there is no point, or positions do not ascend.
    """

    points: list[tuple[float, float]]
    by: Literal["step", "epoch", "share"] = "step"

    def __post_init__(self) -> None:
        places = [place for place, _ in self.points]
        if len(places) < 1 or places != sorted(places):
            raise ValueError(f"points {self.points} must be at least one, with ascending steps")
        if self.by == "share" and not 0 <= places[0] <= places[-1] <= 1:
            raise ValueError(f"points {self.points} must be at shares from 0 to 1")

    @property
    def needs_updates(self) -> bool:
        """Whether places are shares."""
        return self.by == "share"

    @property
    def end(self) -> int | None:
        """The last point, if places are steps."""
        return round(self.points[-1][0]) if self.by == "step" else None

    def over(self, updates: int) -> PiecewiseLinear:
        """Returns the schedule with places in steps."""
        if self.by != "share":
            return self
        return PiecewiseLinear([(share * updates, rate) for share, rate in self.points])

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value on the line between the neighbouring points."""
        place = epoch if self.by == "epoch" else step
        before = [p for p in self.points if p[0] <= place]
        after = [p for p in self.points if p[0] > place]
        if not before or not after:
            return (before or after)[-1 if before else 0][1]
        (x0, y0), (x1, y1) = before[-1], after[0]
        return y0 + (y1 - y0) * (place - x0) / (x1 - x0)


@schedules.register("one_cycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """One cycle: rises linearly, falls linearly, then falls to almost zero.

    Args:
        peak: Highest learning rate.
        total_steps: Updates until the end; those of the whole training where null.
        rise: Share of the updates until the peak.
        fall: Share of the updates back to the start value.
        start_factor: Initial value divided by the peak.
        end_factor: Final value divided by the peak.

    Raises:
        ValueError: If a number is below its least, or the shares are above 1 together.
    """

    peak: float
    total_steps: int | None = None
    rise: float = 0.45
    fall: float = 0.45
    start_factor: float = 0.1
    end_factor: float = 0.001

    def __post_init__(self) -> None:
        refuse_below(0, peak=self.peak, rise=self.rise, fall=self.fall)
        if self.total_steps is not None:
            refuse_below(1, total_steps=self.total_steps)
        if self.rise + self.fall > 1:
            raise ValueError(f"rise ({self.rise}) and fall ({self.fall}) must add up to 1 at most")

    @property
    def needs_updates(self) -> bool:
        """Whether it ends with the training."""
        return self.total_steps is None

    @property
    def end(self) -> int | None:
        """The end, if it is given in steps."""
        return self.total_steps

    def over(self, updates: int) -> OneCycle:
        """Returns the schedule with its end in steps."""
        return replace(self, total_steps=self.total_steps or updates)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        total, low = _known(self.total_steps), self.peak * self.start_factor
        top, bottom = self.rise * total, (self.rise + self.fall) * total
        points = [(0, low), (top, self.peak), (bottom, low), (total, self.peak * self.end_factor)]
        return PiecewiseLinear(points).lr(step, epoch)


@schedules.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Rises linearly to a peak, then falls as half a cosine.

    Args:
        peak: Highest learning rate.
        warmup_steps: Updates until the peak.
        total_steps: Updates until the floor; those of the whole training where null.
        floor: Last learning rate.
        warmup: The warm-up as a share of the whole training, instead of steps.

    Raises:
        ValueError: If a number is below its least, or the warm-up is not given once.
    """

    peak: float
    warmup_steps: int | None = None
    total_steps: int | None = None
    floor: float = 0.0
    warmup: float | None = None

    def __post_init__(self) -> None:
        refuse_below(0, peak=self.peak, floor=self.floor)
        _refuse_share("warmup", self.warmup_steps, self.warmup)
        if self.warmup_steps is not None:
            refuse_below(0, warmup_steps=self.warmup_steps)
        if self.total_steps is not None:
            refuse_below(1, total_steps=self.total_steps)

    @property
    def needs_updates(self) -> bool:
        """Whether a length is a share of the training."""
        return self.warmup_steps is None or self.total_steps is None

    @property
    def end(self) -> int | None:
        """The end, if it is given in steps."""
        return self.total_steps

    def over(self, updates: int) -> Cosine:
        """Returns the schedule with its lengths in steps."""
        steps = self.warmup_steps
        if self.warmup is not None:
            steps = share_of(self.warmup, updates)
        total = self.total_steps or updates
        return replace(self, warmup=None, warmup_steps=steps, total_steps=total)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        warmup, total = _known(self.warmup_steps), _known(self.total_steps)
        if step <= warmup:
            return self.peak * step / warmup
        share = (step - warmup) / max(total - warmup, 1)
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * min(share, 1))) / 2
