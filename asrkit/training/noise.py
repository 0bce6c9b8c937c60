"""Noise on weights and gradients in training: weight noise, weight dropout, gradient noise.

Weights are changed while the gradient of one update is computed, then put back; all processes and
micro-batches of an update see the same change. Draws are a function of the run's seed and the step.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrkit.bounds import refuse_below, refuse_not_above
from asrkit.config.registry import Registry
from asrkit.nn.applied import Applied
from asrkit.training.importing import check_patterns


class WeightChange(ABC):
    """Changes the weights that a pattern selects, for the length of one update."""

    pattern: str

    @abstractmethod
    def draw(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns a changed copy of a weight, and the factor of its gradient, if any."""


weight_changes: Registry[WeightChange] = Registry("weight_change", WeightChange)


@weight_changes.register("weight_noise")
@dataclass(frozen=True)
class WeightNoise(WeightChange):
    """Adds normal noise to weights.

    Args:
        pattern: Regular expression, searched in the names of the parameters.
        deviation: Standard deviation of the noise.

    Source: Graves 2011, section 3, with a fixed deviation.
    """

    pattern: str
    deviation: float

    def __post_init__(self) -> None:
        check_patterns([self.pattern])
        if self.deviation <= 0:
            raise ValueError(f"deviation ({self.deviation}) must be above 0")

    def draw(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns weights with noise; the gradient is that at the noisy weights."""
        return weight + self.deviation * torch.randn_like(weight), None


@weight_changes.register("weight_dropout")
@dataclass(frozen=True)
class WeightDropout(WeightChange):
    """Sets single weights to zero at random, and scales up the others.

    Args:
        pattern: Regular expression, searched in the names of the parameters.
        probability: That a weight is set to zero.

    Source: Wan et al. 2013, section 3, with one mask for all examples of an update.
    """

    pattern: str
    probability: float

    def __post_init__(self) -> None:
        check_patterns([self.pattern])
        if not 0 < self.probability < 1:
            raise ValueError(f"probability ({self.probability}) must be above 0 and below 1")

    def draw(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns masked weights, and the mask; the gradient passes where weights are kept."""
        kept = torch.rand_like(weight) >= self.probability
        factor = kept.to(weight.dtype) / (1 - self.probability)
        return weight * factor, factor


def selected(model: nn.Module, pattern: str) -> list[nn.Parameter]:
    """Returns the trained parameters whose names a pattern is found in.

    Raises:
        ValueError: If there are none.
    """
    found = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and re.search(pattern, name)
    ]
    if not found:
        raise ValueError(f"weight_changes: {pattern!r} selects no trained parameter")
    return found


@contextmanager
def changed_weights(
    model: nn.Module,
    changes: Mapping[str, WeightChange],
    seed: int,
    applied: Applied | None = None,
) -> Iterator[None]:
    """Changes weights inside, and puts them back afterwards; gradients get their factors.

    Args:
        model: Its parameters are changed in place.
        changes: One after the other, by name.
        seed: Of all draws.
        applied: Counts how large changes are, as shares of the weights' norms.
    """
    before: list[tuple[nn.Parameter, Tensor]] = []
    factors: list[tuple[nn.Parameter, Tensor]] = []
    if changes:
        torch.manual_seed(seed)
    try:
        with torch.no_grad():
            for name, change in changes.items():
                for parameter in selected(model, change.pattern):
                    before.append((parameter, parameter.clone()))
                    weight, factor = change.draw(parameter)
                    if applied is not None and applied.sampled:
                        moved = (weight - parameter).float().norm()
                        applied.count(f"weight_changes.{name}", moved, parameter.float().norm())
                    parameter.copy_(weight)
                    factors += [(parameter, factor)] if factor is not None else []
        yield
        for parameter, factor in factors:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
    finally:
        with torch.no_grad():
            for parameter, weight in reversed(before):
                parameter.copy_(weight)


@dataclass(frozen=True)
class GradientNoise:
    """Normal noise on gradients, with variance scale / step^decay.

    Args:
        scale: Variance in the first update.
        decay: How fast the variance falls.

    Raises:
        ValueError: If the scale is not above 0, or the variance would grow.

    Source: Neelakantan et al. 2015, section 3.
    """

    scale: float
    decay: float = 0.55

    def __post_init__(self) -> None:
        refuse_not_above(0, scale=self.scale)
        refuse_below(0, decay=self.decay)

    def add(self, model: nn.Module, step: int, seed: int, applied: Applied | None = None) -> None:
        """Adds the noise of update `step`, counted from 1, to all gradients of a model.

        Args:
            model: It has gradients.
            step: The update.
            seed: Of all draws.
            applied: Counts how large the noise is, as a share of the norm of noisy gradients.
        """
        torch.manual_seed(seed)
        deviation = (self.scale / step**self.decay) ** 0.5
        for parameter in model.parameters():
            if parameter.grad is not None:
                noise = torch.randn_like(parameter.grad)
                parameter.grad.add_(noise, alpha=deviation)
                if applied is not None and applied.sampled:
                    norms = deviation * noise.norm(), parameter.grad.norm()
                    applied.count("gradient_noise", *norms)
