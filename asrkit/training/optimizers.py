"""Optimisers, and which parameters get which settings."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from asrkit.config.registry import Registry


@dataclass(frozen=True)
class ParameterGroup:
    """Settings of the parameters that a pattern and a module type select; the first match holds.

    Args:
        pattern: Regular expression, searched in the parameter's name.
        module_types: Class names of the modules that own the parameter; any where empty.
        lr_scale: Factor of the scheduled learning rate.
        weight_decay: Instead of the optimiser's.
    """

    pattern: str = ""
    module_types: list[str] = field(default_factory=list)
    lr_scale: float = 1.0
    weight_decay: float | None = None

    def selects(self, name: str, owner: str) -> bool:
        """Returns whether a parameter with this name and owner class is meant."""
        if self.module_types and owner not in self.module_types:
            return False
        return re.search(self.pattern, name) is not None


class OptimizerFactory(ABC):
    """Makes the optimiser of a model."""

    groups: list[ParameterGroup]
    weight_decay: float

    @abstractmethod
    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""

    def __call__(self, model: nn.Module) -> Optimizer:
        """Returns the optimiser of all trainable parameters of a model."""
        return self.make(parameter_groups(model, self.groups, self.weight_decay))


optimizers: Registry[OptimizerFactory] = Registry("optimizer", OptimizerFactory)


def parameter_groups(
    model: nn.Module, groups: list[ParameterGroup], weight_decay: float
) -> list[dict[str, Any]]:
    """Sorts the trainable parameters of a model into torch parameter groups.

    Raises:
        ValueError: If a group selects nothing, or a weight decay is negative.
    """
    for decay in (weight_decay, *(group.weight_decay for group in groups)):
        if decay is not None and not decay >= 0:
            raise ValueError(f"weight_decay ({decay}) must not be negative")
    rules = [*groups, ParameterGroup()]
    members: list[list[nn.Parameter]] = [[] for _ in rules]
    for owner_name, owner in model.named_modules():
        for own_name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                name = f"{owner_name}.{own_name}"
                kind = type(owner).__name__
                first = next(i for i, rule in enumerate(rules) if rule.selects(name, kind))
                members[first].append(parameter)
    for rule, selected in zip(groups, members, strict=False):
        if not selected:
            raise ValueError(
                f"optimizer group (pattern {rule.pattern!r}, module_types {rule.module_types}) "
                "selects no parameter that an earlier group left"
            )
    return [
        {
            "params": selected,
            "lr_scale": rule.lr_scale,
            "weight_decay": weight_decay if rule.weight_decay is None else rule.weight_decay,
        }
        for rule, selected in zip(rules, members, strict=True)
        if selected
    ]


def load_moments(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Goes on with another optimiser's moments, but with the settings that this one was made with.

    Args:
        optimizer: Changed in place.
        state: What `state_dict` of an optimiser of the same kind and groups gave.
    """
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
        groups: Parameters with settings of their own.

    Source: Loshchilov and Hutter 2019.
    """

    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    groups: list[ParameterGroup] = field(default_factory=list)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.AdamW(groups, lr=0.0, betas=self.betas, eps=self.eps, fused=True)


@optimizers.register("adam")
@dataclass(frozen=True)
class Adam(OptimizerFactory):
    """Adam; weight decay is L2 regularisation.

    Args:
        weight_decay: Factor of the weights in the gradient.
        betas: Decay of the running moments.
        eps: Added to the root of the second moment.
        groups: Parameters with settings of their own.

    Source: Kingma and Ba 2015.
    """

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    groups: list[ParameterGroup] = field(default_factory=list)

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
        groups: Parameters with settings of their own.

    Source: Dozat 2016.
    """

    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = False
    groups: list[ParameterGroup] = field(default_factory=list)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.NAdam(
            groups, lr=0.0, betas=self.betas, eps=self.eps, decoupled_weight_decay=self.decoupled
        )


@optimizers.register("sgd")
@dataclass(frozen=True)
class SGD(OptimizerFactory):
    """Stochastic gradient descent.

    Args:
        momentum: Share of the last update in the next.
        nesterov: Whether momentum looks ahead.
        weight_decay: Factor of the weights in the gradient.
        groups: Parameters with settings of their own.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    groups: list[ParameterGroup] = field(default_factory=list)

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        return torch.optim.SGD(groups, lr=0.0, momentum=self.momentum, nesterov=self.nesterov)
