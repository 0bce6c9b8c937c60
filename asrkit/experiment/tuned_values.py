"""What tuning changes in a search: weights of scorers, and other numbers of their entries.

A value has a name: `ctc` is the weight of that scorer, `ctc.prior_scale` another number of its
entry. Weights are chosen on n-best lists; other values change the scores themselves, so that only a
decode shows their effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeGuard

from asrkit.config.yaml_loader import load
from asrkit.errors import UserError

LEAST = 0.001
"""The weight of a scorer that would better be left out."""
GOLDEN = 0.6180339887498949
"""Fractional parts of its multiples fill a range evenly, however many are taken."""
Ranges = Mapping[str, tuple[float, float]]


def is_setting(name: str) -> bool:
    """Returns whether a value is something else than a weight."""
    return "." in name


def tunable(node: Mapping[str, Any]) -> list[str]:
    """Returns the names of what tuning may change in a search, by its spec node: see above."""
    found = []
    for name, entry in (node.get("scorers") or {}).items():
        found.append(name)
        if isinstance(entry, dict):
            found += [f"{name}.{key}" for key, value in entry.items() if _is_number(value)]
    return found


def values_of(node: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Returns all weights of a search's spec node, and the settings among the names.

    Raises:
        UserError: If the search lacks one of the names.
    """
    scorers = node.get("scorers") or {}
    found = {name: float(_get(entry, "weight")) for name, entry in scorers.items()}
    for name in names:
        scorer, _, key = name.partition(".")
        if scorer not in scorers:
            there = ", ".join(scorers) or "none"
            raise UserError(f"the search has no scorer {scorer!r} to tune; it has {there}")
        if key:
            found[name] = _setting(name, scorers[scorer], key)
    return found


def with_values(node: Any, values: Mapping[str, float]) -> Any:
    """Returns a search's spec node with other weights and settings."""
    changed = deepcopy(node)
    for name, value in values.items():
        scorer, _, key = name.partition(".")
        if isinstance(changed["scorers"][scorer], dict):
            changed["scorers"][scorer][key or "weight"] = value
        else:
            changed["scorers"][scorer] = value
    return changed


def kept(weights: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """Returns weights of which none is 0: those to tune are nearly 0 instead, others are left out.

    A weight of 0 leaves a scorer out, and with it the scores that tell better weights.
    """
    nearly = {name: -LEAST if low < 0 else LEAST for name, (low, _) in ranges.items()}
    found = {name: weight or nearly.get(name, 0.0) for name, weight in weights.items()}
    return {name: weight for name, weight in found.items() if weight}


def spread(ranges: Ranges, number: int) -> dict[str, float]:
    """Returns values in their ranges; those of numbers 1, 2, 3 ... lie evenly."""
    shares = [(number * GOLDEN ** (place + 1)) % 1.0 for place in range(len(ranges))]
    return {
        name: round(low + (high - low) * share, 3)
        for share, (name, (low, high)) in zip(shares, ranges.items(), strict=True)
    }


def ranges_of(spec: Path | None, node: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Returns the ranges that a spec's `tuning:` has for a search, but for its first weight.

    Raises:
        UserError: If there is no such part, or a range is none.
    """
    found = None if spec is None else load(spec).tree.get("tuning")
    if not isinstance(found, dict):
        raise UserError(
            "no weights to tune are named: give --vary SCORER=LOW:HIGH, or a --spec with "
            "`tuning: {SCORER: [LOW, HIGH]}`"
        )
    names = tunable(node)[1:]
    return {
        name: _checked(ends, f"{spec}: tuning.{name}")
        for name, ends in found.items()
        if name in names
    }


def read_range(word: str) -> tuple[str, tuple[float, float]]:
    """Returns name and range of a word such as `ctc=0.1:0.9`.

    Raises:
        UserError: If it is of another form.
    """
    number = r"(-?(?:[0-9]+[.]?[0-9]*|[.][0-9]+))"
    match = re.fullmatch(rf"([^=]+)={number}:{number}", word)
    if match is None or float(match[2]) > float(match[3]):
        raise UserError(
            f"--vary {word}: expected SCORER=LOW:HIGH, such as ctc=0.1:0.9, or "
            "SCORER.KEY=LOW:HIGH, such as ctc.prior_scale=0:0.6"
        )
    return match[1], (float(match[2]), float(match[3]))


def _get(entry: Any, key: str) -> Any:
    return entry[key] if isinstance(entry, dict) else entry


def _setting(name: str, entry: Any, key: str) -> float:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not _is_number(value):
        there = ", ".join(entry) if isinstance(entry, dict) else "a weight alone"
        raise UserError(
            f"there is no number {name} to tune: the scorer's entry has {there}; add it to the "
            "spec with an initial value"
        )
    return float(value)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(ends: Any, where: str) -> tuple[float, float]:
    numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
    if not numbers or len(ends) != 2 or not ends[0] <= ends[1]:
        raise UserError(f"{where}: expected [LOW, HIGH], such as [0.0, 1.0], got {ends}")
    return float(ends[0]), float(ends[1])
