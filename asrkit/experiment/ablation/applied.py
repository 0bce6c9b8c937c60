"""Whether the change of a row was really applied, from what training has measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

Log = Sequence[Mapping[str, Any]]
"""The epochs of a training."""
AFTER_TRAINING = ("decoding", "parent")
"""Parts of a spec that training does not use."""

OF_OPTIMIZER = ("update.weight_decay", "update.l2_gradient")
"""What weight decay does."""


def applied_of(log: Log) -> dict[str, float]:
    """Returns what augmentation and regularisation did: mean shares over epochs and layers.

    Args:
        log: Of a training; older ones say nothing of it.
    """
    found: dict[str, list[float]] = {}
    for epoch in log:
        for name, share in epoch.get("applied", {}).items():
            found.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(share)
    return {name: fmean(shares) for name, shares in sorted(found.items())}


def notes_on(changes: Sequence[str], ours: Mapping[int, Log], base: Mapping[int, Log]) -> list[str]:
    """Returns what shows that a change had no effect; nothing where all is well.

    Args:
        changes: Lines of what the row changes.
        ours: Its trainings, by seed.
        base: Those of the base.
    """
    if all(line.startswith(AFTER_TRAINING) for line in changes):
        return []
    notes = []
    for seed in sorted(ours.keys() & base.keys()):
        if ours[seed] and _losses(ours[seed]) == _losses(base[seed]):
            notes.append(
                f"its change was never applied: with seed {seed}, the losses of all epochs are "
                "those of the base"
            )
    known = {_module(name) for log in base.values() for name in applied_of(log)}
    for seed, log in sorted(ours.items()):
        idle = [
            module
            for module, shares in _by_module(applied_of(log)).items()
            if not any(shares) and (module not in known or _touched(module, changes))
        ]
        if idle:
            notes.append(f"never applied with seed {seed}: {', '.join(idle)} did nothing at all")
    return notes


def _by_module(applied: Mapping[str, float]) -> dict[str, list[float]]:
    """Returns what each module did; losses, data and clipping are of no module."""
    found: dict[str, list[float]] = {}
    for name, share in applied.items():
        if not name.startswith(("gradient.", "speed.", "labels_per", "update.clipped")):
            found.setdefault(_module(name), []).append(share)
    return found


def _module(name: str) -> str:
    """Returns the key path of what has done something: model.encoder.blocks.ffn1.keep."""
    if name in OF_OPTIMIZER:
        return "training.optimizer"
    if name.startswith("update."):
        return f"training.{name}"
    return "model." + name.rpartition(".")[0].replace(".*", "")


def _touched(module: str, changes: Sequence[str]) -> bool:
    return any(line.startswith((f"{module}.", f"{module}:")) for line in changes)


def _losses(log: Log) -> list[Any]:
    return [(epoch["train"], epoch["dev"]) for epoch in log]
