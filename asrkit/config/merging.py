"""Puts one tree over another, or one value into a tree, and keeps track of where values came from.

Mappings are merged key by key. A short name is a mapping of its `type`, and a list of parts becomes
a mapping of them by name where keys are put over it; a list over a mapping of parts is refused,
since it would silently replace them all.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from asrkit.config.key_paths import is_below, join, steps
from asrkit.config.ordered import ORDER, as_mapping, is_named_list, names_of, take_out
from asrkit.errors import UserError

Where = Callable[[str], str | None]


def merge(base: Any, change: Any, path: str, sources: dict[str, str], where: Where) -> Any:
    """Returns a tree with a change on top.

    Args:
        base: The tree.
        change: What is put over it.
        path: Key path of both.
        sources: Of the base; those of what is replaced are removed.
        where: Returns where a value of the change came from.

    Raises:
        UserError: If a list is put over a mapping of parts.
    """
    _refuse_list_over_parts(base, change, path, where)
    if isinstance(change, dict):
        base = _as_mapping(base, path, sources)
    together = isinstance(base, dict) and isinstance(change, dict)
    if not together or ("type" in change and change["type"] != base.get("type")):
        _forget(sources, path, base)
        return change
    result = dict(base)
    for key, value in change.items():
        child = join(path, key)
        if value is None and isinstance(base.get(key), dict):
            take_out(result, key)
            _forget(sources, child, base[key])
            continue
        known = key in base
        result[key] = merge(base[key], value, child, sources, where) if known else value
    return result


def put(tree: Any, sources: dict[str, str], key: str, value: Any, text: str) -> None:
    """Sets the value at a key path of a tree, in place.

    As in files, null in the place of a mapping removes that.

    Args:
        tree: Mappings and lists.
        sources: Where its values came from.
        key: Key path.
        value: What is put there; a mapping is merged into what is there.
        text: What messages quote.

    Raises:
        UserError: If the key path has no place in the tree.
    """
    path = steps(key)
    if not path:
        raise UserError(f"{key!r} is not a key path, such as training.epochs")
    parent, place = tree, ""
    for step, after in pairwise(path):
        place = join(place, step)
        parent = _descend(parent, step, isinstance(after, str), place, sources, text)
    last = _key_or_index(parent, path[-1], text)
    old = parent[last] if isinstance(parent, list) else parent.get(last)
    if value is None and isinstance(old, dict) and isinstance(parent, dict):
        take_out(parent, last)
        _forget(sources, key, old)
        return
    parent[last] = value if old is None else merge(old, value, key, sources, lambda _: None)
    sources[key] = "override"


def leave_out(tree: Any, key: str) -> None:
    """Removes what is at a key path of a tree, in place.

    Raises:
        UserError: If there is nothing.
    """
    path = steps(key)
    if not path:
        raise UserError(f"{key!r} is not a key path")
    parent = tree
    for step in path[:-1]:
        parent = parent.get(step) if isinstance(parent, dict) else None
    if not isinstance(parent, dict) or path[-1] not in parent:
        raise UserError(f"there is no {key!r} to leave out")
    take_out(parent, str(path[-1]))


def _refuse_list_over_parts(base: Any, change: Any, path: str, where: Where) -> None:
    if not isinstance(base, dict) or "type" in base or not is_named_list(change):
        return
    names = [name for name in base if name != ORDER]
    raise UserError(
        f"{where(path) or 'override'}: {path}: a list can't be put over the parts "
        f"{', '.join(names)}: write `NAME: {{...}}` to change or add one, `NAME: null` to "
        "remove one, `order: [...]` to set their order"
    )


def _as_mapping(base: Any, path: str, sources: dict[str, str]) -> Any:
    """Returns what keys can be merged into: a list of parts by name, a short name as a type."""
    if isinstance(base, str):
        return {"type": base}  # `order: random` is short for `{type: random}`
    if not is_named_list(base):
        return base
    for index, name in enumerate(names_of(base)):
        entry = join(path, index)
        for key in [key for key in sources if is_below(key, entry)]:
            sources[join(path, name) + key[len(entry) :]] = sources.pop(key)
    return as_mapping(base)


def _forget(sources: dict[str, str], path: str, value: Any) -> None:
    """Drops where a value and what is in it came from."""
    if not isinstance(value, dict | list):
        sources.pop(path, None)
        return
    for key in [key for key in sources if is_below(key, path)]:
        del sources[key]


def _descend(
    parent: Any, step: str | int, by_name: bool, path: str, sources: dict[str, str], text: str
) -> Any:
    """Returns the node of a step, which is made where it is missing.

    Args:
        parent: A mapping or a list.
        step: A key or an index of it.
        by_name: Whether the step after it is a key: a list of parts becomes a mapping.
        path: Key path of the node.
        sources: Where values came from.
        text: What messages quote.
    """
    place = _key_or_index(parent, step, text)
    node = parent[place] if isinstance(parent, list) else parent.get(place)
    if node is None:
        node = {}
    elif by_name:
        node = _as_mapping(node, path, sources)
    parent[place] = node
    return node


def _key_or_index(parent: Any, step: str | int, text: str) -> Any:
    """Returns the key or index of a step; a number counts the parts of a mapping with an order."""
    if isinstance(parent, list):
        if not isinstance(step, int) or not 0 <= step < len(parent):
            raise UserError(
                f"override {text!r}: {step!r} is not an entry of the list there; it has [0] to "
                f"[{len(parent) - 1}], as in `imports[0].run=DIR`"
            )
        return step
    if not isinstance(parent, dict):
        raise UserError(f"override {text!r}: {step!r} has no place in the spec")
    if isinstance(step, str):
        return step
    order = parent.get(ORDER)
    if not isinstance(order, list) or step >= len(order):
        names = ", ".join(name for name in parent if name != ORDER)
        raise UserError(f"override {text!r}: unknown entry [{step}]; the parts are {names}")
    return str(order[step])
