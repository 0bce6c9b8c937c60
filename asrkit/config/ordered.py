"""Parts with names, in an order: sublayers of a block, frontends, augmentations, parameter groups.

In YAML they are a mapping, so that a variant names the one that it changes:

    blocks:
      attention: {module: {type: self_attention, num_heads: 4}}
      convolution: {module: {type: convolution, kernel_size: 15}}
      order: [convolution, attention]   # that of the mapping where it is not given

A list of entries is read as well, each called by its `name`, else by its `type`; entries of a list
can't be changed one by one, so a list can't be put over a mapping.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")
ORDER = "order"


class Ordered(dict[str, T]):
    """Parts by name, in the order in which they are used."""


def is_named_list(value: Any) -> bool:
    """Returns whether a value is a list of mappings (or short names), such as parts are."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, (dict, str)) for item in value)
        and any(isinstance(item, dict) for item in value)
    )


def names_of(items: Iterable[Any]) -> list[str]:
    """Returns a name for each entry of a list: its `name`, or its `type` with a number if needed.

    Raises:
        ValueError: If two entries give the same `name`.
    """
    names: list[str] = []
    for item in items:
        parts = item if isinstance(item, dict) else {"type": item}
        given, count = str(parts.get("name", parts.get("type", "part"))), 1
        if "name" in parts and given in names:
            raise ValueError(f"two parts are named {given!r}")
        name = given
        while name in names:
            count += 1
            name = f"{given}_{count}"
        names.append(name)
    return names


def without_name(item: Any) -> Any:
    """Returns an entry of a list as it is in a mapping, where its name is the key."""
    return {k: v for k, v in item.items() if k != "name"} if isinstance(item, dict) else item


def as_mapping(items: list[Any]) -> dict[str, Any]:
    """Returns a list of entries as a mapping."""
    pairs = zip(names_of(items), items, strict=True)
    return {name: without_name(item) for name, item in pairs}


def order_of(mapping: dict[str, Any]) -> list[str]:
    """Returns the names of a mapping's parts in the order in which they are used.

    Raises:
        ValueError: If `order` is not a list of exactly these names.
    """
    names = [name for name in mapping if name != ORDER]
    order = mapping.get(ORDER)
    if order is None:
        return names
    if not isinstance(order, list):
        raise ValueError(f"order: expected a list of names, got {order!r}")
    for name in order:
        if name not in names:
            raise ValueError(
                f"order: unknown name {name!r}; the parts are {', '.join(names) or 'none'}"
            )
        if order.count(name) > 1:
            raise ValueError(f"order: {name!r} is listed twice")
    missing = [name for name in names if name not in order]
    close = difflib.get_close_matches(missing[0], order, n=1) if missing else []
    if close:
        raise ValueError(f"unknown part {missing[0]!r}; did you mean {close[0]!r}?")
    if missing:
        raise ValueError(
            f"order: {', '.join(missing)} is missing; list all parts; remove one with `NAME: null`"
        )
    return order


def take_out(mapping: dict[str, Any], key: str) -> None:
    """Removes a part from a mapping, and from its order."""
    del mapping[key]
    order = mapping.get(ORDER)
    if isinstance(order, list) and key in order:
        mapping[ORDER] = [name for name in order if name != key]
