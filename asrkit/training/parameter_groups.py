"""Which parameters get which settings of the optimiser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

RECURRENT = re.compile(r"_(ih|hh|hr)(_l\d+)?(_reverse)?$")
"""Suffixes of weight and bias names in PyTorch's recurrent layers."""


@dataclass(frozen=True)
class ParameterGroup:
    """Settings of parameters selected by a pattern and module types; the first match applies.

    Args:
        pattern: Regular expression, searched in the parameter's name; `bias$` means the biases of
            LSTMs, too (`bias_ih_l0`).
        module_types: Class names of the modules that own the parameter, or of pure wrappers of
            those (BatchNorm around BatchNorm1d); empty for any.
        lr_scale: Factor of the scheduled learning rate.
        weight_decay: Instead of the optimiser's.
    """

    pattern: str = ""
    module_types: list[str] = field(default_factory=list)
    lr_scale: float = 1.0
    weight_decay: float | None = None

    def selects(self, name: str, owners: Sequence[str]) -> bool:
        """Returns whether a parameter with this name and these module classes is selected."""
        if self.module_types and not set(self.module_types) & set(owners):
            return False
        return any(re.search(self.pattern, known) for known in (name, RECURRENT.sub("", name)))


@dataclass(frozen=True)
class Owned:
    """A parameter, its name, and the classes of its module and of those that wrap it."""

    name: str
    parameter: nn.Parameter
    owners: list[str]


def parameter_groups(
    model: nn.Module, groups: list[ParameterGroup], weight_decay: float
) -> list[dict[str, Any]]:
    """Sorts the trainable parameters of a model into torch parameter groups.

    Raises:
        ValueError: If a group, or one of its module types, selects nothing, or a weight decay is
            negative.
    """
    for decay in (weight_decay, *(group.weight_decay for group in groups)):
        if decay is not None and not decay >= 0:
            raise ValueError(f"weight_decay ({decay}) must not be negative")
    rules = [*groups, ParameterGroup()]
    members: list[list[nn.Parameter]] = [[] for _ in rules]
    every = list(owned_parameters(model))
    for rule in groups:
        _require_types(rule, every)
    for each in every:
        if each.parameter.requires_grad:
            first = next(i for i, rule in enumerate(rules) if rule.selects(each.name, each.owners))
            members[first].append(each.parameter)
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


def _require_types(rule: ParameterGroup, every: Sequence[Owned]) -> None:
    """Raises where a module type of a group has no parameter, whatever earlier groups take."""
    for kind in rule.module_types:
        alone = ParameterGroup(rule.pattern, [kind])
        if not any(alone.selects(each.name, each.owners) for each in every):
            known = sorted({owner for each in every for owner in each.owners})
            raise ValueError(
                f"optimizer group (pattern {rule.pattern!r}): module type {kind!r} selects no "
                f"parameter; modules with parameters: {', '.join(known)}"
            )


def owned_parameters(model: nn.Module) -> Iterator[Owned]:
    """Yields the parameters of a model, module by module; what modules share is the first one's."""
    shared = set()
    modules = dict(model.named_modules())
    sizes = {name: sum(1 for _ in module.parameters()) for name, module in modules.items()}
    for owner_name, owner in modules.items():
        own = list(owner.named_parameters(recurse=False))
        owners = [type(owner).__name__]
        outer = owner_name
        # A module is a wrapper if all that it has to learn is in one module inside.
        while outer and sizes[outer := outer.rpartition(".")[0]] == len(own):
            owners.append(type(modules[outer]).__name__)
        for own_name, parameter in own:
            if parameter in shared:
                continue
            shared.add(parameter)
            yield Owned(f"{owner_name}.{own_name}", parameter, owners)
