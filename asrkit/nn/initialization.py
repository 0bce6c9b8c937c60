"""How weights are drawn before training, where a model should not leave that to its layers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.positions import ClippedRelativePosition

Fan = Literal["in", "out", "average"]


@dataclass(frozen=True)
class Drawable:
    """Weights with a number of inputs and of outputs, with their bias."""

    weight: Tensor
    inputs: int
    outputs: int
    bias: Tensor | None


def _linear(module: nn.Module) -> Drawable:
    """Returns the weights (outputs, inputs, ...) of a linear layer or a convolution."""
    assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    outputs, inputs = _sizes(module.weight)
    return Drawable(module.weight, inputs, outputs, module.bias)


def _transposed(module: nn.Module) -> Drawable:
    """Returns the weights (inputs, outputs, ...) of a transposed convolution."""
    assert isinstance(module, nn.ConvTranspose1d)
    return Drawable(module.weight, *_sizes(module.weight), module.bias)


def _table(module: nn.Module) -> Drawable:
    """Returns embeddings (distances, C), whose distances are like inputs."""
    assert isinstance(module, ClippedRelativePosition)
    return Drawable(module.table, *_sizes(module.table), None)


def _sizes(weight: Tensor) -> tuple[int, int]:
    """Returns the first two sizes of weights, each times the size of a kernel."""
    kernel = weight[0, 0].numel()
    return weight.shape[0] * kernel, weight.shape[1] * kernel


KINDS: dict[str, tuple[type[nn.Module], Callable[[nn.Module], Drawable]]] = {
    "Linear": (nn.Linear, _linear),
    "Conv1d": (nn.Conv1d, _linear),
    "Conv2d": (nn.Conv2d, _linear),
    "ConvTranspose1d": (nn.ConvTranspose1d, _transposed),
    "ClippedRelativePosition": (ClippedRelativePosition, _table),
}
"""Kinds of layers that can be drawn."""


class Initialization(ABC):
    """Draws weights of a model again, once it is built."""

    @abstractmethod
    def apply(self, model: nn.Module) -> None:
        """Draws weights in place.

        Raises:
            ValueError: If there are none that it draws.
        """


initializations: Registry[Initialization] = Registry("initialization", Initialization)


@initializations.register("variance_scaling")
class VarianceScaling(Initialization):
    """Draws weights with variance scale / fan; biases of the same layers become 0.

    A scale of 1 with an average fan is Glorot's initialisation.

    Args:
        scale: Of the variance.
        fan: Whether it is divided by the inputs of a layer, by its outputs, or by their average.
        distribution: With mean 0; normal is not truncated.
        module_types: Kinds of layers that are drawn: Linear, Conv1d, Conv2d, ConvTranspose1d,
            ClippedRelativePosition.
        pattern: Regular expression, searched in the names of layers: only these are drawn.

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
        pattern: str = "",
    ) -> None:
        if scale <= 0:
            raise ValueError(f"scale ({scale}) must be positive")
        unknown = [name for name in module_types if name not in KINDS]
        if unknown or not module_types:
            raise ValueError(f"module_types {module_types}: expected some of {', '.join(KINDS)}")
        self.scale, self.fan, self.distribution = scale, fan, distribution
        self.module_types, self.pattern = module_types, pattern

    def apply(self, model: nn.Module) -> None:
        """Draws weights in place.

        Raises:
            ValueError: If there is no layer of a kind whose name has the pattern.
        """
        for kind, drawable in (KINDS[name] for name in self.module_types):
            named = [
                module
                for name, module in model.named_modules()
                if isinstance(module, kind) and re.search(self.pattern, name)
            ]
            if not named:
                raise ValueError(
                    f"initialization: the model has no {kind.__name__} whose name has the pattern "
                    f"{self.pattern!r}"
                )
            for module in named:
                self._draw(drawable(module))

    def _draw(self, drawn: Drawable) -> None:
        average = (drawn.inputs + drawn.outputs) / 2
        fan = {"in": drawn.inputs, "out": drawn.outputs, "average": average}[self.fan]
        deviation = math.sqrt(self.scale / fan)
        if self.distribution == "normal":
            nn.init.normal_(drawn.weight, std=deviation)
        else:
            bound = math.sqrt(3) * deviation
            nn.init.uniform_(drawn.weight, -bound, bound)
        if drawn.bias is not None:
            nn.init.zeros_(drawn.bias)
