"""Learning rates that change between epochs: lists, and Newbob, which depends on the dev set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from asrkit.bounds import refuse_below
from asrkit.training.schedules import Schedule, schedules


@dataclass(frozen=True)
class Ramp:
    """Learning rates of consecutive epochs, from one to another.

    Args:
        start: Of its first epoch.
        end: Of its last epoch.
        epochs: Number of epochs, 2 or more.
        times: How often the ramp is repeated.
        spacing: What is equal between neighbours: differences, or factors.

    Raises:
        ValueError: If the ramp has fewer than two epochs, or factors lead to or from 0.
    """

    start: float
    end: float
    epochs: int
    times: int = 1
    spacing: Literal["linear", "geometric"] = "linear"

    def __post_init__(self) -> None:
        if self.epochs < 2:
            raise ValueError(f"a ramp goes over 2 epochs or more, not {self.epochs}")
        if self.spacing == "geometric" and not min(self.start, self.end) > 0:
            raise ValueError(
                f"a geometric ramp goes between rates above 0, not from {self.start} to {self.end}"
            )

    def rates(self) -> list[float]:
        """Returns the learning rate of each epoch."""
        numbers = range(self.epochs - 1)
        if self.spacing == "geometric":
            factor = (self.end / self.start) ** (1 / (self.epochs - 1))
            inner = [self.start * factor**number for number in numbers]
        else:
            step = (self.end - self.start) / (self.epochs - 1)
            inner = [self.start + step * number for number in numbers]
        return [*inner, self.end] * self.times


@dataclass(frozen=True)
class Decay:
    """Learning rates of consecutive epochs, each a fixed factor of the one before.

    Args:
        start: Of its first epoch.
        factor: Of each later epoch to the one before.
        epochs: Number of epochs.

    Raises:
        ValueError: If there is no epoch, or the factor is not positive.
    """

    start: float
    factor: float
    epochs: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.factor <= 0:
            raise ValueError(
                f"a decay needs 1 epoch or more and a positive factor, got {self.epochs} epochs "
                f"and factor {self.factor}"
            )

    def rates(self) -> list[float]:
        """Returns the learning rate of each epoch."""
        return [self.start * self.factor**number for number in range(self.epochs)]


def epoch_rates(values: Sequence[float | Ramp | Decay]) -> list[float]:
    """Returns the learning rate of each epoch, ramps and decays written out."""
    rates: list[float] = []
    for value in values:
        rates += [value] if isinstance(value, float | int) else value.rates()
    return rates


@schedules.register("epoch_list")
class EpochList(Schedule):
    """One value per epoch; the last one applies to all later epochs.

    Args:
        values: Learning rates of epoch 1, 2, and so on, or ramps and decays of several epochs.

    Raises:
        ValueError: If there is no value, or one below 0.
    """

    def __init__(self, values: list[float | Ramp | Decay]) -> None:
        self.rates = epoch_rates(values)
        if not self.rates or min(self.rates) < 0:
            raise ValueError(f"values {values} must be at least one, and none below 0")

    def lr(self, step: int, epoch: int) -> float:
        """Returns the value of the epoch."""
        return self.rates[min(epoch, len(self.rates)) - 1]


@schedules.register("newbob")
@dataclass
class Newbob(Schedule):
    """Lowers the learning rate when the dev objective no longer improves enough.

    The relative change between two neighbouring epochs is (new - old) / |new|; divided by the
    learning rate of the newer one over `start`, so that small rates may do less.

    Args:
        start: Initial learning rate if `first` is empty, and the reference that others are compared
            with.
        first: Learning rates of the first epochs, ramps among them; later ones continue from the
            last.
        decay: Factor by which the learning rate is lowered.
        threshold: Lowered if the mean relative change is above this (negative is better).
        window: Number of consecutive epochs whose changes are averaged.
        interval: Learning rates change only in epochs 1, 1 + interval, and so on.
        min_epochs: Minimum number of epochs with the same learning rate.
        floor: Lowest learning rate.
        relative_lr: Whether changes are divided by lr / start.
        divide_by_old: Whether changes are (new - old) / |old| instead.
        growth: Factor where the mean relative change is below `growth_threshold`.
        growth_threshold: See `growth`.

    Source: multi-epoch Newbob of rwth-i6/returnn, as configured in rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    needs_dev: ClassVar[bool] = True
    start: float
    first: list[float | Ramp | Decay] = field(default_factory=list)
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
        refuse_below(0, decay=self.decay, floor=self.floor, growth=self.growth)
        refuse_below(1, window=self.window, interval=self.interval, min_epochs=self.min_epochs)
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
