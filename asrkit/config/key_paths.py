"""Key paths: `model.heads.ctc.weight` and `augment[0].width` name places in a tree."""

from __future__ import annotations

import re
from typing import Any

MAX_STEPS = 50
"""As deep as a YAML file may be."""


def join(path: str, key: str | int) -> str:
    """Returns the key path of a child: `a.b` for mappings, `a[0]` for lists."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def parent_of(path: str) -> str:
    """Returns the key path of the parent of a node, "" for the root."""
    if path.endswith("]"):
        return path[: path.rindex("[")]
    return path.rpartition(".")[0]


def is_below(key: str, path: str) -> bool:
    """Returns whether a key path is at or below another one."""
    return key == path or (key.startswith(path) and key[len(path)] in ".[") if path else True


def steps(key: str) -> list[str | int]:
    """Returns the steps of a key path: `a.b[2]` gives a, b, 2; empty if it is not a key path."""
    name = r"[^.\[\]\x00-\x1f\x7f-\x9f]+"
    if not re.fullmatch(rf"{name}(\.{name}|\[[0-9]{{1,9}}\])*", key):
        return []
    parts = re.findall(r"[^.\[\]]+|\[[0-9]+\]", key)
    if len(parts) > MAX_STEPS:
        return []
    return [int(part[1:-1]) if part.startswith("[") else part for part in parts]


def copy_of(tree: Any) -> Any:
    """Returns a tree whose mappings and lists are others."""
    if isinstance(tree, dict):
        return {key: copy_of(value) for key, value in tree.items()}
    return [copy_of(value) for value in tree] if isinstance(tree, list) else tree
