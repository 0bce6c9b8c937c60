"""Phases: the first epochs of training with a smaller model, larger batches, other rates.

Each phase is a run of its own in RUN/phases/NUMBER, with its own spec and checkpoints; the next
one starts from its last checkpoint and counts epochs and updates on.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.config.yaml_loader import change
from asrkit.errors import UserError
from asrkit.run_folder import RunFolder

CHANGEABLE = ("model", "data", "training")
"""The parts of a spec that a phase may change."""
FIXED = ("model.features", "training.epochs")
"""What of them is the same in all phases: weights of the first layer mean nothing elsewhere."""


@dataclass(frozen=True)
class Phase:
    """Epochs in which some values of the spec are others.

    Args:
        epochs: How many (sub-)epochs it lasts; those of `training.epochs` count it in.
        changes: Values that hold in this phase, by key path such as `model.encoder.num_layers`.
        without: Key paths that this phase leaves out, such as `model.heads.auxiliary`.
    """

    epochs: int
    changes: dict[str, Any] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs ({self.epochs}) must be at least 1")
        for key in (*self.changes, *self.without):
            if key.split(".")[0] not in CHANGEABLE or key.startswith(FIXED):
                raise ValueError(
                    f"a phase can't change {key!r}: it may change {', '.join(CHANGEABLE)}, but "
                    f"not {', '.join(FIXED)}"
                )


def phase_folder(run: Path, number: int) -> Path:
    """Returns the run folder of a phase, numbered from 1."""
    return RunFolder(run).phase(number).path


def phase_trees(resolved: dict[str, Any], phases: list[Phase]) -> list[dict[str, Any]]:
    """Returns the spec of each phase, without that of the epochs after the last one.

    Args:
        resolved: The whole spec.
        phases: Its phases.

    Raises:
        UserError: If a change has no place in the spec, or the phases are too long.
    """
    trees, until = [], 0
    for number, phase in enumerate(phases):
        tree = deepcopy(resolved)
        try:
            change(tree, phase.changes, phase.without)
        except UserError as error:
            raise UserError(f"phases[{number}]: {error}") from error
        until += phase.epochs
        tree["training"]["epochs"] = until
        if "early_stopping" in tree["training"]:
            tree["training"]["early_stopping"] = None
        tree["phases"] = []
        if number:
            tree["imports"] = []
        trees.append(tree)
    if phases and until >= resolved["training"]["epochs"]:
        raise UserError(
            f"the phases last {until} epochs, training.epochs is {resolved['training']['epochs']}: "
            "some must be left for the whole model"
        )
    return trees
