"""Loads experiment files: safe YAML 1.2 scalars, `extends`, `key=value` overrides, known sources.

Every value keeps the place it came from, so that errors and `asrkit explain` can name file and
line. A file that says `extends: base.yaml` starts from that file: mappings are merged key by key;
lists, scalars and mappings whose `type` differs replace what the base says, and null takes out a
mapping of the base, such as a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.config.key_paths import copy_of, is_below, join, steps
from asrkit.config.yaml_text import dump, parse, read_yaml, scalar
from asrkit.errors import UserError

__all__ = ["Spec", "change", "dump", "files_of", "join", "load", "override", "scalar"]

MAX_FILES = 100
"""That a spec extends, counted each time that one is named."""


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


def load(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Loads a spec file with everything it extends, then applies overrides.

    Args:
        path: The YAML file.
        overrides: `a.b[2].c=value` changes; the value is YAML.

    Raises:
        UserError: If a file is missing or malformed, or an override can't be applied.
    """
    spec = _Files().load(path)
    spec = Spec(copy_of(spec.tree), dict(spec.sources))
    for text in overrides:
        _apply(spec, text)
    return spec


def files_of(path: Path) -> list[Path]:
    """Returns a spec file and the files that it extends, each once.

    Raises:
        UserError: If one is missing or malformed.
    """
    files = _Files()
    files.load(path)
    return list(files.read.values())


def override(tree: Any, overrides: Sequence[str]) -> Any:
    """Returns a tree changed by `key=value` overrides."""
    spec = Spec(copy_of(tree))
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
        _leave_out(tree, key)
    for key, value in changes.items():
        _put(spec, key, copy_of(value), key)


def _leave_out(tree: Any, key: str) -> None:
    path = steps(key)
    if not path:
        raise UserError(f"{key!r} is no key path")
    parent = tree
    for step in path[:-1]:
        parent = parent.get(step) if isinstance(parent, dict) else None
    if not isinstance(parent, dict) or path[-1] not in parent:
        raise UserError(f"there is no {key!r} to leave out")
    del parent[path[-1]]


class _Files:
    """The files of a spec, each read once however often it is extended."""

    def __init__(self) -> None:
        self.read: dict[Path, Path] = {}
        self._loaded: dict[Path, Spec] = {}
        self._open: list[Path] = []
        self._named = 0

    def load(self, path: Path) -> Spec:
        """Returns the merged tree of a file and what it extends."""
        place = path.resolve()
        if place in self._open:
            chain = " -> ".join(str(p) for p in (*self._open, place))
            raise UserError(f"{path}: extends itself: {chain}")
        if place not in self._loaded:
            self.read[place] = path
            self._open.append(place)
            self._loaded[place] = self._merged(path)
            self._open.pop()
        return self._loaded[place]

    def _merged(self, path: Path) -> Spec:
        spec = _parse(path)
        bases = spec.tree.pop("extends", None)
        if bases is None:
            return spec
        where = spec.sources.pop("extends")
        merged = Spec({})
        for base in bases if isinstance(bases, list) else [bases]:
            if not isinstance(base, str):
                raise UserError(f"{where}: extends: expected the name of a YAML file, got {base!r}")
            self._named += 1
            if self._named > MAX_FILES:
                raise UserError(f"{where}: extends: more than {MAX_FILES} files")
            base_path = path.parent / base
            if not base_path.is_file():
                raise UserError(f"{where}: extends: there is no file {base_path}")
            merged = _merge(merged, self.load(base_path), "")
        return _merge(merged, spec, "")


def _parse(path: Path) -> Spec:
    spec = Spec({})
    tree = read_yaml(path, spec.sources)
    if tree is not None:
        spec.tree = tree
    if not isinstance(spec.tree, dict):
        raise UserError(f"{path}:1: a spec is a mapping of keys, got {type(spec.tree).__name__}")
    return spec


def _merge(base: Spec, change: Spec, path: str) -> Spec:
    """Returns base with change on top; both are subtrees at the same path."""
    merged = Spec(base.tree, dict(base.sources))
    merged.tree = _merge_tree(base.tree, change.tree, path, merged.sources)
    merged.sources.update(change.sources)
    return merged


def _merge_tree(base: Any, change: Any, path: str, sources: dict[str, str]) -> Any:
    together = isinstance(base, dict) and isinstance(change, dict)
    if not together or ("type" in change and change["type"] != base.get("type")):
        _forget(sources, path, base)
        return change
    result = dict(base)
    for key, value in change.items():
        child = join(path, key)
        if value is None and isinstance(base.get(key), dict):
            del result[key]
            _forget(sources, child, base[key])
            continue
        result[key] = _merge_tree(base[key], value, child, sources) if key in base else value
    return result


def _forget(sources: dict[str, str], path: str, value: Any) -> None:
    """Drops where a value and what is in it came from."""
    if not isinstance(value, dict | list):
        sources.pop(path, None)
        return
    for key in [key for key in sources if is_below(key, path)]:
        del sources[key]


def _apply(spec: Spec, text: str) -> None:
    key, equals, value_text = text.partition("=")
    if not equals or not steps(key):
        raise UserError(f"override {text!r}: expected key=value, such as training.epochs=20")
    inside: dict[str, str] = {}
    value = parse(value_text, f"override {text!r}", inside)
    _put(spec, key, value, text)
    for below in inside if value is not None else ():
        spec.sources[f"{key}{below}" if below.startswith("[") else join(key, below)] = "override"


def _put(spec: Spec, key: str, value: Any, text: str) -> None:
    """Sets the value at a key path; `text` is what messages quote.

    As in files, null in the place of a mapping removes that.
    """
    path = steps(key)
    if not path:
        raise UserError(f"{key!r} is no key path, such as training.epochs")
    parent: Any = spec.tree
    for depth, step in enumerate(path[:-1]):
        parent = _descend(parent, step, path[depth + 1], text)
    last: Any = path[-1]
    if isinstance(parent, list):
        last = _list_index(parent, last, text)
    elif not isinstance(parent, dict) or isinstance(last, int):
        raise UserError(f"override {text!r}: {key!r} has no place in the spec")
    old = parent[last] if isinstance(parent, list) or last in parent else None
    if value is None and isinstance(old, dict) and isinstance(parent, dict):
        del parent[last]
        _forget(spec.sources, key, old)
        return
    parent[last] = _merge_tree(old, value, key, spec.sources)
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
