"""Where a value of a spec came from and what it does; what two specs differ in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from asrkit.config.annotations import annotation_name, classes_in
from asrkit.config.build import filled, node_target
from asrkit.config.key_paths import join
from asrkit.config.kinds import kind_of
from asrkit.config.listing import argument_docs, first_line, keys_of, short
from asrkit.config.renames import current_key
from asrkit.config.signatures import constructor_parameters, type_hints
from asrkit.config.yaml_loader import Spec
from asrkit.errors import UserError


def explain_key(interface: type, spec: Spec, key: str) -> str:
    """Returns the value of a key, where it came from, what it does, and what may stand there.

    Raises:
        UserError: If the spec can have no such key.
    """
    tree: Any = filled(interface, spec)
    key = current_key(key, spec.tree)
    steps: list[str] = re.findall(r"[^.\[\]]+|\[[0-9]+\]", key)
    for number, step in enumerate(steps):
        index: Any = int(step[1:-1]) if step.startswith("[") else step
        try:
            tree = tree[index]
        except (KeyError, IndexError, TypeError):
            around = _joined(steps[:number])
            found = _unset(_annotation(interface, spec, around), steps[number:])
            if found is None:
                known = ", ".join(tree) if isinstance(tree, dict) else "none"
                raise UserError(
                    f"there is no key {key!r} at {step!r}; keys there: {known}"
                ) from None
            return "\n".join([f"{key} is not set: {around} is {short(tree)}", *_described(*found)])
    lines = [f"{key} = {short(tree)}", f"from: {spec.source(key) or 'default'}"]
    target = node_target(interface, spec, key)
    if target is not None:
        lines += _described(*target)
    if isinstance(tree, dict) and isinstance(tree.get("type"), str):
        lines.append(f"type: {tree['type']}")
    return "\n".join(lines)


def _joined(steps: list[str]) -> str:
    """Returns the key path of some steps."""
    return "".join(s if s.startswith("[") else f".{s}" for s in steps).removeprefix(".")


def _annotation(interface: type, spec: Spec, key: str) -> Any:
    """Returns the annotation of the parameter that a key path sets, None if it sets none."""
    found = node_target(interface, spec, key)
    return None if found is None else type_hints(found[0]).get(found[1])


def _unset(annotation: Any, steps: list[str]) -> tuple[Callable[..., Any], str] | None:
    """Returns the class and its parameter that steps below a value of an annotation would lead to.

    Args:
        annotation: Of a value that is not there.
        steps: Keys, at least one.
    """
    if steps[0].startswith("["):  # of a list that is shorter
        return _unset(annotation, steps[1:]) if len(steps) > 1 else None
    for kind in map(kind_of, classes_in(annotation)):
        for target in kind.parts.values():
            if steps[0] in constructor_parameters(target, kind.late):
                hint = type_hints(target).get(steps[0])
                return (target, steps[0]) if len(steps) == 1 else _unset(hint, steps[1:])
    return None


def _described(target: Callable[..., Any], name: str) -> list[str]:
    """Returns what a parameter does, what it may be, and what is below it."""
    lines = [f"what: {argument_docs(target).get(name) or first_line(target)}"]
    hint = type_hints(target).get(name)
    if hint is None:
        return lines
    lines.append(f"kind: {annotation_name(hint)}")
    for kind in map(kind_of, classes_in(hint)):
        if kind.is_choice:
            lines.append(f"{kind.name}: {', '.join(sorted(kind.parts))}")
        else:
            lines += [f"{kind.name}:", *(key.line for key in keys_of(kind.interface, kind.late))]
    return lines


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
