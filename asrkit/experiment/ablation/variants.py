"""Variants: changes that are put on a base, one file each.

A variant is a YAML mapping of key paths to values, as on the command line, and names no base:

    # No auxiliary loss.
    model.heads.aux_6: null
    model.encoder.taps: []
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.config.build import filled
from asrkit.config.explain import difference
from asrkit.config.yaml_loader import load
from asrkit.config.yaml_text import read_yaml
from asrkit.errors import UserError
from asrkit.experiment.check import CheckReport, check
from asrkit.experiment.spec import Experiment
from asrkit.files import matching, read_lines, write_text
from asrkit.names import require_name

BASE = "base"
"""What the unchanged base is called among its variants."""


@dataclass(frozen=True)
class Variant:
    """A change to a base.

    Args:
        name: Of its file.
        changes: `key=value` overrides.
        remark: The comment on top of its file.
        path: The file; none for the base.
    """

    name: str
    changes: tuple[str, ...] = ()
    remark: str = ""
    path: Path | None = None


def read_variant(path: Path) -> Variant:
    """Returns the variant of a file.

    Raises:
        UserError: If it is missing or malformed, changes nothing, or names a base.
    """
    tree = read_yaml(path)
    if not isinstance(tree, dict) or not tree:
        raise UserError(
            f"{path}: a variant is a mapping of key paths to values, such as "
            f"`training.epochs: 20`; got {type(tree).__name__ if tree else 'nothing'}"
        )
    if "extends" in tree:
        raise UserError(
            f"{path}: a variant names no base: leave out `extends`, and give --base instead"
        )
    name = require_name(path.stem, "a variant")
    if name == BASE:
        raise UserError(f"{path}: {BASE!r} is what the unchanged base is called: rename the file")
    changes = tuple(f"{key}={_inline(value)}" for key, value in tree.items())
    return Variant(name, changes, _remark(path), path)


def read_variants(places: Sequence[Path]) -> list[Variant]:
    """Returns the variants of files and folders, those of a folder by name.

    Raises:
        UserError: If there are none, or two have the same name.
    """
    files: list[Path] = []
    for place in places:
        found = sorted(matching(place, "*.yaml")) if place.is_dir() else [place]
        if not found:
            raise UserError(f"{place} has no variants: expected files NAME.yaml")
        files += found
    variants = [read_variant(path) for path in files]
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"two variants are called {twice[0]!r}: rename one of the files")
    return variants


def write_variant(path: Path, values: Mapping[str, Any]) -> Variant:
    """Writes a variant to a file, and returns it.

    Args:
        path: The file.
        values: What each key is set to.
    """
    write_text(path, "".join(f"{key}: {_inline(value)}\n" for key, value in values.items()))
    return read_variant(path)


def check_variant(
    variant: Path, base: Path, overrides: Sequence[str], data: Path | None, processes: int = 1
) -> CheckReport:
    """Checks a variant on a base; see `check`.

    Args:
        variant: Its file.
        base: Spec file of the base.
        overrides: `key=value` changes to the base.
        data: Data folder, if its utterances are checked.
        processes: How many will train together.

    Raises:
        UserError: If the variant is malformed.
    """
    changes = read_variant(variant).changes
    report = check(base, [*overrides, *changes], data, processes)
    before = filled(Experiment, load(base, overrides))
    if not report.problems and not difference(
        before, filled(Experiment, load(base, [*overrides, *changes]))
    ):
        report.problems.append(f"it changes nothing: {base} has these values already")
    return report


def _inline(value: Any) -> str:
    """Returns a value in one line of YAML, of which JSON is a part."""
    return json.dumps(value, ensure_ascii=False)


def _remark(path: Path) -> str:
    """Returns the comment lines on top of a file."""
    lines = []
    for line in read_lines(path):
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines)
