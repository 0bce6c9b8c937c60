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
from asrkit.experiment.check import CheckReport, check, model_tree
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
        UserError: If a place has none, or two have the same name.
    """
    files: list[Path] = []
    for place in places:
        if not place.exists():
            raise UserError(f"there is no variant {place}: expected a file, or a folder of them")
        found = sorted(matching(place, "*.yaml")) if place.is_dir() else [place]
        if not found:
            raise UserError(f"{place} has no variants: expected files NAME.yaml")
        files += found
    resolved = [file.resolve() for file in files]
    for file, whole in zip(files, resolved, strict=True):
        if resolved.count(whole) > 1:
            raise UserError(f"{file} is given twice, perhaps also by its folder: leave one out")
    variants = [read_variant(path) for path in files]
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        paths = " and ".join(str(v.path) for v in variants if v.name == twice[0])
        raise UserError(f"two variants are called {twice[0]!r}, {paths}: rename one of the files")
    return variants


def variant_of(path: Path, values: Mapping[str, Any]) -> Variant:
    """Returns a variant whose file is not there yet; see `write_variant`.

    Args:
        path: The file.
        values: What each key is set to.
    """
    changes = tuple(f"{key}={_inline(value)}" for key, value in values.items())
    return Variant(require_name(path.stem, "a variant"), changes, "", path)


def write_variant(variant: Variant) -> None:
    """Writes the file of a variant."""
    assert variant.path is not None, "only the base has none"
    lines = [change.partition("=") for change in variant.changes]
    write_text(variant.path, "".join(f"{key}: {value}\n" for key, _, value in lines))


def check_variant(
    variant: Path, base: Path, overrides: Sequence[str], data: Path | None, processes: int = 1
) -> CheckReport:
    """Checks a variant on a base, or all of a folder; see `check`.

    Args:
        variant: Its file, or the folder.
        base: Spec file of the base.
        overrides: `key=value` changes to the base.
        data: Data folder, if its utterances are checked.
        processes: How many will train together.

    Raises:
        UserError: If a variant is malformed, or there are utterances to check with each of many.
    """
    if not variant.is_dir():
        return _checked(read_variant(variant), base, overrides, data, processes)
    if data is not None:
        raise UserError(f"--data with a folder, {variant}: check one of its variants with it")
    report = CheckReport([f"{base}: {problem}" for problem in check(base, overrides).problems])
    for each in read_variants([variant]) if not report.problems else ():
        try:
            found = _checked(each, base, overrides, None, processes)
        except UserError as error:
            found = CheckReport([str(error)])
        report.problems += [f"{each.name}: {problem}" for problem in found.problems]
        report.remarks += [f"{each.name}: {remark}" for remark in found.remarks]
    return report


def _checked(
    variant: Variant, base: Path, overrides: Sequence[str], data: Path | None, processes: int
) -> CheckReport:
    """Checks a variant on a base, and tells its size and how many values it changes."""
    changed = [*overrides, *variant.changes]
    report = check(base, changed, data, processes)
    if report.problems:
        return report
    after = load(base, changed)
    lines = difference(filled(Experiment, load(base, overrides)), filled(Experiment, after))
    if not lines:
        report.problems.append(f"it changes nothing: {base} has these values already")
        return report
    parameters = model_tree(after, data).model.parameters
    count = f"{len(lines)} values" if lines[1:] else "one value"
    report.remarks.insert(0, f"{parameters / 1e6:.2f} M parameters, {count} changed")
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
