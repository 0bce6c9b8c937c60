"""What a spec may say: all kinds of parts, their names and keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asrkit.config.annotations import annotation_name
from asrkit.config.kinds import Kind, kinds_below
from asrkit.config.signatures import (
    constructor_parameters,
    default_of,
    describe,
    did_you_mean,
    hints_of,
)
from asrkit.errors import UserError


@dataclass(frozen=True)
class Key:
    """A key of a part.

    Args:
        name: The key.
        kind: What may stand there.
        required: Whether it must be given.
        default: What holds otherwise, as YAML would have it.
        what: What it does.
    """

    name: str
    kind: str
    required: bool
    default: Any
    what: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        default = "" if self.required else f" = {short(self.default)}"
        return f"    {self.name} ({self.kind}{default}): {self.what}"


@dataclass(frozen=True)
class Part:
    """A part that a spec can hold.

    Args:
        kind: Its kind.
        name: Its `type`; empty where the kind has no choice.
        is_default: Whether it is meant where no type is given.
        what: What it is.
        keys: Its keys.
    """

    kind: str
    name: str
    is_default: bool
    what: str
    keys: list[Key]

    @property
    def text(self) -> str:
        """A line, and one for each key."""
        usual = ", which is meant where no type is given" if self.is_default else ""
        title = f"{self.name or self.kind}{usual}: {self.what}"
        return "\n".join([title, *(key.line for key in self.keys)])


@dataclass(frozen=True)
class Listing:
    """What specs may hold.

    Args:
        kinds: The names of each kind's parts; none where it has no choice.
        parts: All of the kind that was asked for.
    """

    kinds: dict[str, list[str]]
    parts: list[Part]


def listing(roots: Iterable[type], name: str | None = None) -> Listing:
    """Returns all kinds with their names, and the parts of one of them with their keys.

    Args:
        roots: What whole specs describe.
        name: Of the kind whose parts are wanted.

    Raises:
        UserError: If there is no such kind.
    """
    kinds = kinds_below(roots)
    names = {kind.name: sorted(filter(None, kind.parts)) for kind in kinds.values()}
    if name is None:
        return Listing(names, [_part(kind, "") for kind in kinds.values() if not kind.is_choice])
    wanted = re.sub(r"(?<=[a-z])(?=[A-Z])|[ -]", "_", name).lower()
    if wanted not in kinds:
        hint = did_you_mean(wanted, list(kinds))
        raise UserError(f"unknown kind {name!r}{hint}; there are {', '.join(kinds)}")
    return Listing(names, [_part(kinds[wanted], part) for part in sorted(kinds[wanted].parts)])


def overview(found: Listing) -> str:
    """Returns a line for each kind: those with names, then those that are only keys."""
    width = max(map(len, found.kinds))
    choices = [
        f"{kind:<{width}}  {', '.join(names)}" for kind, names in found.kinds.items() if names
    ]
    plain = [f"{p.kind:<{width}}  {', '.join(key.name for key in p.keys)}" for p in found.parts]
    title = "kinds without a choice of `type`, and their keys:"
    help_line = "`asrkit list KIND` shows what the keys of a kind mean"
    return "\n".join([*choices, "", title, *plain, "", help_line])


def _part(kind: Kind, name: str) -> Part:
    target = kind.parts[name]
    is_default = bool(name) and name == kind.default
    return Part(kind.name, name, is_default, first_line(target), keys_of(target, kind.late))


def keys_of(target: Callable[..., Any], late: tuple[str, ...]) -> list[Key]:
    """Returns the keys of a part."""
    hints, _ = hints_of(target, [])
    documented = argument_docs(target)
    keys = []
    for name, parameter in constructor_parameters(target, late).items():
        required = parameter.default is inspect.Parameter.empty
        default = None if required else describe(default_of(target, name))
        kind = annotation_name(hints[name]) if name in hints else "not annotated"
        keys.append(Key(name, kind, required, default, documented.get(name, "")))
    return keys


def short(value: Any) -> str:
    """Returns a value in one line, as YAML would have it."""
    if isinstance(value, dict):
        if set(value) == {"type"}:
            return str(value["type"])
        return "{" + ", ".join(f"{k}: {short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(short(item) for item in value) + "]"
    if value is None or value == "":
        return "null" if value is None else "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def first_line(target: Callable[..., Any]) -> str:
    """Returns the first line of a class's docstring."""
    return (inspect.getdoc(target) or "").split("\n")[0] if inspect.getdoc(target) else ""


def argument_docs(target: Callable[..., Any]) -> dict[str, str]:
    """Returns what the Args section of a class's docstring says of each parameter."""
    docs: dict[str, str] = {}
    name, inside = "", False
    for line in (inspect.getdoc(target) or "").split("\n"):
        if re.fullmatch(r"\w+:", line.strip()) and not line.startswith(" "):
            inside = line.strip() == "Args:"
        elif inside and (match := re.match(r"    (\w+): (.*)", line)):
            name = match[1]
            docs[name] = match[2]
        elif inside and name and line.startswith("        "):
            docs[name] += " " + line.strip()
    return docs
