"""A larger model takes over the weights of a smaller one, and what its optimiser knows of them.

Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base, where
the encoder grows in depth and width, and weights of smaller layers are copied to the beginning of
larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from asrkit.nn.growth import copy_corner, joined_shapes
from asrkit.training.optimizers import OptimizerFactory


@dataclass(frozen=True)
class Grown:
    """Names of tensors that were copied completely or in part, and of newly initialised ones."""

    whole: list[str]
    partly: list[str]
    fresh: list[str]

    @property
    def same_shapes(self) -> bool:
        """Whether nothing grew."""
        return not self.partly and not self.fresh

    def __str__(self) -> str:
        return (
            f"{len(self.whole)} tensors as they were, {len(self.partly)} larger, "
            f"{len(self.fresh)} new"
        )


def grow(model: nn.Module, smaller: nn.Module, weights: Mapping[str, Tensor]) -> Grown:
    """Copies the weights of a smaller model into a larger one.

    What joins two tensors of unequal size, as the readout of an LSTM decoder does, is in its place
    as long as only the last of them grows; likewise with the two directions of a BLSTM that a head
    reads. Such a layer has to learn more again than others.

    Args:
        model: The larger one; what is beyond the smaller one's tensors stays as it is.
        smaller: For its shapes; may be without data.
        weights: Those of the smaller one, by name.
    """
    shapes, before = joined_shapes(model), joined_shapes(smaller)
    grown = Grown([], [], [])
    for name, tensor in model.state_dict().items():
        shape, old = shapes[name], before.get(name)
        if name not in weights or old is None or len(old) != len(shape):
            grown.fresh.append(name)
            continue
        (grown.whole if old == shape else grown.partly).append(name)
        copy_corner(tensor.view(shape), weights[name].view(old))
    return grown


def kept_moments(
    model: nn.Module,
    smaller: nn.Module,
    factory: OptimizerFactory,
    state: Mapping[str, Any],
    grown: Grown,
) -> dict[int, Any]:
    """Returns the moments of tensors that are as they were; those of all others begin again.

    Args:
        model: The larger one.
        smaller: May be without data; its parameters are frozen where those of the larger one are.
        factory: Makes the optimisers of both.
        state: That of the smaller one's optimiser.
        grown: What was copied from the smaller one.

    Returns:
        What the optimiser of the larger model knows of its parameters, by their numbers.
    """
    before, now = (_names_by_number(each, factory) for each in (smaller, model))
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    known = {before[place]: state["state"].get(n) for place, n in enumerate(numbers)}
    kept = ((number, known.get(name)) for number, name in enumerate(now) if name in grown.whole)
    return {number: moments for number, moments in kept if moments is not None}


def _names_by_number(model: nn.Module, factory: OptimizerFactory) -> list[str]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[one] for group in factory.sorted_groups(model) for one in group["params"]]
