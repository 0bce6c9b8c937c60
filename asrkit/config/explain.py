"""Reading aids: what a spec may say, where a value came from, what two specs differ in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from asrkit.config.build import filled, node_target
from asrkit.config.registry import Registry, all_registries
from asrkit.config.renames import current_key
from asrkit.config.signatures import (
    annotation_name,
    constructor_parameters,
    default_of,
    describe,
    did_you_mean,
    hints_of,
    type_hints,
)
from asrkit.config.yaml_loader import Spec, join
from asrkit.errors import UserError


def list_registry(kind: str | None) -> str:
    """Returns all kinds with their names, or all parts of one kind with their keys.

    Raises:
        UserError: If there is no such kind.
    """
    registries = {registry.kind: registry for registry in all_registries()}
    if kind is None:
        width = max(map(len, registries))
        rows = [f"{k:<{width}}  {', '.join(sorted(r.entries))}" for k, r in registries.items()]
        return "\n".join([*rows, "", "`asrkit list KIND` shows the keys of each part of a kind"])
    if kind not in registries:
        hint = did_you_mean(kind, list(registries))
        raise UserError(f"there is no kind {kind!r}{hint}; there are {', '.join(registries)}")
    registry = registries[kind]
    return "\n\n".join(_entry(registry, name) for name in sorted(registry.entries))


def _entry(registry: Registry[Any], name: str) -> str:
    target = registry.entries[name]
    lines = [f"{name}: {first_line(target)}"]
    hints, _ = hints_of(target, [])
    documented = argument_docs(target)
    for key, parameter in constructor_parameters(target, registry.late).items():
        default = (
            ""
            if parameter.default is inspect.Parameter.empty
            else " = " + short(describe(default_of(target, key)))
        )
        kind = annotation_name(hints[key]) if key in hints else "not annotated"
        lines.append(f"    {key} ({kind}{default}): {documented.get(key, '')}")
    return "\n".join(lines)


def explain_key(interface: type, spec: Spec, key: str) -> str:
    """Returns the value of a key, where it came from, and what it does.

    Raises:
        UserError: If the spec has no such key.
    """
    tree: Any = filled(interface, spec)
    key = current_key(key, spec.tree)
    for step in re.findall(r"[^.\[\]]+|\[[0-9]+\]", key):
        index: Any = int(step[1:-1]) if step.startswith("[") else step
        try:
            tree = tree[index]
        except (KeyError, IndexError, TypeError):
            known = ", ".join(tree) if isinstance(tree, dict) else "none"
            raise UserError(f"there is no key {key!r} at {step!r}; keys there: {known}") from None
    source = spec.source(key) or "default"
    lines = [f"{key} = {short(tree)}", f"from: {source}"]
    found = node_target(interface, spec, key)
    if found is not None:
        target, name = found
        text = argument_docs(target).get(name)
        lines.append(f"what: {text or first_line(target)}")
        if name in type_hints(target):
            lines.append(f"kind: {annotation_name(type_hints(target)[name])}")
    if isinstance(tree, dict) and isinstance(tree.get("type"), str):
        lines.append(f"type: {tree['type']}")
    return "\n".join(lines)


def difference(first: Any, second: Any, path: str = "") -> list[str]:
    """Returns a line per key in which two filled trees differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        rows = []
        for key in [*first, *(k for k in second if k not in first)]:
            child = join(path, key)
            if key not in first:
                rows.append(f"{child}: (none) -> {short(second[key])}")
            elif key not in second:
                rows.append(f"{child}: {short(first[key])} -> (none)")
            else:
                rows += difference(first[key], second[key], child)
        return rows
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        rows = []
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            rows += difference(one, other, join(path, index))
        return rows
    return [] if first == second else [f"{path}: {short(first)} -> {short(second)}"]


def short(value: Any) -> str:
    """Returns a value in one line, as YAML would have it."""
    if isinstance(value, dict):
        if set(value) == {"type"}:
            return str(value["type"])
        return "{" + ", ".join(f"{k}: {short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(short(item) for item in value) + "]"
    if value is None:
        return "null"
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
