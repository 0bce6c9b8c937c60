"""Modules by the names that a spec gives them; the names become part of parameter names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def named_modules(modules: Mapping[str, nn.Module], kind: str) -> nn.ModuleDict:
    """Returns modules by name.

    Args:
        modules: The modules, in order.
        kind: What a module is called in messages, such as "a head".

    Raises:
        ValueError: If a name is not possible for a module.
    """
    for name in modules:
        if "." in name or not name or hasattr(nn.ModuleDict(), name):
            raise ValueError(f"{kind} can't have the name {name!r}; choose another one")
    return nn.ModuleDict(dict(modules))
