"""Modules by the names that a spec gives them; the names become part of parameters' names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def named_modules(modules: Mapping[str, nn.Module], kind: str) -> nn.ModuleDict:
    """Returns modules by name.

    Args:
        modules: The modules, in order.
        kind: What one of them is called in messages, such as "a head".

    Raises:
        ValueError: If a module can't have its name.
    """
    for name in modules:
        if "." in name or not name or hasattr(nn.ModuleDict(), name):
            raise ValueError(f"{kind} can't have the name {name!r}; take another one")
    return nn.ModuleDict(dict(modules))
