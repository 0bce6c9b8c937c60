"""How weights are drawn before training, where a model should not leave that to its layers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn

from asrkit.config.registry import Registry

SCALED = {kind.__name__: kind for kind in (nn.Linear, nn.Conv1d, nn.Conv2d)}
"""Layers whose weights (outputs, inputs, ...) have a fan."""

Fan = Literal["in", "out", "average"]


class Initialization(ABC):
    """Draws the weights of a model again, once it is built."""

    @abstractmethod
    def apply(self, model: nn.Module) -> None:
        """Draws weights in place."""


initializations: Registry[Initialization] = Registry("initialization", Initialization)


@initializations.register("variance_scaling")
class VarianceScaling(Initialization):
    """Draws weights with variance scale / fan; biases of the same layers become 0.

    Args:
        scale: Of the variance.
        fan: Whether it is divided by the inputs of a layer, by its outputs, or by their average.
        distribution: With mean 0; normal is not truncated.
        module_types: Kinds of layers that are drawn: Linear, Conv1d, Conv2d.

    Raises:
        ValueError: If the scale is not positive, or a kind of layer is unknown.

    Source: Glorot & Bengio 2010, He et al. 2015; scale and fan as in TensorFlow's VarianceScaling.
    """

    def __init__(
        self,
        scale: float = 1.0,
        fan: Fan = "in",
        distribution: Literal["uniform", "normal"] = "uniform",
        module_types: list[str] = ["Linear"],  # noqa: B006 - never changed
    ) -> None:
        if scale <= 0:
            raise ValueError(f"scale ({scale}) must be positive")
        unknown = [name for name in module_types if name not in SCALED]
        if unknown or not module_types:
            raise ValueError(f"module_types {module_types}: expected some of {', '.join(SCALED)}")
        self.scale, self.fan, self.distribution = scale, fan, distribution
        self.kinds = tuple(SCALED[name] for name in module_types)

    def apply(self, model: nn.Module) -> None:
        """Draws weights in place."""
        for module in model.modules():
            if isinstance(module, self.kinds):
                self._draw(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _draw(self, weight: Tensor) -> None:
        deviation = math.sqrt(self.scale / _fan(weight, self.fan))
        if self.distribution == "normal":
            nn.init.normal_(weight, std=deviation)
        else:
            bound = math.sqrt(3) * deviation
            nn.init.uniform_(weight, -bound, bound)


def _fan(weight: Tensor, fan: Fan) -> float:
    """Returns how many inputs, outputs, or both on average, weights (outputs, inputs, ...) have."""
    outputs, inputs = (size * weight[0, 0].numel() for size in weight.shape[:2])
    return {"in": inputs, "out": outputs, "average": (inputs + outputs) / 2}[fan]
