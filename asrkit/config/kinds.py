"""All kinds of parts that specs can hold, found from the signatures that specs are built by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asrkit.config.annotations import classes_in, kind_name
from asrkit.config.registry import all_registries, registry_of
from asrkit.config.signatures import constructor_parameters, type_hints


@dataclass(frozen=True)
class Kind:
    """A kind of part, such as an encoder.

    Args:
        name: As `asrkit list` shows it.
        interface: The class that annotations name.
        parts: What it may be, by `type`; only the class, under no name, where there is no choice.
        late: Arguments that the part around it supplies.
        default: The type that is meant where none is given.
    """

    name: str
    interface: type
    parts: dict[str, Callable[..., Any]]
    late: tuple[str, ...] = ()
    default: str | None = None

    @property
    def is_choice(self) -> bool:
        """Whether a `type` chooses among parts."""
        return "" not in self.parts


def kind_of(interface: type) -> Kind:
    """Returns the kind for a class in an annotation."""
    name = kind_name(interface).replace(" ", "_")
    registry = registry_of(interface)
    if registry is None:
        return Kind(name, interface, {"": interface})
    return Kind(name, interface, dict(registry.entries), registry.late, registry.default)


def kinds_below(roots: Iterable[type]) -> dict[str, Kind]:
    """Returns all kinds that some classes can hold, themselves included, by name and in its order.

    Interfaces that only plugins use are among them.

    Raises:
        ValueError: If two classes would have the same name.
    """
    waiting = [*roots, *(registry.interface for registry in all_registries())]
    found: dict[str, Kind] = {}
    while waiting:
        kind = kind_of(waiting.pop())
        known = found.setdefault(kind.name, kind)
        if known.interface is not kind.interface:
            raise ValueError(f"{known.interface} and {kind.interface} are both named {kind.name}")
        if known is kind:
            for target in kind.parts.values():
                waiting += held_by(target, kind.late)
    return dict(sorted(found.items()))


def held_by(target: Callable[..., Any], late: tuple[str, ...]) -> list[type]:
    """Returns the interfaces and classes that the keys of a part may hold."""
    hints = type_hints(target)
    keys = constructor_parameters(target, late)
    return [found for key in keys if key in hints for found in classes_in(hints[key])]
