"""How parameters are concatenated, so that those of a small layer can be copied into a larger one.

The query, key and value of attention, the gates of an LSTM, or the halves of a GLU are
concatenated in one tensor. When a layer grows, each of them grows.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Joined(Protocol):
    """A module with parameters that are concatenations of several."""

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns shapes with separate axes for the concatenated parts, by parameter name."""
        ...


def joined_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns the shape in which each tensor of a model grows, by name.

    Args:
        model: Its modules know how their parameters are concatenated; a parent takes precedence
            over its children.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for path, module in reversed(list(model.named_modules())):
        found = module.joined_shapes() if isinstance(module, Joined) else lstm_shapes(module)
        for name, shape in found.items():
            full = f"{path}.{name}" if path else name
            if full in shapes:  # a bias may be left out
                shapes[full] = shape
    return shapes


def lstm_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns the shapes (4 gates, D, ...) of PyTorch's LSTMs; nothing for other modules."""
    if not isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return {}
    return {
        name: (4, tensor.shape[0] // 4, *tensor.shape[1:])
        for name, tensor in module.named_parameters(recurse=False)
        if not name.startswith("weight_hr")  # of a projection, which has no gates
    }


def copy_corner(target: Tensor, source: Tensor) -> None:
    """Copies the overlap of two tensors with the same number of axes, from index 0 on."""
    corner = tuple(slice(min(a, b)) for a, b in zip(target.shape, source.shape, strict=True))
    with torch.no_grad():
        target[corner] = source[corner]
