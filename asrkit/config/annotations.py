"""How messages call the values of an annotation, and which classes it names."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory, registry_of

SCALARS: tuple[type, ...] = (bool, int, float, str, Path)
_NAMES: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
    type(None): ("null", "null"),
    Any: ("anything", "anything"),
}
"""One value, and several."""
_MASS = re.compile(r"(^|[ _])(data|training|noise|chunking|pruning|\w+[^su]s)$")
"""Names without an article or a plural."""
_COUNTS = {2: "pair", 3: "triple"}


def annotation_name(annotation: Any) -> str:
    """Returns how messages call a value of an annotation, such as "a whole number"."""
    return _name(annotation, several=False)


def kind_name(interface: type) -> str:
    """Returns what a class describes in words: "encoder", or "gradient noise" of GradientNoise."""
    registry = registry_of(interface)
    name = interface.__name__
    return registry.kind if registry else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def classes_in(annotation: Any) -> Iterator[type]:
    """Yields the interfaces and classes whose keys an annotation lets YAML set."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if annotation not in _NAMES:
            yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from classes_in(part)


def _name(annotation: Any, several: bool) -> str:
    """Returns the name of one value, or of several: "a number", "numbers"."""
    if annotation in _NAMES:
        return _NAMES[annotation][several]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(value) for value in arguments)
    if origin is Factory:
        return _name(arguments[0], several)
    if origin in (Union, types.UnionType):
        return " or ".join(_name(part, several) for part in arguments)
    if origin in (list, tuple) or _is(origin, Sequence):
        return _list_name(origin, arguments, several)
    if origin is Ordered:
        return f"named parts in order, each {annotation_name(arguments[0])}"
    if origin is dict or _is(origin, Mapping):
        values = arguments[1]
        each = "" if values is Any else f", each {annotation_name(values)}"
        return ("mappings" if several else "a mapping") + f" of names{each}"
    return _class_name(annotation, several)


def _list_name(origin: Any, items: tuple[Any, ...], several: bool) -> str:
    fixed = origin is tuple and items[-1] is not Ellipsis
    group = _COUNTS.get(len(items), "list") if fixed else "list"
    inner = items[:1] if fixed and len(set(items)) == 1 else items if fixed else items[:1]
    held = " and ".join(_name(item, several=True) for item in inner)
    return (f"{group}s" if several else f"a {group}") + f" of {held}"


def _class_name(annotation: Any, several: bool) -> str:
    name = kind_name(annotation) if isinstance(annotation, type) else str(annotation)
    if _MASS.search(name):
        return name
    if not several:
        return ("an " if name[0] in "aeiou" else "a ") + name
    if name.endswith(("s", "sh", "ch", "x")):
        return name + "es"
    return name[:-1] + "ies" if re.search("[^aeiou]y$", name) else name + "s"


def _is(origin: Any, abstract: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, abstract)
