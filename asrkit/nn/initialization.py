"""How weights are drawn before training, where a model should not leave that to its layers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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


def _linear(module: nn.Module) -> list[Drawable]:
    """Returns the weights (outputs, inputs, ...) of a linear layer or a convolution."""
    assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    outputs, inputs = _sizes(module.weight)
    return [Drawable(module.weight, inputs, outputs, module.bias)]


def _transposed(module: nn.Module) -> list[Drawable]:
    """Returns the weights (inputs, outputs, ...) of a transposed convolution."""
    assert isinstance(module, nn.ConvTranspose1d)
    return [Drawable(module.weight, *_sizes(module.weight), module.bias)]


def _table(module: nn.Module) -> list[Drawable]:
    """Returns embeddings (distances, C) or (labels, E), whose distances or labels are inputs."""
    assert isinstance(module, ClippedRelativePosition | nn.Embedding)
    table = module.weight if isinstance(module, nn.Embedding) else module.table
    return [Drawable(table, *_sizes(table), None)]


def _recurrent(module: nn.Module) -> list[Drawable]:
    """Returns the weights (4 gates · D, inputs) of LSTMs, all gates together as one matrix each."""
    found = []
    for name, weight in module.named_parameters(recurse=False):
        if name.startswith("weight"):
            outputs, inputs = _sizes(weight)
            bias = getattr(module, name.replace("weight", "bias"), None)
            found.append(Drawable(weight, inputs, outputs, bias))
    return found


def _sizes(weight: Tensor) -> tuple[int, int]:
    """Returns the first two sizes of weights, each times the size of a kernel."""
    kernel = weight[0, 0].numel()
    return weight.shape[0] * kernel, weight.shape[1] * kernel


KINDS: dict[str, tuple[type[nn.Module], Callable[[nn.Module], list[Drawable]]]] = {
    "Linear": (nn.Linear, _linear),
    "Conv1d": (nn.Conv1d, _linear),
    "Conv2d": (nn.Conv2d, _linear),
    "ConvTranspose1d": (nn.ConvTranspose1d, _transposed),
    "ClippedRelativePosition": (ClippedRelativePosition, _table),
    "Embedding": (nn.Embedding, _table),
    "LSTM": (nn.LSTM, _recurrent),
    "LSTMCell": (nn.LSTMCell, _recurrent),
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
            ClippedRelativePosition, Embedding, LSTM, LSTMCell.
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
        require_kinds(module_types)
        self.scale, self.fan, self.distribution = scale, fan, distribution
        self.module_types, self.pattern = module_types, pattern

    def apply(self, model: nn.Module) -> None:
        """Draws weights in place.

        Raises:
            ValueError: If there is no layer of a kind whose name has the pattern.
        """
        for drawn in drawables(model, self.module_types, self.pattern):
            self._draw(drawn)

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


@initializations.register("normal")
class NormalInitialization(Initialization):
    """Draws weights with mean 0 and a given deviation, whatever their sizes; biases become 0.

    Args:
        deviation: Of the normal distribution.
        module_types: Kinds of layers that are drawn, as of `variance_scaling`.
        pattern: Regular expression, searched in the names of layers: only these are drawn.
        truncated: Whether draws beyond two deviations are drawn again.

    Raises:
        ValueError: If the deviation is not positive, or a kind of layer is unknown.

    Source: rwth-i6/returnn, returnn/frontend/init.py (Normal).
    """

    def __init__(
        self,
        deviation: float,
        module_types: list[str],
        pattern: str = "",
        truncated: bool = False,
    ) -> None:
        if deviation <= 0:
            raise ValueError(f"deviation ({deviation}) must be positive")
        require_kinds(module_types)
        self.deviation, self.truncated = deviation, truncated
        self.module_types, self.pattern = module_types, pattern

    def apply(self, model: nn.Module) -> None:
        """Draws weights in place.

        Raises:
            ValueError: If there is no layer of a kind whose name has the pattern.
        """
        for drawn in drawables(model, self.module_types, self.pattern):
            if self.truncated:
                limit = 2 * self.deviation
                nn.init.trunc_normal_(drawn.weight, 0.0, self.deviation, -limit, limit)
            else:
                nn.init.normal_(drawn.weight, std=self.deviation)
            if drawn.bias is not None:
                nn.init.zeros_(drawn.bias)


def require_kinds(module_types: list[str]) -> None:
    """Raises a ValueError unless all of these are kinds of layers that can be drawn."""
    if not module_types or not set(module_types) <= set(KINDS):
        raise ValueError(f"module_types {module_types}: expected some of {', '.join(KINDS)}")


def drawables(model: nn.Module, module_types: list[str], pattern: str) -> Iterator[Drawable]:
    """Yields the weights of the layers of some kinds whose name has the pattern.

    Raises:
        ValueError: If there is no such layer of a kind.
    """
    for kind, drawable in (KINDS[name] for name in module_types):
        named = [
            module
            for name, module in model.named_modules()
            if isinstance(module, kind) and re.search(pattern, name)
        ]
        if not named:
            raise ValueError(
                f"initialization: the model has no {kind.__name__} whose name has the pattern "
                f"{pattern!r}"
            )
        for module in named:
            yield from drawable(module)
