"""Loads experiment files: safe YAML 1.2 scalars, `extends`, `key=value` overrides, known sources.

Every value keeps the place it came from, so that errors and `asrkit explain` can name file and
line. A file that says `extends: base.yaml` starts from that file: mappings are merged key by key;
lists, scalars and mappings whose `type` differs replace what the base says, and null takes out a
mapping of the base, such as a head. A mapping that says `extends: model.encoder` starts from that
one of the base.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asrkit.config.extended_nodes import extend_nodes
from asrkit.config.key_paths import copy_of, join, parent_of, steps
from asrkit.config.merging import leave_out, merge, put
from asrkit.config.problems import Problem
from asrkit.config.renamed_keys import Note
from asrkit.config.renamed_phases import rename_phases
from asrkit.config.renames import current_key, given_twice, rename_key, rename_tree
from asrkit.config.yaml_text import dump, parse, read_yaml, scalar
from asrkit.errors import UserError

__all__ = ["Spec", "change", "dump", "files_of", "join", "load", "override", "scalar"]

log = logging.getLogger(__name__)

MAX_FILES = 100
"""That a spec extends, counted each time that one is named."""


@dataclass
class Spec:
    """A loaded tree of mappings, lists and scalars, and where each value came from.

    Args:
        tree: The merged tree, without `extends`.
        sources: "file:line" or "override" by key path, such as `model.heads.ctc.weight`.
        renamed: Keys that were given by an old name.
    """

    tree: Any
    sources: dict[str, str] = field(default_factory=dict)
    renamed: list[Note] = field(default_factory=list)

    def source(self, path: str) -> str | None:
        """Returns where the value at a key path came from, or None for a default."""
        return self.sources.get(path)

    def located(self, problem: Problem) -> Problem:
        """Returns a problem with its place: that of the node, or of the nearest one around it."""
        around = problem.path
        while self.source(around) is None and around:
            around = parent_of(around)
        return replace(problem, location=problem.location or self.source(around))

    def tell_old_names(self) -> None:
        """Says which keys were given by an old name, once for each."""
        told: set[str] = set()
        for note in self.renamed:
            if note.old not in told:
                log.warning("%s", note)
            told.add(note.old)


def load(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Loads a spec file with everything it extends, then applies overrides.

    Args:
        path: The YAML file.
        overrides: `a.b[2].c=value` changes; the value is YAML.

    Raises:
        UserError: If a file is missing or malformed, or an override can't be applied.
    """
    spec = _Files().load(path)
    spec = Spec(copy_of(spec.tree), dict(spec.sources), list(spec.renamed))
    in_files = len(spec.renamed)
    for text in overrides:
        apply(spec, text)
    given = {text.partition("=")[0] for text in overrides}
    for note in spec.renamed[in_files:]:
        if note.new in given:
            raise given_twice(note.where, note.old, note.new, None)
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
        apply(spec, text)
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
    for key in without:
        leave_out(tree, key)
    for key, value in changes.items():
        put(tree, {}, key, copy_of(value), key)


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
        where = spec.sources.pop("extends", str(path))
        merged = self._bases(path, [] if bases is None else bases, where)
        merged.tree = copy_of(merged.tree)  # other files may extend the same ones
        for rename in (rename_tree, rename_phases):
            spec.renamed += rename(spec.tree, spec.sources, merged.tree)
        spec.tree = extend_nodes(spec.tree, spec.sources, merged.tree, merged.sources)
        return spec if bases is None else _merge(merged, spec, "")

    def _bases(self, path: Path, bases: Any, where: str) -> Spec:
        """Returns what a file extends, the later files over the earlier ones."""
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
        return merged


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
    merged = Spec(base.tree, dict(base.sources), [*base.renamed, *change.renamed])
    merged.tree = merge(base.tree, change.tree, path, merged.sources, change.source)
    merged.sources.update(change.sources)
    return merged


def apply(spec: Spec, text: str) -> None:
    """Changes a spec in place by a `key=value` override.

    Raises:
        UserError: If it has no place in the spec.
    """
    key, equals, value_text = text.partition("=")
    if not equals or not steps(key):
        raise UserError(f"override {text!r}: expected key=value, such as training.epochs=20")
    inside: dict[str, str] = {}
    value = parse(value_text, f"override {text!r}", inside)
    below = [f"{key}{path}" if path.startswith("[") else join(key, path) for path in inside]
    sources = dict.fromkeys(below if value is not None else [], "override")
    value = extend_nodes(value, sources, spec.tree, spec.sources, key)
    sources = {current_key(path, spec.tree): source for path, source in sources.items()}
    found, notes = rename_key(key, value, spec.tree)
    spec.renamed += notes
    for now, moved in found.items():
        put(spec.tree, spec.sources, now, moved, text)
    spec.sources.update(sources)
