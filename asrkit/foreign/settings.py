"""Settings of another toolkit, read key by key: what can't be expressed here is a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asrkit.errors import UserError


@dataclass
class Problems:
    """What can't be imported, collected so that all of it is said at once.

    Args:
        place: Where the settings are, for messages.
        found: The problems so far.
    """

    place: str
    found: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Adds one."""
        self.found.append(problem)

    def refuse(self) -> None:
        """Raises a UserError if there are any."""
        if self.found:
            raise UserError(f"{self.place} can't be imported: " + "; ".join(self.found))


class Settings:
    """The settings of one part, with the defaults of the toolkit.

    Args:
        name: Their key, for messages.
        given: What the configuration says.
        defaults: All keys that the part has, with the value that holds where nothing is said.
        problems: Where problems go: unknown keys first.
    """

    def __init__(
        self, name: str, given: object, defaults: Mapping[str, Any], problems: Problems
    ) -> None:
        self.name, self.problems = name, problems
        known: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
        if given is not None and not isinstance(given, Mapping):
            problems.add(f"{name}: expected keys with values, got {given!r}")
        for key in known.keys() - defaults.keys():
            problems.add(f"{name}.{key}: unknown, so that its effect is, too")
        self._values = {**defaults, **known}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def number(self, key: str) -> int:
        """Returns a whole number; a problem and 1 where it is something else."""
        value = self._values[key]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self.problems.add(f"{self.name}.{key}: expected a whole number, got {value!r}")
        return 1

    def share(self, key: str) -> float:
        """Returns a number; a problem and 0 where it is something else."""
        value = self._values[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        self.problems.add(f"{self.name}.{key}: expected a number, got {value!r}")
        return 0.0

    def require(self, key: str, *allowed: object) -> None:
        """Adds a problem where a value is not one that can be expressed here."""
        if not any(self._values[key] == value for value in allowed):
            expected = " or ".join(repr(value) for value in allowed)
            self.problems.add(f"{self.name}.{key} is {self._values[key]!r}, expected {expected}")

    def chosen(self, key: str, names: Mapping[Any, str]) -> str:
        """Returns the name here of a value there."""
        self.require(key, *names)
        value = self._values[key]
        return names.get(value, next(iter(names.values()))) if isinstance(value, str) else ""
