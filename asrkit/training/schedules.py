"""Learning rates as functions of the step or the epoch.

Steps and epochs count from 1: step 1 is the first update. All schedules but Newbob are pure.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from asrkit.config.registry import Registry


class Schedule(ABC):
    """The learning rate of every update."""

    needs_dev: ClassVar[bool] = False

    @abstractmethod
    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update in an epoch."""

    def observe(self, epoch: int, dev: float) -> None:  # noqa: B027 - most need not
        """Sees the dev objective after an epoch; only Newbob cares."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what an observing schedule has to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most need not
        """Restores what `state_dict` gave."""


schedules: Registry[Schedule] = Registry("schedule", Schedule)


def _refuse_below(least: float, **values: float) -> None:
    """Refuses values below the least, and what is no number.

    Raises:
        ValueError: If there are any; names them all.
    """
    wrong = [f"{name} ({value})" for name, value in values.items() if not value >= least]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must be at least {least:g}")


@schedules.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """Always the same.

    Args:
        value: The learning rate.
    """

    value: float

    def __post_init__(self) -> None:
        _refuse_below(0, value=self.value)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value."""
        return self.value


@schedules.register("noam")
@dataclass(frozen=True)
class Noam(Schedule):
    """Rises linearly to a peak, then falls with the inverse square root of the step.

    Args:
        peak: Highest learning rate, reached at `warmup_steps`.
        warmup_steps: Updates until the peak.

    Source: Vaswani et al. 2017, equation 3, scaled to the peak.
    """

    peak: float
    warmup_steps: int

    def __post_init__(self) -> None:
        _refuse_below(0, peak=self.peak)
        _refuse_below(1, warmup_steps=self.warmup_steps)

    def lr(self, step: int, epoch: int) -> float:
        """Returns peak · min(step / warm-up, sqrt(warm-up / step))."""
        return self.peak * min(step / self.warmup_steps, math.sqrt(self.warmup_steps / step))


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
        _refuse_below(0, peak=self.peak, warmup_steps=self.warmup_steps)
        _refuse_below(1, norm=self.norm)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        return self.peak / math.sqrt(1 + (step - self.warmup_steps) / self.norm)


@schedules.register("piecewise_linear")
@dataclass(frozen=True)
class PiecewiseLinear(Schedule):
    """Straight lines between points; constant outside.

    Args:
        points: Pairs of step (or epoch) and learning rate, ascending.
        by: Whether the points count steps or epochs.
    """

    points: list[tuple[float, float]]
    by: str = "step"

    def __post_init__(self) -> None:
        places = [place for place, _ in self.points]
        if len(places) < 1 or places != sorted(places):
            raise ValueError(f"points {self.points} must be at least one, with ascending steps")
        if self.by not in ("step", "epoch"):
            raise ValueError(f"by ({self.by!r}) must be 'step' or 'epoch'")

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value on the line between the neighbouring points."""
        place = step if self.by == "step" else epoch
        before = [p for p in self.points if p[0] <= place]
        after = [p for p in self.points if p[0] > place]
        if not before or not after:
            return (before or after)[-1 if before else 0][1]
        (x0, y0), (x1, y1) = before[-1], after[0]
        return y0 + (y1 - y0) * (place - x0) / (x1 - x0)


@schedules.register("one_cycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises linearly, falls linearly, then falls to almost nothing.

    Args:
        peak: Highest learning rate.
        total_steps: Updates of the whole training.
        rise: Share of the updates until the peak.
        fall: Share of the updates back to the start value.
        start_factor: Start value over the peak.
        end_factor: Last value over the peak.
    """

    peak: float
    total_steps: int
    rise: float = 0.45
    fall: float = 0.45
    start_factor: float = 0.1
    end_factor: float = 0.001

    def __post_init__(self) -> None:
        _refuse_below(0, peak=self.peak, rise=self.rise, fall=self.fall)
        _refuse_below(1, total_steps=self.total_steps)
        if self.rise + self.fall > 1:
            raise ValueError(f"rise ({self.rise}) and fall ({self.fall}) must add up to 1 at most")

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        total, low = self.total_steps, self.peak * self.start_factor
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
        total_steps: Updates until the floor.
        floor: Last learning rate.
    """

    peak: float
    warmup_steps: int
    total_steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        _refuse_below(0, peak=self.peak, warmup_steps=self.warmup_steps, floor=self.floor)
        _refuse_below(1, total_steps=self.total_steps)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of an update."""
        if step <= self.warmup_steps:
            return self.peak * step / self.warmup_steps
        share = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * min(share, 1))) / 2


@dataclass(frozen=True)
class Ramp:
    """Learning rates of neighbouring epochs, at equal distances.

    Args:
        start: Of its first epoch.
        end: Of its last epoch.
        epochs: How many there are, 2 or more.
        times: How often the ramp follows itself.

    Raises:
        ValueError: If the ramp has no two epochs.
    """

    start: float
    end: float
    epochs: int
    times: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 2:
            raise ValueError(f"a ramp goes over 2 epochs or more, not {self.epochs}")

    def rates(self) -> list[float]:
        """Returns the learning rate of each epoch."""
        step = (self.end - self.start) / (self.epochs - 1)
        inner = [self.start + step * number for number in range(self.epochs - 1)]
        return [*inner, self.end] * self.times


def epoch_rates(values: Sequence[float | Ramp]) -> list[float]:
    """Returns the learning rate of each epoch, ramps written out."""
    return [
        rate for value in values for rate in (value.rates() if isinstance(value, Ramp) else [value])
    ]


@schedules.register("epoch_list")
class EpochList(Schedule):
    """One value per epoch; the last one holds for all later epochs.

    Args:
        values: Learning rates of epoch 1, 2, and so on, or ramps of several epochs.

    Raises:
        ValueError: If there is no value, or one below 0.
    """

    def __init__(self, values: list[float | Ramp]) -> None:
        self.rates = epoch_rates(values)
        if not self.rates or min(self.rates) < 0:
            raise ValueError(f"values {values} must be at least one, and none below 0")

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value of the epoch."""
        return self.rates[min(epoch, len(self.rates)) - 1]


@schedules.register("newbob")
@dataclass
class Newbob(Schedule):
    """Lowers the learning rate when the dev objective does not fall enough any more.

    The relative change between two neighbouring epochs is (new - old) / |new|; divided by the
    learning rate of the newer one over `start`, so that small rates may do less.

    Args:
        start: Learning rate at first, if `first` is empty, and in any case what others are
            compared with.
        first: Learning rates of the first epochs, ramps among them; later ones go on from the last.
        decay: Factor of a lowering.
        threshold: Lowered if the mean relative change is above this (negative is better).
        window: Changes between so many neighbouring epochs are averaged.
        interval: Learning rates change only in epochs 1, 1 + interval, and so on.
        min_epochs: Epochs that a learning rate holds at least.
        floor: Lowest learning rate.
        relative_lr: Whether changes are divided by lr / start.
        divide_by_old: Whether changes are (new - old) / |old| instead.
        growth: Factor where the mean relative change is below `growth_threshold`.
        growth_threshold: See `growth`.

    Source: multi-epoch Newbob of the reference system for transducers.
    """

    needs_dev: ClassVar[bool] = True
    start: float
    first: list[float | Ramp] = field(default_factory=list)
    decay: float = 0.7
    threshold: float = -0.01
    window: int = 6
    interval: int = 1
    min_epochs: int = 3
    floor: float = 0.0
    relative_lr: bool = True
    divide_by_old: bool = False
    growth: float = 1.0
    growth_threshold: float = -0.01
    _first: list[float] = field(default_factory=list, init=False, repr=False)
    _values: list[float] = field(default_factory=list, init=False, repr=False)
    _rates: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        _refuse_below(0, decay=self.decay, floor=self.floor, growth=self.growth)
        _refuse_below(1, window=self.window, interval=self.interval, min_epochs=self.min_epochs)
        if not self.start > 0:
            raise ValueError(f"start ({self.start}) must be above 0")
        self._first = epoch_rates(self.first)

    def lr(self, step: int, epoch: int) -> float:
        """Returns the learning rate of the epoch after the last one that was observed."""
        return self._history()[-1]

    def observe(self, epoch: int, dev: float) -> None:
        """Decides the learning rate of the next epoch."""
        self._values.append(dev)
        seen = len(self._values)
        if seen < len(self._first):
            self._rates.append(self._first[seen])
            return
        rates = self._history()
        recent = rates[-self.min_epochs :]
        held = len(recent) == self.min_epochs and len(set(recent)) == 1
        due = held and seen % self.interval == 0
        self._rates.append(self._next(rates) if due else rates[-1])

    def _history(self) -> list[float]:
        """Returns the learning rates of all epochs, that of the next one included."""
        return [self._first[0] if self._first else self.start, *self._rates]

    def _next(self, rates: list[float]) -> float:
        changes = [
            (new - old)
            / abs(old if self.divide_by_old else new)
            / (rate / self.start if self.relative_lr else 1.0)
            for old, new, rate in zip(self._values, self._values[1:], rates[1:], strict=False)
        ][-self.window :]
        if not changes:
            return rates[-1]
        mean = sum(changes) / len(changes)
        if mean > self.threshold:
            return max(rates[-1] * self.decay, self.floor)
        return rates[-1] * self.growth if mean < self.growth_threshold else rates[-1]

    def state_dict(self) -> dict[str, Any]:
        """Returns the history."""
        return {"values": list(self._values), "rates": list(self._rates)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the history; without one, of another schedule, it begins here."""
        self._values, self._rates = list(state.get("values", [])), list(state.get("rates", []))
