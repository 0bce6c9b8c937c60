"""How parameters are put together, so that a small layer's numbers find their place in a large one.

The query, key and value of attention, the gates of an LSTM, or the halves of a GLU lie one after
the other in one tensor. Where a layer grows, each of them grows.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Joined(Protocol):
    """A module with parameters that are several in one."""

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns shapes with an axis for each way to count, by parameter name."""
        ...


def joined_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns the shape in which each tensor of a model grows, by name.

    Args:
        model: Its modules say how their parameters are joined; a parent's word counts more than
            a child's.
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
    """Returns the shapes (4 gates, H, ...) of torch's LSTMs; nothing for other modules."""
    if not isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return {}
    return {
        name: (4, tensor.shape[0] // 4, *tensor.shape[1:])
        for name, tensor in module.named_parameters(recurse=False)
        if not name.startswith("weight_hr")  # of a projection, which has no gates
    }


def copy_corner(target: Tensor, source: Tensor) -> None:
    """Copies what fits from a tensor to another one with as many axes, from index 0 on."""
    corner = tuple(slice(min(a, b)) for a, b in zip(target.shape, source.shape, strict=True))
    with torch.no_grad():
        target[corner] = source[corner]
