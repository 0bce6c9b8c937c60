"""Loads experiment files: safe YAML 1.2 scalars, `extends`, `key=value` overrides, known sources.

Every value keeps the place it came from, so that errors and `asrkit explain` can name file and
line. A file that says `extends: base.yaml` starts from that file: mappings are merged key by key;
lists, scalars and mappings whose `type` differs replace what the base says, and null takes out a
mapping of the base, such as a head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from asrkit.errors import UserError
from asrkit.files import replaced

_INT = re.compile(r"[-+]?[0-9]+$")
_OCTAL = re.compile(r"0o[0-7]+$")
_HEX = re.compile(r"0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_TAGS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
"""What PyYAML calls plain values before it is told their YAML 1.2 meaning."""
_SPECIAL = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass
class Spec:
    """A loaded tree of mappings, lists and scalars, and where each value came from.

    Args:
        tree: The merged tree, without `extends`.
        sources: "file:line" or "override" by key path, such as `model.heads.ctc.weight`.
    """

    tree: Any
    sources: dict[str, str] = field(default_factory=dict)

    def source(self, path: str) -> str | None:
        """Returns where the value at a key path came from, or None for a default."""
        return self.sources.get(path)


def join(path: str, key: str | int) -> str:
    """Returns the key path of a child: `a.b` for mappings, `a[0]` for lists."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def load(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Loads a spec file with everything it extends, then applies overrides.

    Args:
        path: The YAML file.
        overrides: `a.b[2].c=value` changes; the value is YAML.

    Raises:
        UserError: If a file is missing or malformed, or an override can't be applied.
    """
    spec = _load_file(path, ())
    for text in overrides:
        _apply(spec, text)
    return spec


def override(tree: Any, overrides: Sequence[str]) -> Any:
    """Returns a tree changed by `key=value` overrides."""
    spec = Spec(_copy(tree))
    for text in overrides:
        _apply(spec, text)
    return spec.tree


def change(tree: Any, changes: Mapping[str, Any], without: Sequence[str] = ()) -> None:
    """Changes a tree in place.

    Args:
        tree: Mappings and lists.
        changes: Values by key path; a mapping is merged into what is there unless its `type` is
            another.
        without: Key paths that are removed.

    Raises:
        UserError: If a key path has no place in the tree, or what is to be removed is not there.
    """
    spec = Spec(tree)
    for key in without:
        steps = _steps(key)
        if not steps:
            raise UserError(f"{key!r} is no key path")
        parent = tree
        for step in steps[:-1]:
            parent = parent.get(step) if isinstance(parent, dict) else None
        if not isinstance(parent, dict) or steps[-1] not in parent:
            raise UserError(f"there is no {key!r} to leave out")
        del parent[steps[-1]]
    for key, value in changes.items():
        _put(spec, key, _copy(value), key)


def dump(tree: Any, path: Path) -> None:
    """Writes a tree as YAML."""
    with replaced(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _load_file(path: Path, above: tuple[Path, ...]) -> Spec:
    if path.resolve() in above:
        chain = " -> ".join(str(p) for p in (*above, path.resolve()))
        raise UserError(f"{path}: extends itself: {chain}")
    spec = _parse(path)
    bases = spec.tree.pop("extends", None) if isinstance(spec.tree, dict) else None
    if bases is None:
        return spec
    where = spec.sources.pop("extends")
    merged = Spec({})
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise UserError(f"{where}: extends: expected the name of a YAML file, got {base!r}")
        base_path = path.parent / base
        if not base_path.is_file():
            raise UserError(f"{where}: extends: there is no file {base_path}")
        merged = _merge(merged, _load_file(base_path, (*above, path.resolve())), "")
    return _merge(merged, spec, "")


def _parse(path: Path) -> Spec:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no spec file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from error
    spec = Spec({})
    if node is not None:
        spec.tree = _construct(node, "", str(path), spec.sources)
    if not isinstance(spec.tree, dict):
        raise UserError(f"{path}:1: a spec is a mapping of keys, got {type(spec.tree).__name__}")
    return spec


def _construct(node: yaml.Node, path: str, file: str, sources: dict[str, str]) -> Any:
    where = f"{file}:{node.start_mark.line + 1}"
    if path:
        sources[path] = where
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
        raise UserError(f"{where}: the tag {node.tag!r} is not allowed; specs hold plain values")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, file, sources)
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(item, join(path, index), file, sources)
            for index, item in enumerate(node.value)
        ]
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.style in ("'", '"', "|", ">") else scalar(node.value)


def _mapping(
    node: yaml.MappingNode, path: str, file: str, sources: dict[str, str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key == "<<":
            raise UserError(f"{file}:{line}: merge keys (<<) are not supported; use extends:")
        if key in lines:
            raise UserError(
                f"{file}:{line}: key {key!r} is given twice, first in line {lines[key]}"
            )
        lines[key] = line
        result[key] = _construct(value_node, join(path, key), file, sources)
        sources[join(path, key)] = f"{file}:{line}"
    return result


def scalar(text: str) -> Any:
    """Returns the value of an unquoted scalar by the YAML 1.2 core schema."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.match(text):
        return int(text)
    if _OCTAL.match(text) or _HEX.match(text):
        return int(text, 0)
    return float(text) if _FLOAT.match(text) else text


def _merge(base: Spec, change: Spec, path: str) -> Spec:
    """Returns base with change on top; both are subtrees at the same path."""
    merged = Spec(base.tree, dict(base.sources))
    merged.tree = _merge_tree(base.tree, change.tree, path, merged.sources)
    merged.sources.update(change.sources)
    return merged


def _merge_tree(base: Any, change: Any, path: str, sources: dict[str, str]) -> Any:
    together = isinstance(base, dict) and isinstance(change, dict)
    if not together or ("type" in change and change["type"] != base.get("type")):
        for key in [key for key in sources if _below(key, path)]:
            del sources[key]
        return change
    result = dict(base)
    for key, value in change.items():
        child = join(path, key)
        if value is None and isinstance(base.get(key), dict):
            del result[key]
            for source in [source for source in sources if _below(source, child)]:
                del sources[source]
            continue
        result[key] = _merge_tree(base[key], value, child, sources) if key in base else value
    return result


def _below(key: str, path: str) -> bool:
    return key == path or (key.startswith(path) and key[len(path)] in ".[") if path else True


def _apply(spec: Spec, text: str) -> None:
    key, equals, value_text = text.partition("=")
    if not equals or not _steps(key):
        raise UserError(f"override {text!r}: expected key=value, such as training.epochs=20")
    try:
        node = yaml.compose(value_text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"override {text!r}: the value is not valid YAML: {error}") from error
    _put(spec, key, None if node is None else _construct(node, "", "override", {}), text)


def _put(spec: Spec, key: str, value: Any, text: str) -> None:
    """Sets the value at a key path; `text` is what messages quote."""
    steps = _steps(key)
    if not steps:
        raise UserError(f"{key!r} is no key path, such as training.epochs")
    parent: Any = spec.tree
    for depth, step in enumerate(steps[:-1]):
        parent = _descend(parent, step, steps[depth + 1], text)
    last: Any = steps[-1]
    if isinstance(parent, list):
        last = _list_index(parent, last, text)
    elif not isinstance(parent, dict) or isinstance(last, int):
        raise UserError(f"override {text!r}: {key!r} has no place in the spec")
    old = parent[last] if isinstance(parent, list) or last in parent else None
    for source in [s for s in spec.sources if _below(s, key)]:
        del spec.sources[source]
    replaces = not (isinstance(old, dict) and isinstance(value, dict))
    parent[last] = value if replaces else _merge_tree(old, value, key, {})
    spec.sources[key] = "override"


def _descend(parent: Any, step: str | int, after: str | int, text: str) -> Any:
    if isinstance(parent, list):
        return parent[_list_index(parent, step, text)]
    if not isinstance(parent, dict) or isinstance(step, int):
        raise UserError(f"override {text!r}: {step!r} is no key there")
    if isinstance(parent.get(step), str) and isinstance(after, str):
        parent[step] = {"type": parent[step]}  # `order: random` is short for `{type: random}`
    if parent.get(step) is None:
        parent[step] = {}
    return parent[step]


def _list_index(items: list[Any], step: str | int, text: str) -> int:
    if not isinstance(step, int) or not 0 <= step < len(items):
        raise UserError(
            f"override {text!r}: {step!r} is no entry of the list there; it has [0] to "
            f"[{len(items) - 1}], as in `augment[0].key=value`"
        )
    return step


def _steps(key: str) -> list[str | int]:
    """Returns the steps of a key path: `a.b[2]` gives a, b, 2."""
    if not re.fullmatch(r"[^.\[\]]+(\.[^.\[\]]+|\[[0-9]+\])*", key):
        return []
    parts = re.findall(r"[^.\[\]]+|\[[0-9]+\]", key)
    return [int(part[1:-1]) if part.startswith("[") else part for part in parts]


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


class _Dumper(yaml.SafeDumper):
    """Writes floats and strings so that both YAML 1.1 and 1.2 readers agree on them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    return dumper.represent_scalar("tag:yaml.org,2002:float", special.get(text, text))


_Dumper.add_representer(float, _represent_float)
