"""What two specs or runs differ in, for `asrkit diff` and RESULTS.md alike."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.config.build import filled
from asrkit.config.explain import difference
from asrkit.config.yaml_loader import Spec, load
from asrkit.errors import UserError
from asrkit.experiment.ablation.applied import applied_of
from asrkit.experiment.decode_spec import DecodeSpec, is_decode_spec
from asrkit.experiment.gmm_spec import GmmSpec, is_gmm_spec
from asrkit.experiment.spec import Experiment, load_spec
from asrkit.reports.ablation.numbers import share_text, shares_differ
from asrkit.run_files import read_epochs
from asrkit.run_folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Difference:
    """What two specs differ in.

    Args:
        changes: A line for each key: its value in the first and in the second.
        applied: A line for each share of what trainings did at random, such as masked frames, that
            the second has other than the first by more than chance.
    """

    changes: list[str]
    applied: list[str] = field(default_factory=list)


ROOTS: tuple[type, ...] = (Experiment, DecodeSpec, GmmSpec)
"""What spec files describe."""


def interface_of(spec: Spec) -> type:
    """Returns the class whose parts a spec names."""
    if is_decode_spec(spec):
        return DecodeSpec
    return GmmSpec if is_gmm_spec(spec) else Experiment


def diff(first: Path, second: Path) -> Difference:
    """Returns the keys in which two spec files or run folders differ, defaults included.

    Raises:
        UserError: If one of them can't be read, or is not valid.
    """
    files = [RunFolder(path).spec if path.is_dir() else path for path in (first, second)]
    specs = [load_spec(file) for file in files]
    trees = [filled(interface_of(spec), spec) for spec in specs]
    return Difference(difference(trees[0], trees[1]), applied_difference(first, second))


def diff_runs(first: Path, second: Path) -> Difference:
    """Returns the keys in which the specs of two runs differ.

    Runs whose specs this version can't build, as a plugin or part is gone, are compared as their
    specs were stored; a warning says so.

    Raises:
        UserError: If a spec is missing or malformed.
    """
    try:
        return diff(first, second)
    except UserError as error:
        stored = [load(RunFolder(run).spec).tree for run in (first, second)]
        log.warning(
            "%s and %s are compared without the defaults of this version, because one is from "
            "another version: "
            "%s",
            first,
            second,
            error,
        )
        return Difference(difference(stored[0], stored[1]), applied_difference(first, second))


def applied_difference(first: Path, second: Path) -> list[str]:
    """Returns a line for each share of what two runs' trainings did that clearly differs.

    Args:
        first: A run folder; there is nothing to compare for spec files, and runs of older versions.
        second: Another one.
    """
    logs = [RunFolder(path).log for path in (first, second)]
    epochs = [read_epochs(path, whole=False) if path.is_file() else [] for path in logs]
    one, other = map(applied_of, epochs)
    if not one or not other:
        return []
    return [
        f"{name}: {_share(one.get(name))} -> {_share(other.get(name))}"
        for name in sorted(one.keys() | other.keys())
        if shares_differ(one.get(name), other.get(name))
    ]


def _share(share: float | None) -> str:
    return "(none)" if share is None else share_text(share)
