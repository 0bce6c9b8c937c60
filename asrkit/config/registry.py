"""Names for the implementations of one interface, so that YAML can say `type: conformer`.

A `Registry` belongs to one interface class and stands next to it. An implementation registers
itself with a decorator; its annotated constructor is the schema of its YAML node.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from asrkit.errors import UserError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Factory(Protocol[T_co]):
    """Makes a T once its parent supplies the late arguments: a class or a checked spec."""

    def __call__(self, *args: Any, **late: Any) -> T_co:
        """Makes the object."""
        ...


class Registry(Generic[T]):
    """The named implementations of one interface.

    Args:
        kind: What error messages and `asrkit list` call the interface, such as "encoder".
        interface: The class that annotations use.
        late: Constructor parameters that the parent supplies; YAML may not set them.
        default: The name meant where YAML gives no `type`.
    """

    def __init__(
        self, kind: str, interface: type[T], late: tuple[str, ...] = (), default: str | None = None
    ) -> None:
        self.kind = kind
        self.interface = interface
        self.late = late
        self.default = default
        self.entries: dict[str, Callable[..., T]] = {}
        if interface in _registries:
            raise ValueError(f"{interface.__name__} already has a registry")
        _registries[interface] = self

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Returns a class decorator that adds the class under `name`.

        Raises:
            ValueError: If the name is taken.
        """

        def add(implementation: type[T]) -> type[T]:
            if name in self.entries:
                raise ValueError(f"{self.kind} '{name}' is already registered")
            self.entries[name] = implementation
            return implementation

        return add


_registries: dict[type, Registry[Any]] = {}


def registry_of(interface: type) -> Registry[Any] | None:
    """Returns the registry of an interface class, or None where it has none."""
    return _registries.get(interface)


def all_registries() -> list[Registry[Any]]:
    """Returns every registry, ordered by kind."""
    return sorted(_registries.values(), key=lambda registry: registry.kind)


def import_all(package: str = "asrkit") -> None:
    """Imports every module of a package, so that every name is registered."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, prefix=f"{package}."):
        importlib.import_module(module.name)


def import_plugin(name: str, where: str) -> None:
    """Imports a user's module, which registers more names.

    Args:
        name: Of the module.
        where: What names it, for the message.

    Raises:
        UserError: If it can't be imported, or fails.
    """
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a user's code may raise
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise UserError(
            f"{where}: can't import {name!r}: {kind}{error}; is its folder on PYTHONPATH?"
        ) from error
