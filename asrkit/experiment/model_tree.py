"""`asrkit show`: the modules of a model with their parameter counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Module:
    """A module that has parameters.

    Args:
        name: As its parent calls it.
        type: Its class.
        parameters: How many it has.
        modules: Those in it; equal neighbours in a list appear once.
    """

    name: str
    type: str
    parameters: int
    modules: list[Module]


@dataclass(frozen=True)
class ModelTree:
    """The modules of a model.

    Args:
        labels: Size of the vocabulary.
        stand_in: Whether that is not the real one.
        model: The model.
    """

    labels: int
    stand_in: bool
    model: Module

    def __str__(self) -> str:
        note = f"# {self.labels} labels"
        if self.stand_in:
            note += " stand in for the vocabulary; --data DIR gives the real one"
        return "\n".join([note, *_lines(self.model, 0)])


def count_parameters(model: nn.Module) -> int:
    """Returns the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def tree_of(name: str, module: nn.Module) -> Module:
    """Returns a module with all below it that have parameters."""
    children = [(n, child) for n, child in module.named_children() if count_parameters(child)]
    if isinstance(module, nn.ModuleList) and len(children) > 1:
        first = children[0][1]
        if all(repr(child) == repr(first) for _, child in children):
            children = [(f"0..{len(children) - 1} each", first)]
    below = [tree_of(child_name, child) for child_name, child in children]
    return Module(name, type(module).__name__, count_parameters(module), below)


def _lines(module: Module, depth: int) -> Iterator[str]:
    line = f"{'  ' * depth}{module.name}: {module.type}"
    yield f"{line:<60} {module.parameters:>12,}"
    for child in module.modules:
        yield from _lines(child, depth + 1)
