"""Optimisers, and settings for groups of parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Registry
from asrkit.errors import UserError
from asrkit.training.parameter_groups import ParameterGroup, parameter_groups


class OptimizerFactory(ABC):
    """Makes the optimiser of a model."""

    groups: Ordered[ParameterGroup]
    weight_decay: float

    @abstractmethod
    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""

    def is_decoupled(self) -> bool:
        """Returns whether weight decay is a share of the weights, not a part of the gradient."""
        return False

    def sorted_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Returns the torch parameter groups of all trainable parameters of a model."""
        return parameter_groups(model, [*self.groups.values()], self.weight_decay)

    def __call__(self, model: nn.Module) -> Optimizer:
        """Returns the optimiser of all trainable parameters of a model."""
        return self.make(self.sorted_groups(model))


RISE = 4e-3
"""How fast NAdam's momentum rises: it lacks 0.5 · 0.96^(this · update) of its last value."""
AT_ONCE = 1e6


optimizers: Registry[OptimizerFactory] = Registry("optimizer", OptimizerFactory)


def load_moments(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restores the moments of an optimiser, but keeps the settings of this one.

    Args:
        optimizer: Changed in place.
        state: What `state_dict` of an optimiser of the same kind and groups gave.

    Raises:
        UserError: If its groups have other numbers of parameters.
    """
    sizes = [
        [len(group["params"]) for group in groups]
        for groups in (state["param_groups"], optimizer.param_groups)
    ]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"the checkpoint's optimiser has groups of {sizes[0]} parameters, this one of "
            f"{sizes[1]}: their patterns and types selected other parameters when the run "
            "began; start a new run, with its weights as `imports` to keep them"
        )
    settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


@optimizers.register("adamw")
@dataclass(frozen=True)
class AdamW(OptimizerFactory):
    """Adam with decoupled weight decay.

    Args:
        weight_decay: Share of a weight that a step removes, times the learning rate.
        betas: Decay of the running moments.
        eps: Added to the root of the second moment.
        groups: Parameters with settings of their own, by name; the first that selects one holds.

    Source: Loshchilov and Hutter 2019.
    """

    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    groups: Ordered[ParameterGroup] = field(default_factory=Ordered)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.AdamW(groups, lr=0.0, betas=self.betas, eps=self.eps, fused=True)

    def is_decoupled(self) -> bool:
        """Returns True."""
        return True


@optimizers.register("adam")
@dataclass(frozen=True)
class Adam(OptimizerFactory):
    """Adam; weight decay is L2 regularisation.

    Args:
        weight_decay: Factor of the weights in the gradient.
        betas: Decay of the running moments.
        eps: Added to the root of the second moment.
        groups: Parameters with settings of their own, by name; the first that selects one holds.

    Source: Kingma and Ba 2015.
    """

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    groups: Ordered[ParameterGroup] = field(default_factory=Ordered)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.Adam(groups, lr=0.0, betas=self.betas, eps=self.eps, fused=True)


@optimizers.register("nadam")
@dataclass(frozen=True)
class NAdam(OptimizerFactory):
    """Adam with Nesterov momentum.

    Args:
        weight_decay: Factor of the weights in the gradient, or decoupled as in AdamW.
        betas: Decay of the running moments.
        eps: Added to the root of the second moment.
        decoupled: Whether weight decay is decoupled.
        momentum: Whether momentum rises from half of the first of the `betas` to all of it, within
            some ten thousand updates, or is constant, as in TensorFlow.
        groups: Parameters with settings of their own, by name; the first that selects one holds.

    Source: Dozat 2016.
    """

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = False
    momentum: Literal["rising", "constant"] = "rising"
    groups: Ordered[ParameterGroup] = field(default_factory=Ordered)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.NAdam(
            groups,
            lr=0.0,
            betas=self.betas,
            eps=self.eps,
            momentum_decay=RISE if self.momentum == "rising" else AT_ONCE,
            decoupled_weight_decay=self.decoupled,
        )

    def is_decoupled(self) -> bool:
        """Returns whether weight decay is a share of the weights."""
        return self.decoupled


@optimizers.register("sgd")
@dataclass(frozen=True)
class SGD(OptimizerFactory):
    """Stochastic gradient descent.

    Args:
        momentum: Share of the last update in the next.
        nesterov: Whether momentum looks ahead.
        weight_decay: Factor of the weights in the gradient.
        groups: Parameters with settings of their own, by name; the first that selects one holds.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    groups: Ordered[ParameterGroup] = field(default_factory=Ordered)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.SGD(groups, lr=0.0, momentum=self.momentum, nesterov=self.nesterov)
