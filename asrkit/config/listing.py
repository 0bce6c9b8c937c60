"""What a spec may say: all kinds of parts, their names and keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
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


def list_kinds(roots: Iterable[type], name: str | None) -> str:
    """Returns all kinds with their names or keys, or all that one kind has with their keys.

    Args:
        roots: What whole specs describe.
        name: Of the kind; all of them if None.

    Raises:
        UserError: If there is no such kind.
    """
    kinds = kinds_below(roots)
    if name is None:
        return _overview(kinds)
    wanted = re.sub(r"(?<=[a-z])(?=[A-Z])|[ -]", "_", name).lower()
    if wanted not in kinds:
        hint = did_you_mean(wanted, list(kinds))
        raise UserError(f"unknown kind {name!r}{hint}; there are {', '.join(kinds)}")
    kind = kinds[wanted]
    return "\n\n".join(_part(kind, part) for part in sorted(kind.parts))


def _overview(kinds: dict[str, Kind]) -> str:
    """Returns a line for each kind: those with names, then those that are their keys."""
    width = max(map(len, kinds))
    choices = [k for k in kinds.values() if k.is_choice]
    plain = [k for k in kinds.values() if not k.is_choice]
    return "\n".join(
        [
            *(f"{kind.name:<{width}}  {', '.join(sorted(kind.parts))}" for kind in choices),
            "",
            "kinds without a choice of `type`, and their keys:",
            *(
                f"{kind.name:<{width}}  {', '.join(constructor_parameters(kind.interface))}"
                for kind in plain
            ),
            "",
            "`asrkit list KIND` shows what the keys of a kind mean",
        ]
    )


def _part(kind: Kind, name: str) -> str:
    target = kind.parts[name]
    usual = ", which is meant where no type is given" if name and name == kind.default else ""
    title = f"{name or kind.name}{usual}: {first_line(target)}"
    return "\n".join([title, *keys_of(target, kind.late)])


def keys_of(target: Callable[..., Any], late: tuple[str, ...]) -> list[str]:
    """Returns a line for each key of a part: what it may be, its default, what it does."""
    hints, _ = hints_of(target, [])
    documented = argument_docs(target)
    lines = []
    for key, parameter in constructor_parameters(target, late).items():
        default = (
            ""
            if parameter.default is inspect.Parameter.empty
            else " = " + short(describe(default_of(target, key)))
        )
        kind = annotation_name(hints[key]) if key in hints else "not annotated"
        lines.append(f"    {key} ({kind}{default}): {documented.get(key, '')}")
    return lines


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
