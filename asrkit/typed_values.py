"""Checks values read from a file against annotations."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from asrkit.config.key_paths import join

Check = Callable[[Any], Any]


@dataclass(frozen=True)
class AtLeast:
    """A lower bound of numbers, for `Annotated`."""

    low: float


@dataclass(frozen=True)
class MayBeInfinite:
    """Allows a float to be infinite or NaN, for `Annotated`."""


Count = Annotated[int, AtLeast(0)]
Amount = Annotated[float, AtLeast(0.0)]
AnyFloat = Annotated[float, MayBeInfinite()]


class WrongError(Exception):
    """What is wrong with a value; its key path is collected from the inside out."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.steps: list[str | int] = []

    def told(self) -> str:
        """Returns the key path and what is wrong there."""
        key = ""
        for step in reversed(self.steps):
            key = join(key, step)
        return f"{key}: {self}" if key else str(self)


def _refuse(expected: str, value: Any) -> NoReturn:
    raise WrongError(f"expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _inside(check: Check, value: Any, step: str | int) -> Any:
    try:
        return check(value)
    except WrongError as wrong:
        wrong.steps.append(step)
        raise


def check_of(kind: Any) -> Check:
    """Returns a function that returns a value as the given type, or raises `WrongError`.

    Args:
        kind: A `TypedDict`, a dataclass, or a type such as `list[float]`, `Count | None`.
    """
    return _check_of(kind)


@cache
def _check_of(kind: Any) -> Check:  # noqa: C901 - a table of kinds
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if kind == AnyFloat:
        return _any_float
    if origin is Annotated:
        return _bounded(check_of(arguments[0]), arguments[1])
    if origin in (Union, types.UnionType):
        return _any_of(kind)
    if origin is Literal:
        return _one_of(arguments)
    if origin is list:
        return _list_of(check_of(arguments[0]))
    if origin is tuple:
        return _tuple_of([check_of(argument) for argument in arguments])
    if origin is dict:
        return _mapping_of(check_of(arguments[1]))
    if is_typeddict(kind):
        return _typed_dict(kind)
    if is_dataclass(kind):
        return _dataclass(kind)
    return _scalar(kind)


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _scalar(kind: Any) -> Check:
    def check(value: Any) -> Any:
        if kind is float and type(value) is int and abs(value) < 2**63:
            return value
        if type(value) is not kind or (kind is int and abs(value) >= 2**63):
            _refuse(_NAMES[kind], value)
        if kind is float and not math.isfinite(value):
            _refuse("a finite number", value)
        return value

    if kind is type(None):
        return lambda value: None if value is None else _refuse("null", value)
    assert kind in _NAMES, f"JSON files can't contain a {kind}"
    return check


def _any_float(value: Any) -> Any:
    return value if type(value) is float else _scalar(float)(value)


def _bounded(inner: Check, bound: Any) -> Check:
    def check(value: Any) -> Any:
        found = inner(value)
        if isinstance(bound, AtLeast) and found < bound.low:
            _refuse(f"at least {bound.low:g}", value)
        return found

    return check


def _any_of(kind: Any) -> Check:
    options = get_args(kind)
    checks = [check_of(option) for option in options if option is not type(None)]

    def check(value: Any) -> Any:
        if value is None and type(None) in options:
            return None
        for number, option in enumerate(checks, start=1):
            try:
                return option(value)
            except WrongError:
                if number == len(checks):
                    raise
        return None

    return check


def _one_of(options: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if value not in options:
            _refuse("one of " + ", ".join(map(repr, options)), value)
        return value

    return check


def _list_of(inner: Check) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, list):
            _refuse("a list", value)
        return [_inside(inner, item, index) for index, item in enumerate(value)]

    return check


def _tuple_of(inner: list[Check]) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(inner):
            _refuse(f"a list of {len(inner)}", value)
        pairs = zip(inner, value, strict=True)
        return tuple(_inside(each, item, index) for index, (each, item) in enumerate(pairs))

    return check


def _mapping_of(inner: Check) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            _refuse("a mapping", value)
        return {key: _inside(inner, item, key) for key, item in value.items()}

    return check


def _typed_dict(kind: Any) -> Check:
    hints = _hints(kind)  # __required_keys__ is wrong where annotations are postponed
    required = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    checks = {
        name: check_of(hint if name in required else get_args(hint)[0])
        for name, hint in hints.items()
    }

    def check(value: Any) -> Any:
        known = _known(value, checks, required)
        return {**value, **known}

    return check


def _dataclass(kind: Any) -> Check:
    hints = _hints(kind)
    checks = {entry.name: check_of(hints[entry.name]) for entry in fields(kind)}
    required = {
        entry.name
        for entry in fields(kind)
        if entry.default is MISSING and entry.default_factory is MISSING
    }

    def check(value: Any) -> Any:
        try:
            return kind(**_known(value, checks, required))
        except ValueError as error:
            raise WrongError(str(error)) from error

    return check


def _known(value: Any, checks: dict[str, Check], required: Any) -> dict[str, Any]:
    """Returns the keys of a mapping that are in its type."""
    if not isinstance(value, dict):
        _refuse(f"a mapping with {', '.join(checks)}", value)
    for name in checks:
        if name in required and name not in value:
            raise WrongError(f"the key {name!r} is missing")
    return {n: _inside(check, value[n], n) for n, check in checks.items() if n in value}


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
