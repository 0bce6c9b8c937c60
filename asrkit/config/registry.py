"""Names for the implementations of one interface, so that YAML can say `type: conformer`.

A `Registry` belongs to one interface class and stands next to it. An implementation registers
itself with a decorator; its annotated constructor is the schema of its YAML node.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

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
            known = self.entries.get(name)
            if known is not None and not _same_place(known, implementation):
                raise ValueError(
                    f"{self.kind} {name!r} is already registered, by {known.__module__}."
                    f"{getattr(known, '__qualname__', known)}: choose another name"
                )
            self.entries[name] = implementation
            return implementation

        return add


def _same_place(known: Callable[..., Any], other: type) -> bool:
    """Returns whether a class was defined again, as after an import that failed further down."""
    here = getattr(known, "__module__", None), getattr(known, "__qualname__", None)
    return here == (other.__module__, other.__qualname__)


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
