"""What constructors say of themselves: parameters, annotations, defaults, and how to name them."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from asrkit.config.registry import Registry, registry_of


def constructor_parameters(
    target: Callable[..., Any], late: tuple[str, ...] = ()
) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a constructor that YAML may set."""
    return {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in late
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def type_hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Returns the annotations of a constructor."""
    constructor: Any = target
    if isinstance(target, type) and is_dataclass(target):
        # Inherited fields are annotated by names of the module that they were written in.
        return typing.get_type_hints(target)
    if isinstance(target, type):
        constructor = getattr(target, "__init__")  # noqa: B009 - mypy refuses the plain access
    return typing.get_type_hints(constructor)


def hints_of(target: Callable[..., Any], names: list[str]) -> tuple[dict[str, Any], str]:
    """Returns the annotations of a constructor, and what is wrong with them, if something is."""
    label = f"{target.__module__}.{getattr(target, '__qualname__', target)}"
    try:
        hints = type_hints(target)
    except (NameError, TypeError) as error:
        return {}, f"the annotations of {label} can't be read: {error}"
    bare = [name for name in names if name not in hints]
    if bare:
        said = f"the argument {bare[0]!r} of {label} has no annotation, which says what YAML may "
        return hints, said + f"give it: write such as `{bare[0]}: int`"
    return hints, ""


def default_of(target: Callable[..., Any], key: str) -> Any:
    """Returns the default of a parameter, made afresh where a dataclass has a factory for it."""
    if is_dataclass(target):
        for entry in fields(target):
            if entry.name == key and entry.default_factory is not MISSING:
                return entry.default_factory()
    return inspect.signature(target).parameters[key].default


def describe(value: Any) -> Any:
    """Returns the YAML tree of a default: a plain value, a class, or an object made of defaults."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    kind = value if isinstance(value, type) else type(value)
    registry, name = _registered(kind)
    tree: dict[str, Any] = {} if name is None else {"type": name}
    for key in constructor_parameters(kind, registry.late if registry else ()):
        default = default_of(kind, key)
        tree[key] = describe(default if isinstance(value, type) else getattr(value, key, default))
    return tree


def _registered(kind: type) -> tuple[Registry[Any] | None, str | None]:
    for base in kind.__mro__:
        registry = registry_of(base)
        if registry is not None:
            for name, entry in registry.entries.items():
                if entry is kind:
                    return registry, name
            return registry, None
    return None, None


def shown(value: Any) -> str:
    """Returns how messages name a value."""
    if isinstance(value, dict):
        return f"a mapping with keys {', '.join(map(str, value)) or 'none'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"the text {value!r}" if isinstance(value, str) else repr(value)


def did_you_mean(name: Any, known: Sequence[str] | Mapping[str, str]) -> str:
    """Returns what a message says of the nearest known name; nothing where none is near.

    Args:
        name: What was given.
        known: Names; or, by name, what is suggested where it is near.
    """
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    if not close:
        return ""
    return f"; did you mean '{known[close[0]] if isinstance(known, Mapping) else close[0]}'?"
